"""Decoding a recording: every sampled picture of it, in order, as fast as the file allows."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av import VideoFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from llama_vid.errors import SourceError
from llama_vid.stream.demux import explain, frame_rate
from llama_vid.stream.frame import Frame
from llama_vid.stream.picture import LONGEST_SIDE, Rgb, to_rgb
from llama_vid.stream.sampling import Sample, ShownSampler
from llama_vid.stream.skipping import GroupPlanner, Planned
from llama_vid.stream.starts import clean_start
from llama_vid.stream.timeline import Timeline
from llama_vid.stream.urls import SourceUrl

#: A picture is repeated for this many seconds when none follows it (slides in a screen recording); longer is a gap.
LONGEST_HOLD = 60.0

#: Enough for what is left to decode; the other cores are the model's.
DECODING_THREADS = 2

#: A container may start counting anywhere, but its video starts near the rest of it; else the container is wrong.
_LATEST_START = 10.0


class Recording:
    """One pass over an open container's video stream. Iterate it once; `warnings` grows while that goes on."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        url: SourceUrl,
        *,
        fps: float,
        longest_side: int = LONGEST_SIDE,
        skip: bool = True,
        warnings: list[str] | None = None,
    ) -> None:
        """`skip=False` decodes every packet (same frames, slower)."""
        self.warnings: list[str] = [] if warnings is None else warnings
        self._container, self._stream, self._url = container, stream, url
        self._fps, self._longest_side, self._skip = fps, longest_side, skip
        self._unit = float(stream.time_base or 0) or 1 / 90_000
        self._frame_seconds = 1 / frame_rate(stream)
        hold = max(LONGEST_HOLD, 2 / fps)
        self._sampler: ShownSampler[VideoFrame] = ShownSampler(
            fps, frame_seconds=self._frame_seconds, longest_hold=hold
        )
        self._origin = media_origin(container, stream)
        duration = seconds_long(container, stream)
        self._duration = duration
        # A stamp far beyond the stated end is damage, not time that passed.
        longest_step = hold if duration is None else max(hold, duration)
        self._timeline = Timeline(step=self._frame_seconds, origin=self._origin, hole=hold, longest_step=longest_step)
        self._planner = GroupPlanner(
            lambda pts: pts * self._unit - self._origin,
            self._sampler.first_at_or_after,
            hold,
            clean_start(stream.codec_context.name, stream.codec_context.extradata),
        )
        self._damaged = 0
        self._latest = 0.0
        self._converted: tuple[VideoFrame, Rgb] | None = None

    @property
    def skipped(self) -> int:
        """Packets that did not need decoding."""
        return self._planner.skipped

    def __iter__(self) -> Iterator[Frame]:
        """Every sampled frame. Raises SourceError when not one picture can be decoded."""
        seen = False
        shown = 0.0
        for picture in self.pictures():
            shown = (picture.duration or 0) * self._unit
            stamp = self._timeline.place(None if picture.pts is None else picture.pts * self._unit)
            self._latest = stamp.seconds
            for frame in self._frames(self._sampler.push(stamp, picture)):
                seen = True
                yield frame
        for frame in self._frames(self._sampler.finish(shown=shown)):
            seen = True
            yield frame
        self._warn_at_end(seen)

    def pictures(self) -> Iterator[VideoFrame]:
        """Every picture that must be decoded for the sampled ones, in presentation order, and no other; instead of
        iterating. Damage is counted and passed over.
        """
        context = self._stream.codec_context
        context.thread_type = "AUTO"
        context.thread_count = DECODING_THREADS
        for step in self._planned():
            # A picture that nothing refers to and nobody wants is not decoded at all.
            context.skip_frame = "DEFAULT" if step.wanted else "NONREF"
            yield from self._decode(step.packet)
        context.skip_frame = "DEFAULT"
        yield from self._decode(None)

    def _planned(self) -> Iterator[Planned]:
        try:
            for packet in self._container.demux(self._stream):
                if packet.size == 0:
                    continue  # PyAV's mark for the end
                self._damaged += packet.is_corrupt
                if self._skip:
                    yield from self._planner.push(packet)
                else:
                    yield Planned(packet, True)
        except (av.FFmpegError, OSError) as error:
            self.warnings.append(f"Reading stopped early: {explain(error, self._url)}")
        yield from self._planner.finish()

    def _decode(self, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame]:
        """The pictures that come out for one packet, or at the end (None) those still in the decoder."""
        try:
            pictures = self._stream.codec_context.decode(packet)
        except av.error.EOFError:
            return
        except (av.FFmpegError, ValueError):
            self._damaged += 1
            return
        for picture in pictures:
            self._damaged += picture.is_corrupt
            yield picture

    def _frames(self, samples: list[Sample[VideoFrame]]) -> Iterator[Frame]:
        for sample in samples:
            if self._converted is None or self._converted[0] is not sample.picture:
                aspect = float(self._stream.sample_aspect_ratio or 1)
                try:
                    image = to_rgb(sample.picture, longest_side=self._longest_side, pixel_aspect=aspect)
                except (av.FFmpegError, ValueError):  # a picture whose header is damaged: no size or no such format
                    self._damaged += 1
                    continue
                self._converted = (sample.picture, image)
            yield Frame(sample.seconds, self._converted[1], sample.gap)

    def _warn_at_end(self, seen: bool) -> None:
        where = self._url.shown
        if not seen:
            raise SourceError(
                f"{where} holds no picture that can be decoded: the file is damaged; copy or record it again."
            )
        if self._damaged:
            self.warnings.append(
                f"{where} is damaged in {self._damaged} places: those pictures are missing or blurred."
            )
        end = self._latest + self._frame_seconds
        if self._duration is not None and end < self._duration - max(1.0, 0.02 * self._duration):
            self.warnings.append(f"{where} is cut off: {end:.1f} s of {self._duration:.1f} s can be read.")


def seconds_long(container: InputContainer, stream: VideoStream) -> float | None:
    """The video's length in seconds as the container states it, or None."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if not container.duration or container.duration < 0:
        return None
    # Matroska states where the last picture ends, not how long the film is.
    before = max(0, container.start_time or 0) if "matroska" in container.format.name else 0
    return (container.duration - before) / av.time_base


def media_origin(container: InputContainer, stream: VideoStream | AudioStream) -> float:
    """The raw stamp in seconds that is media second 0: where the container starts, else where its main stream does."""
    unit = float(stream.time_base or 0) or 1 / 90_000
    video = stream.start_time * unit if stream.start_time is not None else None
    whole = container.start_time / av.time_base if container.start_time is not None else None
    if video is None:
        return whole or 0.0
    return whole if whole is not None and 0 <= video - whole <= _LATEST_START else video
