"""What whoever talks to the server may do: scopes, and the cameras that they count for.

`watch` sees pictures, timelines, events, captions and WHEP; `ask` puts questions and tries rules; `admin` adds and
removes cameras, publishes over WHIP, pauses alerts and forgets. None includes another. The gate
(`llama_vid.access_gate`) leaves an `Access` in the state of every request and websocket.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, cast

from llama_vid.errors import ProtocolError

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

Scope = Literal["watch", "ask", "admin"]
SCOPES: Final[tuple[Scope, ...]] = ("watch", "ask", "admin")


@dataclass(frozen=True, slots=True)
class Access:
    """The rights of one request or connection. `cameras` None: all of them, also those that come later.

    `token_id` is the token behind it, `session` the hash of the browser's cookie where it came in by one.
    """

    name: str | None
    scopes: frozenset[Scope]
    cameras: frozenset[str] | None = None
    token_id: str | None = None
    session: str | None = field(default=None, repr=False)

    @property
    def signed_in(self) -> bool:
        """Whether there is a token behind it, or sign-in is off."""
        return bool(self.scopes)

    def sees(self, camera: str) -> bool:
        """Whether the camera is on the list."""
        return self.cameras is None or camera in self.cameras

    def may(self, scope: Scope, camera: str | None = None) -> bool:
        """Whether it has the scope, for this camera where one is named."""
        return scope in self.scopes and (camera is None or self.sees(camera))

    def everywhere(self, scope: Scope) -> bool:
        """Whether it has the scope for all cameras, whatever they are."""
        return scope in self.scopes and self.cameras is None

    def require(self, scope: Scope, camera: str | None = None) -> None:
        """Raises ProtocolError with code `forbidden` unless `may`. It says the same of cameras that do not exist."""
        if not self.may(scope, camera):
            where = "" if camera is None or scope not in self.scopes else f" for camera {camera[:64]!r}"
            raise ProtocolError(
                f"This token lacks the scope {scope!r}{where}; use another one (llama-vid token create).",
                code="forbidden",
                param="camera" if where else None,
            )


#: While sign-in is off (on loopback, without a tokens file) everybody may do everything.
OPEN: Final = Access(None, frozenset(SCOPES))
#: Who has not signed in.
NOBODY: Final = Access(None, frozenset())


def access_of(connection: HTTPConnection) -> Access:
    """The rights of a request or a websocket."""
    return cast(Access, connection.state.access)
