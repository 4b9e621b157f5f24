"""From an address to the source that reads it."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from llama_vid.stream.audio import AudioQueue
from llama_vid.stream.file import FileSource
from llama_vid.stream.hardware import Decoder
from llama_vid.stream.live import LiveSource
from llama_vid.stream.pacing import FileCamera
from llama_vid.stream.reader import Limits
from llama_vid.stream.source import Source
from llama_vid.stream.urls import parse_url
from llama_vid.stream.view import View
from llama_vid.stream.whip import WhipIngest

#: Suffixes by which an HTTP address is a recording and not a stream.
FILM_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ogv", ".wmv", ".flv", ".3gp", ".gif"}
)

#: And those of sound alone, which only captions can use.
SOUND_SUFFIXES = frozenset({".flac", ".wav", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".mka", ".wma"})


def is_recording(url: str | PathLike[str]) -> bool:
    """Whether an address is a file, here or behind http(s):, and no stream. Raises SourceError for a wrong one."""
    parsed = parse_url(fspath(url))
    suffix = PurePosixPath(urlsplit(parsed.location).path).suffix.lower()
    return parsed.kind == "file" or (parsed.kind == "http" and suffix in FILM_SUFFIXES | SOUND_SUFFIXES)


def open_source(
    url: str | PathLike[str],
    *,
    fps: float = 1.0,
    live: bool | None = None,
    limits: Limits | None = None,
    audio: AudioQueue | None = None,
    view: View | None = None,
    decoder: Decoder = "auto",
) -> Source:
    """The source for a path, or a `file:`, `rtsp(s):`, `http(s):`, `v4l2:` or `webrtc:` URL; it opens in `async with`.

    `live=False` takes paths and http(s): URLs as recordings, pulled as fast as they are read; `live=True` takes them as
    cameras (a file then loops in real time); None decides by the address: paths and HTTP files are recordings, the rest
    are cameras. `limits` are a live source's time limits. A camera leaves its sound in `audio`, where that is given
    (the sound of a recording is read with `AudioFile`), and shows its pictures in `view`; a live source's are decoded
    by `decoder` (`hardware.py`), all else in software. Raises SourceError for an address that is not allowed.
    """
    text = fspath(url)
    parsed = parse_url(text)
    if parsed.kind == "webrtc":
        ingest = WhipIngest(text.strip()[len("webrtc:") :] or "webrtc", fps=fps, audio=audio)
        if view is not None:
            ingest.show(view)
        return ingest
    if parsed.kind == "file":
        return FileCamera(text, fps=fps, audio=audio, view=view) if live else FileSource(text, fps=fps)
    if parsed.kind == "http":
        film = PurePosixPath(urlsplit(parsed.location).path).suffix.lower() in FILM_SUFFIXES
        if live is False or (live is None and film):
            return FileSource(text, fps=fps)
    return LiveSource(text, fps=fps, limits=limits, audio=audio, view=view, decoder=decoder)
