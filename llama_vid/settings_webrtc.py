"""The `webrtc:` section: ICE servers, and how much WHEP viewers may take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from llama_vid.errors import ConfigError
from llama_vid.settings_section import Section
from llama_vid.stream.ice import IceServer

#: RFC 7064 and 7065, as far as aiortc speaks them: host, port and, for TURN, the transport.
_URL = re.compile(
    r"(?P<scheme>stuns?|turns?):(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>\d{1,5}))?(\?transport=(udp|tcp))?"
)


class IceServerSettings(Section):
    """A STUN or TURN server. A TURN server wants `username` and its password, as `credential` or in a file."""

    url: str = Field(max_length=300)
    username: str | None = Field(default=None, min_length=1, max_length=256)
    credential: SecretStr | None = Field(default=None, min_length=1, max_length=256)
    credential_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        value = value.strip()
        found = _URL.fullmatch(value)
        if found is None or not 0 < int(found["port"] or 1) < 65536:
            # The value is not repeated: somebody may have written a password into it.
            raise ValueError("this is no ICE server; write stun:host:3478 or turn:host:3478?transport=udp")
        if found["scheme"].startswith("stun") and "?" in value:
            raise ValueError("a stun: address takes no ?transport=")
        return value

    @field_validator("username", "credential")
    @classmethod
    def _plain(cls, value: str | SecretStr | None) -> str | SecretStr | None:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value or ""
        if any(not " " <= letter <= "~" or letter in '"\\' for letter in text):
            raise ValueError('it goes into an HTTP header: ASCII letters without " and \\ only')
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.credential is not None and self.credential_file is not None:
            raise ValueError("give credential or credential_file, not both")
        secret = self.credential is not None or self.credential_file is not None
        if self.url.startswith("turn") and not (self.username and secret):
            raise ValueError("a TURN server needs a username and a credential (or credential_file)")
        if self.url.startswith("stun") and (self.username or secret):
            raise ValueError("a STUN server takes no username and no credential; is it turn:?")
        return self

    def read(self) -> IceServer:
        """The server with its password read. Raises ConfigError where the file cannot be read or holds none."""
        if self.credential_file is None:
            return IceServer(self.url, self.username, self.credential.get_secret_value() if self.credential else None)
        try:
            secret = self.credential_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as problem:
            why = getattr(problem, "strerror", None) or "it is no text"
            raise ConfigError(f"webrtc.ice_servers: {self.credential_file} cannot be read ({why})") from None
        if not secret or any(not " " <= letter <= "~" or letter in '"\\' for letter in secret):
            raise ConfigError(
                f"webrtc.ice_servers: {self.credential_file} holds no password of one line of ASCII letters"
            )
        return IceServer(self.url, self.username, secret)


class WebrtcSettings(Section):
    """ICE servers for both directions, and the bounds of WHEP.

    `max_viewers` watch at once, all cameras together; `max_encoded` of them may need pictures to be encoded for them
    (up to 0.1 of a core each at the default `encoded_fps` and `encoded_side`, the longest side in pixels).
    """

    ice_servers: list[IceServerSettings] = Field(default_factory=list, max_length=8)
    max_viewers: int = Field(default=16, ge=0, le=1000)
    max_encoded: int = Field(default=4, ge=0, le=1000)
    encoded_fps: float = Field(default=10, gt=0, le=30)
    encoded_side: int = Field(default=640, ge=64, le=1920)
