"""Sampling by media time: which pictures of a stream are taken, at how many a second.

Two rules, both pure. A recording is known on both sides of a moment, so `ShownSampler` takes the picture that is on the
screen at each point of the grid, as a viewer who pauses there would see it. A live stream cannot look ahead, so
`LiveSampler` takes the first picture of each period.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

from llama_vid.stream.timeline import Stamp

Picture = TypeVar("Picture")


@dataclass(frozen=True, slots=True)
class Sample(Generic[Picture]):
    """A picture taken for the time `seconds`; `gap` says that time is missing before it."""

    seconds: float
    picture: Picture
    gap: bool = False


class ShownSampler(Generic[Picture]):
    """For each grid time k / fps, the picture shown then: the latest whose stamp is at most `tolerance` after it.

    A picture that stays for several grid times is given once for each, up to `longest_hold` seconds; a longer hole is a
    gap, after which the grid goes on. A film that ends within 0.15 periods after a grid time has no sample for it: an
    hour that was cut three pictures late (copying streams does that) still gives 3,600. Output seconds strictly
    increase and are multiples of 1 / fps.
    """

    def __init__(self, fps: float, *, frame_seconds: float = 0.04, longest_hold: float = 60.0) -> None:
        """`frame_seconds` is how long one picture is usually shown; half of it is the tolerance."""
        if not (fps > 0 and math.isfinite(fps)):
            raise ValueError(f"fps must be a positive number, not {fps}")
        self.fps = fps
        # More than that would let a picture of a slow or uneven stream stand for a time before it was seen.
        self.tolerance = min(frame_seconds / 2, 0.25 / fps, 0.05)
        self._frame_seconds = frame_seconds
        self._longest_hold = longest_hold
        self._next = 0
        self._sliver = 0.15 / fps
        self._held: tuple[float, Picture] | None = None
        self._ripening: list[Sample[Picture]] = []
        self._gap = False

    def first_at_or_after(self, seconds: float) -> int:
        """The first grid index whose shown picture may have the stamp `seconds`."""
        return math.ceil((seconds - self.tolerance) * self.fps - 1e-9)

    def push(self, stamp: Stamp, picture: Picture) -> list[Sample[Picture]]:
        """Take the next picture in presentation order; gives the samples that it makes certain."""
        if self._held is None:
            first = self.first_at_or_after(stamp.seconds)
            # Streams often begin a little late (encoder delay, a lost first group): that is still the start.
            if 0 < stamp.seconds < 1 / self.fps:
                first = 0
            self._next = max(0, first)
            self._held = (stamp.seconds, picture)
            return []
        start, before = self._held
        end = stamp.seconds
        broken = stamp.jump or end - start > self._longest_hold
        self._ripening += self._emit(min(end, start + self._frame_seconds) if broken else end, before)
        taken = [sample for sample in self._ripening if broken or end - sample.seconds >= self._sliver - 1e-9]
        del self._ripening[: len(taken)]
        if broken:
            self._next = max(self._next, self.first_at_or_after(end))
            self._gap = True
        self._held = (end, picture)
        return taken

    def finish(self, *, shown: float = 0.0) -> list[Sample[Picture]]:
        """The stream is over: gives what the last picture stands for, which stays for `shown` seconds where known."""
        if self._held is None:
            return []
        (start, picture), self._held = self._held, None
        end = start + max(self._frame_seconds, min(shown, self._longest_hold))
        rest, self._ripening = [*self._ripening, *self._emit(end, picture)], []
        if not rest and self._next == 0:
            rest = [Sample(0.0, picture)]
        return [sample for sample in rest if sample.seconds == 0 or end - sample.seconds >= self._sliver - 1e-9]

    def _emit(self, end: float, picture: Picture) -> list[Sample[Picture]]:
        taken = []
        while self._next < self.first_at_or_after(end):
            taken.append(Sample(self._next / self.fps, picture, self._gap))
            self._gap = False
            self._next += 1
        return taken


class LiveSampler:
    """Says of each live picture whether to take it: the first one in each period of 1 / fps seconds.

    The next one is due a whole period after the last was due, so that jitter does not add up, or after the last itself
    when that was late. Taken times strictly increase, by 0.7 periods at least but after a gap. A silence of more than
    `hole` seconds is a gap, as is a jump in the stamps.
    """

    def __init__(self, fps: float, *, hole: float = 3.0) -> None:
        if not (fps > 0 and math.isfinite(fps)):
            raise ValueError(f"fps must be a positive number, not {fps}")
        self._period = 1 / fps
        # A camera at just the sampled rate delivers each picture a little early or late: a tenth is let through.
        self._early = self._period / 10
        self._hole = max(hole, 3 * self._period)
        self._due = -math.inf
        self._latest = -math.inf
        self._gap = False

    def take(self, stamp: Stamp) -> tuple[bool, bool]:
        """(take this picture, time is missing before it)."""
        seconds = stamp.seconds
        if stamp.jump or (self._latest > -math.inf and seconds - self._latest > self._hole):
            self._gap = True
            self._due = min(self._due, seconds)
        if seconds <= self._latest or seconds < self._due - self._early:
            return False, False
        on_time = self._due > -math.inf and seconds - self._due < 0.15 * self._period
        self._due = (self._due if on_time else seconds) + self._period
        self._latest = seconds
        gap, self._gap = self._gap, False
        return True, gap

    def mark_gap(self) -> None:
        """The next picture follows a break (a reconnect): take it at once and say so."""
        self._gap = True
        self._due = -math.inf
