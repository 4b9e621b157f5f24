"""From decoded sound of any kind to mono blocks at 16 kHz whose times are right."""

from __future__ import annotations

from typing import Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from llama_vid.stream.audio import RATE, AudioBlock, Samples

#: Blocks are at least this long: a tenth of a second delays captions by less than their recognition does, and Opus
#: alone would make fifty blocks a second.
BLOCK: Final = RATE // 10

#: Holes up to this many seconds are filled with silence; longer ones are gaps.
LONGEST_FILL: Final = 2.0

#: Stamps that are off by less than this are taken for jitter, and samples are counted instead.
SLACK: Final = 0.12


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The container's main sound (the default one, else the first that can be decoded), or None."""
    known = [stream for stream in container.streams.audio if getattr(stream, "codec_context", None) is not None]
    default = [stream for stream in known if stream.disposition & av.stream.Disposition.default]
    return next(iter(default or known), None)


class Resampler:
    """Decoded frames of any rate, layout and sample format as mono float32 at `RATE`.

    A stream that changes one of them midway gets a new resampler from there on; 5.1 is mixed down by FFmpeg's rules.
    """

    def __init__(self) -> None:
        self._resampler: AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None

    def take(self, frame: AudioFrame) -> Samples:
        """The samples that this frame makes certain, (n,) float32; at a change of kind with the rest of what was."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        before = self.finish() if kind != self._kind else _NOTHING
        if self._resampler is None:
            self._resampler = AudioResampler(format="flt", layout="mono", rate=RATE)
            self._kind = kind
        return np.concatenate([before, *map(_samples, self._resampler.resample(frame))])

    def finish(self) -> Samples:
        """What is still inside; the next frame begins anew."""
        resampler, self._resampler, self._kind = self._resampler, None, None
        if resampler is None:
            return _NOTHING
        return np.concatenate([_NOTHING, *map(_samples, resampler.resample(None))])


_NOTHING: Final[Samples] = np.zeros(0, dtype=np.float32)


def _samples(frame: AudioFrame) -> Samples:
    samples = frame.to_ndarray().reshape(-1).astype(np.float32, copy=False)
    return np.clip(np.nan_to_num(samples), -1.0, 1.0)


class Continuity:
    """Makes one unbroken row of blocks out of stamped pieces, counting samples, so that times neither creep nor jump.

    * A stamp within `slack` seconds of where the samples have got to is jitter.
    * A hole up to `longest_fill` seconds is filled with silence; a longer one gives a block with `gap` set.
    * What overlaps the sound before it is cut off, and so is what lies before `floor` (encoder delay before second 0).
    """

    def __init__(
        self, *, slack: float = SLACK, longest_fill: float = LONGEST_FILL, gap: bool = False, floor: float | None = None
    ) -> None:
        """`gap` marks the first block: time is missing before it."""
        self._slack, self._longest_fill, self._gap, self._floor = slack, longest_fill, gap, floor
        self._start: float | None = None
        self._pieces: list[Samples] = []
        self._held = 0
        self.filled_s = 0.0

    def push(self, seconds: float | None, samples: Samples) -> list[AudioBlock]:
        """Take the next piece; `seconds` is its media time, or None where the stream does not say."""
        blocks: list[AudioBlock] = []
        if self._start is None:
            at = seconds if seconds is not None else (self._floor or 0.0)
            if self._floor is not None and at < self._floor:
                samples = samples[round((self._floor - at) * RATE) :]
                at = self._floor
            self._start = at
        elif seconds is not None:
            off = seconds - (self._start + self._held / RATE)
            if abs(off) > self._longest_fill:
                blocks += self.finish()
                self._start, self._gap = seconds, True
            elif off > self._slack:
                self._add(np.zeros(round(off * RATE), dtype=np.float32))
                self.filled_s += off
            elif off < -self._slack:
                samples = samples[round(-off * RATE) :]
        self._add(samples)
        if self._held >= BLOCK:
            blocks += self.finish()
        return blocks

    def finish(self) -> list[AudioBlock]:
        """The block that is still too short to be given, if any."""
        if self._start is None or not self._held:
            return []
        samples = np.concatenate(self._pieces)
        block = AudioBlock(self._start, samples, self._gap)
        self._start, self._gap = block.end, False
        self._pieces, self._held = [], 0
        return [block]

    def _add(self, samples: Samples) -> None:
        if len(samples):
            self._pieces.append(samples)
            self._held += len(samples)
