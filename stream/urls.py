"""What a source's address means, and how to write it down without its secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from llama_vid.errors import SourceError

Kind = Literal["file", "rtsp", "http", "v4l2", "webrtc"]

#: What FFmpeg may open for each kind. A playlist fetched over HTTP can name any address, so `file` is not among those;
#: a local playlist may name local files only.
PROTOCOLS: dict[Kind, str] = {
    "file": "file,crypto,data",
    "rtsp": "rtsp,rtsps,rtp,tcp,tls",
    "http": "http,https,tcp,tls,crypto,data",
    "v4l2": "file",
    "webrtc": "",
}

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.\-]+):")
_USERINFO = re.compile(r"([a-zA-Z][a-zA-Z0-9+.\-]*://)[^\s/?#]*@")
# A password with a bare / ? or # in it does not parse as one: what follows the colon is no port either.
_BROKEN_USERINFO = re.compile(r"([a-zA-Z][a-zA-Z0-9+.\-]*://)[^\s/?#@:]*:(?!\d*(?:[/?#\s]|$))[^\s@]*@")
_SECRET_PARAMETER = re.compile(
    r"(?i)([?&;](?:[a-z0-9_\-]*(?:pass|pwd|token|secret|key|auth|sig|credential)[a-z0-9_\-]*|user(?:name)?|usr)=)[^&;#\s'\"]*"
)


@dataclass(frozen=True, slots=True)
class SourceUrl:
    """An address that has been read: its kind, what FFmpeg opens, and the name that may be shown and logged."""

    kind: Kind
    location: str = field(repr=False)
    shown: str
    host: str = ""
    port: int = 0

    @property
    def protocols(self) -> str:
        """FFmpeg's `protocol_whitelist` for this source."""
        return PROTOCOLS[self.kind]


def redact(url: str) -> str:
    """`url` without user and password, and without the values of query parameters that look like secrets.

    Works on any text with addresses in it, so that it can clean FFmpeg's messages too.
    """
    for pattern in (_USERINFO, _BROKEN_USERINFO):
        url = pattern.sub(r"\1", url)
    return _SECRET_PARAMETER.sub(r"\1…", url)


def redact_text(text: str, url: str) -> str:
    """`text` in one line with `url`, its user and its password taken out, also where they stand alone."""
    text = " ".join(text.replace(url, redact(url)).split())
    text = redact(text)
    if "://" not in url:
        return text
    user_info = urlsplit(url).netloc.rpartition("@")[0]
    password = user_info.partition(":")[2]
    # Very short passwords would blank out ordinary words; an address with them is already cleaned above.
    for secret in sorted({password, unquote(password)}, key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, "…")
    return text


def parse_url(url: str) -> SourceUrl:
    """Read a path, `file:`, `rtsp(s):`, `http(s):`, `v4l2:` or `webrtc:` address.

    Raises SourceError when it is empty or of another kind, or has no host.
    """
    text = url.strip()
    if not text or "\0" in text:
        raise SourceError(
            "The source's address is empty or unreadable: give a path, or an rtsp:, http:, file: or v4l2: URL."
        )
    match = _SCHEME.match(text)
    scheme = match.group(1).lower() if match and not Path(text).exists() else ""
    if scheme == "":
        return SourceUrl("file", text, text)
    if scheme == "file":
        path = unquote(urlsplit(text).path) if text[5:].startswith("//") else text[5:]
        return SourceUrl("file", path, path)
    if scheme == "v4l2":
        device = text[5:].removeprefix("//") or "/dev/video0"
        return SourceUrl("v4l2", device, f"v4l2:{device}")
    if scheme == "webrtc":
        return SourceUrl("webrtc", text, "webrtc:")
    if scheme in ("rtsp", "rtsps", "http", "https"):
        return _network(text, scheme)
    raise SourceError(
        f"Cannot open {redact(text)}: {scheme}: is not a source that is allowed here; "
        "use a path, file:, rtsp:, rtsps:, http:, https:, v4l2: or webrtc:."
    )


def _network(text: str, scheme: str) -> SourceUrl:
    ports = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or ports[scheme]
    except ValueError as error:
        raise SourceError(f"Cannot read the address {redact(text)}: its host or port is malformed.") from error
    if not host:
        raise SourceError(f"The address {redact(text)} names no host: write {scheme}://host/path.")
    return SourceUrl("rtsp" if scheme.startswith("rtsp") else "http", text, redact(text), host, port)
