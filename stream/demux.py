"""Opening a source with FFmpeg (through PyAV): options per kind, one video stream, one clear error for each failure."""

from __future__ import annotations

import errno
from pathlib import Path

import av
import av.logging
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from llama_vid.errors import SourceError
from llama_vid.stream.urls import SourceUrl, redact_text

# FFmpeg writes to stderr by itself, addresses with passwords included. Nothing of it is printed; what matters comes as
# an exception whose text is redacted here.
av.logging.set_level(None)
av.logging.set_libav_level(av.logging.PANIC)


class AccessRefused(SourceError):
    """The user name or password was refused: trying again soon helps nobody, and may lock the account."""


#: Demuxers that make a "video" out of any text or bytes, or that open further files by name.
_REFUSED_FORMATS = frozenset({"tty", "bin", "xbin", "adf", "idf", "concat", "rawvideo", "data", "ffmetadata", "lavfi"})


def open_container(
    url: SourceUrl, *, open_timeout: float = 10.0, read_timeout: float = 10.0, hwaccel: HWAccel | None = None
) -> InputContainer:
    """Open `url` for reading; the timeouts are seconds for opening and for each read. `hwaccel` decodes its pictures.

    Raises SourceError, with one redacted line, when that does not work.
    """
    if url.kind == "file":
        _check_file(url)
    options = {"protocol_whitelist": url.protocols}
    if url.kind == "rtsp":
        # TCP: UDP loses packets on busy networks and does not pass firewalls. `timeout` is in microseconds.
        options |= {"rtsp_transport": "tcp", "timeout": str(int(read_timeout * 1e6)), "user_agent": "llama-vid"}
        # The session description names the format: a second of looking, and none for the rate, brings the first picture
        # a second earlier (measured). What was looked at is kept, for it begins with the key frame.
        options |= {"analyzeduration": "1000000", "fpsprobesize": "0"}
    elif url.kind == "http":
        options |= {"rw_timeout": str(int(read_timeout * 1e6)), "user_agent": "llama-vid"}
    file_format = "v4l2" if url.kind == "v4l2" else None
    timeout = None if url.kind == "file" else (open_timeout, read_timeout)
    try:
        container = av.open(
            url.location, mode="r", format=file_format, options=options, timeout=timeout, metadata_errors="replace",
            hwaccel=hwaccel,
        )  # fmt: skip
    except (av.FFmpegError, OSError, ValueError) as error:
        refused = isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError)
        raise (AccessRefused if refused else SourceError)(explain(error, url)) from None
    if _REFUSED_FORMATS & set(container.format.name.split(",")):
        container.close()
        raise SourceError(
            f"{url.shown} is not a video: it holds text or raw bytes. Give a video file such as MP4, MKV or WebM."
        )
    return container


def video_stream(container: InputContainer, url: SourceUrl) -> VideoStream:
    """The container's main video stream (the largest picture; cover art does not count).

    Raises SourceError when there is none, or no decoder for it.
    """
    films = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not films:
        what = "only sound" if container.streams.audio else "no video stream"
        raise SourceError(
            f"{url.shown} holds {what}: there are no pictures to watch. Give a file or stream with video."
        )
    # A stream that FFmpeg has no decoder for has no codec context, and then no size either.
    known = [stream for stream in films if getattr(stream, "codec_context", None) is not None]
    if not known:
        raise SourceError(
            f"{url.shown} holds video in a format that FFmpeg cannot decode here. Convert it to H.264 first."
        )
    return max(known, key=lambda film: (film.width or 0) * (film.height or 0))


def frame_rate(stream: VideoStream) -> float:
    """Pictures a second while they follow each other closest, or 25 where the container says nothing believable."""
    rates = [float(rate) for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
    return max((rate for rate in rates if 0.01 <= rate <= 240), default=25.0)


def explain(error: Exception, url: SourceUrl) -> str:
    """One redacted line: what is wrong with `url`, and what to do."""
    where = url.shown
    match error:
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            return f"{where} refused the user name or password: check them in the camera's URL."
        case av.error.HTTPNotFoundError():
            return f"{where} was not found on that host (404): check the path in the URL."
        case av.error.HTTPError():
            return f"{where} answered with an HTTP error ({_reason(error, url)}): check the URL and the server."
        case ConnectionRefusedError():
            return f"{where} refused the connection: check the port, and that the camera is on."
        case av.error.ExitError() | TimeoutError():
            return f"{where} did not answer in time: check the address, the network and that the camera is on."
        case av.error.EOFError():
            return f"{where} ended at once: there is no video in it."
        case FileNotFoundError():
            return f"There is no {_thing(url)} {where}: check the path."
        case PermissionError():
            return f"{where} may not be read: check the permissions of the {_thing(url)}."
        case av.error.InvalidDataError() if url.kind == "rtsp":
            return f"{where} did not speak RTSP that can be understood: check the URL's port and path."
        case av.error.InvalidDataError():
            return f"{where} is not a video that can be read (unknown format, or cut off): give another file."
        case av.error.ProtocolNotFoundError():
            return f"{where} points to something that is not allowed for it (only {url.protocols.replace(',', ', ')})."
        case OSError() if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            return f"{where} is unreachable: check the address and the network."
        case _:
            return f"{where} cannot be opened or read ({_reason(error, url)})."


def _reason(error: Exception, url: SourceUrl) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return redact_text(str(text), url.location)


def _thing(url: SourceUrl) -> str:
    return "device" if url.kind == "v4l2" else "file"


def _check_file(url: SourceUrl) -> None:
    path = Path(url.location)
    try:
        if path.is_dir():
            raise SourceError(f"{url.shown} is a folder: give a video file in it.")
        size = path.stat().st_size
    except OSError as error:
        raise SourceError(explain(error, url)) from None
    if size == 0:
        raise SourceError(f"{url.shown} is empty (0 bytes): copy or record it again.")
