"""From probabilities second by second to events: N of M, hysteresis, a hold time, a quiet end, a cooldown.

Everything goes by media time and by what was seen alone, so that a recording raises the same events however fast it is
read. One rule has one `Debouncer`, and that at most one open event.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

#: A run goes on while NEEDED of the last WINDOW frames (or of the frames of as many seconds) support it.
NEEDED, WINDOW = 2, 3
WINDOW_SECONDS: Final = 3.0
#: The log odds by which the release level lies below the firing one: what hovers around it is one event.
HYSTERESIS: Final = 1.0
#: Seconds without support after which an event is over.
QUIET: Final = 5.0
#: Seconds that may be missing between two frames; after more, nobody knows what happened and the event is over.
AWAY: Final = 10.0
#: Log odds by which a frame must beat an event that was withdrawn, while the same run goes on, to raise another.
CLEARLY: Final = 1.0
EPSILON: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Limits:
    """The levels (probabilities) and times (seconds) of one rule."""

    threshold: float
    hold: float
    cooldown: float
    quiet: float = QUIET

    @property
    def release(self) -> float:
        """The probability that keeps an event open."""
        return shifted(self.threshold, -HYSTERESIS)


@dataclass(frozen=True, slots=True)
class Opened:
    """An event began at `start`; it is known at `at`. `before` is when the frame before it was taken, if any was."""

    start: float
    at: float
    before: float | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """The open event was over at `end`; it is known at `at`."""

    end: float
    at: float


def shifted(p: float, by: float) -> float:
    """A probability whose log odds are moved."""
    if p <= 0 or p >= 1:
        return p
    return 1 / (1 + math.exp(-(math.log(p / (1 - p)) + by)))


class Debouncer:
    """The events of one rule. Frames come in time order; a frame stands for [start, end) seconds."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._window: deque[tuple[float, float]] = deque()  # (start, probability) of the frames of the run
        self._since: float | None = None  # when the run began that may become an event
        self._open: float | None = None  # when the open event began
        self._kept = 0.0  # the end of the last frame that kept it open
        self._muted: float | None = None  # the level that the open event was withdrawn at
        self._ready = -math.inf  # when the cooldown is over
        self._last: float | None = None  # the end of the last frame
        self._previous: float | None = None  # the start of the last frame; None after a gap
        self._before: float | None = None  # the start of the frame before the run

    @property
    def begun(self) -> float | None:
        """When the open event began, or what may become one; None while there is neither."""
        return self._since if self.since is None else self.since

    @property
    def since(self) -> float | None:
        """The start of the open event; None while there is none (or it was withdrawn)."""
        return self._open if self._muted is None else None

    def see(self, start: float, end: float, probability: float, *, gap: bool = False) -> list[Opened | Closed]:
        """What the next frame brings: nothing, an end, a beginning, or both."""
        found: list[Opened | Closed] = []
        if self._last is not None and (gap or start - self._last > AWAY):
            found += self.stop(self._last)
        self._last = end
        if self._open is not None:
            self._keep(start, end, probability, found)
        if self._open is None:
            self._wait(start, end, probability, self.limits.threshold, found)
        self._previous = start
        return found

    def insist(self, start: float, end: float, at: float) -> list[Opened]:
        """What is beyond doubt (a word that was said) in [start, end): an event at once, or the open one goes on."""
        if self._open is not None and self._muted is None:
            self._kept = max(self._kept, end)
            return []
        if end <= self._ready + EPSILON:
            return []
        self._open, self._muted, self._kept = start, None, end
        self._reset()
        return [Opened(start, at, self._previous)]

    def stop(self, at: float) -> list[Opened | Closed]:
        """Nothing more is seen for now (a gap, a pause, the end): what is open is over where it was last supported."""
        found: list[Opened | Closed] = []
        if self._open is not None:
            self._close(min(self._kept, at), at, found)
        self._reset()
        self._previous = None
        return found

    def withdraw(self, level: float, at: float) -> float | None:
        """The open event was a mistake at a probability of `level`: it is over for everybody.

        While the same run goes on only what is clearly stronger raises another. Returns the event's end.
        """
        if self.since is None:
            return None
        self._muted = level
        self._ready = at + self.limits.cooldown
        self._reset()
        return self._kept

    def _keep(self, start: float, end: float, probability: float, found: list[Opened | Closed]) -> None:
        if probability >= self.limits.release:
            self._kept = end
        elif end - self._kept >= self.limits.quiet - EPSILON:
            self._close(self._kept, end, found)
            return
        if self._muted is not None:
            level = max(self.limits.threshold, shifted(self._muted, CLEARLY))
            began = len(found)
            self._wait(start, end, probability, level, found)
            if len(found) > began:
                self._muted = None

    def _wait(self, start: float, end: float, probability: float, level: float, found: list[Opened | Closed]) -> None:
        self._window.append((start, probability))
        while len(self._window) > WINDOW and end - self._window[0][0] > WINDOW_SECONDS + EPSILON:
            self._window.popleft()
        hit = probability >= level
        release = shifted(level, -HYSTERESIS)
        if self._since is None:
            if not hit:
                self._window.clear()
                return
            self._begin(start)
        missed = sum(value < release for _, value in self._window)
        if missed > len(self._window) * (1 - NEEDED / WINDOW) + EPSILON and missed > WINDOW - NEEDED:
            self._reset()
            if hit:
                self._begin(start)
                self._window.append((start, probability))
        hits = sum(value >= level for _, value in self._window)
        enough = hits >= max(NEEDED, len(self._window) * NEEDED / WINDOW - EPSILON)
        if self._since is not None and enough and end - self._since >= self.limits.hold - EPSILON:
            if end <= self._ready + EPSILON:
                return
            self._open, self._kept = self._since, end
            found.append(Opened(self._since, end, self._before))
            self._reset()

    def _begin(self, start: float) -> None:
        self._since, self._before = start, self._previous

    def _close(self, end: float, at: float, found: list[Opened | Closed]) -> None:
        if self._muted is None:
            self._ready = end + self.limits.cooldown
            found.append(Closed(end, at))
        self._open = self._muted = None
        self._reset()

    def _reset(self) -> None:
        self._since = None
        self._window.clear()
