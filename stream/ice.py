"""ICE servers (STUN, TURN): for our own peer connections, and as `Link` headers for those of clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class IceServer:
    """One server. The credential is in no repr, so that no log line can hold it."""

    url: str
    username: str | None = None
    credential: str | None = field(default=None, repr=False)

    @property
    def link(self) -> str:
        """Its value of a `Link` header (RFC 9725 section 4.6)."""
        link = f'<{self.url}>; rel="ice-server"'
        if self.username is not None and self.credential is not None:
            link += f'; username="{self.username}"; credential="{self.credential}"; credential-type="password"'
        return link


def link_header(servers: Sequence[IceServer]) -> dict[str, str]:
    """The `Link` header that announces the servers; empty when there are none."""
    return {"Link": ", ".join(server.link for server in servers)} if servers else {}
