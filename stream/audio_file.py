"""The sound of a recording: every second of it, in order, as fast as it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike, fspath

import av
from av.container import InputContainer

from llama_vid.errors import SourceError
from llama_vid.stream.audio import AudioBlock
from llama_vid.stream.audio_track import Continuity, Resampler, audio_stream
from llama_vid.stream.demux import explain, open_container, video_stream
from llama_vid.stream.recording import media_origin
from llama_vid.stream.timeline import Timeline
from llama_vid.stream.urls import parse_url


class AudioFile:
    """The sound of a file (with or without pictures), or of one behind http(s):, as `AudioBlock`s.

    Iterate it, each time from the start. Its seconds are those of `FileSource`: 0 is where the container begins.
    Raises SourceError where the file is missing, unreadable or has no sound; damage is passed over and told in
    `warnings`.
    """

    def __init__(self, url: str | PathLike[str]) -> None:
        """Nothing is opened yet. Raises SourceError for an address that is no file."""
        self._url = parse_url(fspath(url))
        if self._url.kind not in ("file", "http"):
            raise SourceError(f"{self._url.shown} is a live source, not a file: caption it as a stream.")
        self._duration: float | None = None
        self.warnings: list[str] = []

    @property
    def duration(self) -> float | None:
        """The sound's length in seconds as the file states it, or None; known once iteration has begun."""
        return self._duration

    def __iter__(self) -> Iterator[AudioBlock]:
        self.warnings.clear()
        with open_container(self._url) as container:
            yield from self._blocks(container)

    def _blocks(self, container: InputContainer) -> Iterator[AudioBlock]:
        stream = audio_stream(container)
        if stream is None:
            raise SourceError(f"{self._url.shown} has no audio track: there is nothing to caption.")
        unit = float(stream.time_base or 0) or 1 / 90_000
        film = video_stream(container, self._url) if container.streams.video and _moving(container) else None
        origin = media_origin(container, film if film is not None else stream)
        if container.duration:
            self._duration = container.duration / av.time_base
        # An hour of silence may be written as a hole; a stamp beyond the end of the file is damage.
        timeline = Timeline(step=0.02, origin=origin, hole=60.0, longest_step=max(60.0, self._duration or 86_400.0))
        resampler, row = Resampler(), Continuity(floor=0.0)
        stream.codec_context.thread_count = 1
        damaged = 0
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self.warnings.append(f"Reading stopped early: {explain(error, self._url)}")
                break
            if packet is None:
                break
            try:
                frames = stream.codec_context.decode(packet if packet.size else None)
            except av.error.EOFError:
                continue
            except (av.FFmpegError, ValueError):
                damaged += 1
                continue
            for frame in frames:
                seconds = None if frame.pts is None else timeline.place(frame.pts * unit).seconds
                yield from row.push(seconds, resampler.take(frame))
        yield from row.push(None, resampler.finish())
        yield from row.finish()
        if damaged:
            self.warnings.append(f"The sound of {self._url.shown} is damaged in {damaged} places: they are left out.")


def _moving(container: InputContainer) -> bool:
    """Whether there is a film beside the sound; a cover picture is none."""
    cover = av.stream.Disposition.attached_pic
    return any(not stream.disposition & cover for stream in container.streams.video)
