"""The streams of a go2rtc.yaml (https://github.com/AlexxIT/go2rtc) as cameras.

A source that we read ourselves is taken directly; every other kind (exec, homekit, tapo, …) is watched through go2rtc's
own RTSP server, which then has to run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from llama_vid.camera_lists import CameraLists, filled, section

RTSP_PORT: Final = 8554
#: `${NAME}` and `${NAME:default}`.
PLACEHOLDER: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([^}]*))?\}")
_OURS: Final = ("rtsp://", "rtsps://", "http://", "https://")
#: References of `ffmpeg:name` may go in a circle.
_DEEPEST: Final = 5
_KNOWN: Final = frozenset({"streams", "rtsp"})


def from_go2rtc(tree: Mapping[str, Any]) -> CameraLists:
    """The cameras of a go2rtc configuration. Raises ConfigError."""
    found = CameraLists("go2rtc")
    streams = section(tree.get("streams"), "'streams'")
    for name in streams:
        found.add(name, stream_url(name, streams, section(tree.get("rtsp"), "'rtsp'"), found))
    found.leave_out("", set(tree) - _KNOWN)
    return found


def stream_url(name: str, streams: Mapping[str, Any], server: Mapping[str, Any], found: CameraLists) -> str:
    """The address of a stream: the camera's own where we can read it, else go2rtc's."""
    for source in _sources(streams, name):
        url = _direct(source, streams, _DEEPEST)
        if url is not None:
            return filled(url, PLACEHOLDER, name, found.notes.append)
    kinds = sorted({source.partition(":")[0] for source in _sources(streams, name)}) or ["nothing"]
    found.notes.append(f"{name}: ({', '.join(kinds)}) is watched through go2rtc, which has to run beside this program")
    return through(name, server)


def through(name: str, server: Mapping[str, Any], host: str = "127.0.0.1") -> str:
    """A stream at go2rtc's own RTSP server, with the user and password that it wants."""
    port = str(server.get("listen", f":{RTSP_PORT}")).rpartition(":")[2]
    user, password = server.get("username"), server.get("password")
    signed = f"{quote(str(user), safe='')}:{quote(str(password or ''), safe='')}@" if user else ""
    return f"rtsp://{signed}{host}:{port if port.isdigit() else RTSP_PORT}/{quote(name)}"


def _sources(streams: Mapping[str, Any], name: str) -> list[str]:
    value = streams.get(name)
    items = value if isinstance(value, list) else [value]
    return [str(item).strip() for item in items if item is not None]


def _direct(source: str, streams: Mapping[str, Any], depth: int) -> str | None:
    """An address that we can open ourselves, or None."""
    source = source.partition("#")[0]
    if source.startswith("ffmpeg:"):
        inner = source.removeprefix("ffmpeg:")
        if inner in streams and depth:
            direct = (_direct(other, streams, depth - 1) for other in _sources(streams, inner))
            return next((url for url in direct if url is not None), None)
        return _direct(inner, streams, 0) if not inner.startswith("ffmpeg:") else None
    if source.startswith(("rtspx://", "httpx://")):  # TLS whose certificate is not checked
        return _direct(source.replace("x://", "s://", 1), streams, depth)
    if source.startswith("v4l2:"):
        device = parse_qs(urlsplit(source).query).get("video", [""])[0]
        return f"v4l2:{device}" if device else None
    return source if source.startswith(_OURS) else None
