"""The clock of a live camera: UTC epoch seconds that follow the stream's own stamps and never run backward."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from llama_vid.stream.timeline import Stamp, Timeline

#: How far a stream's stamps may run away from the wall before they are anchored again, in seconds. Wide enough for what
#: HLS hands over in one piece, narrow enough that "five minutes ago" stays true.
LARGEST_DRIFT = 15.0


class LiveClock:
    """Anchors each connection's first stamp to the wall, then counts with the stream.

    During a connection the wall is counted with the monotonic clock, so that setting the machine's time moves nothing.
    """

    def __init__(
        self, *, ahead: float = 0.0, wall: Callable[[], float] = time.time, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        """`ahead` is how far stamps may run before the wall: not at all for cameras, whose buffered first pictures come
        in a burst and would set the clock forward; for HLS as much as one delivery holds, since its reader paces it."""
        self._ahead = ahead
        self._wall, self._ticks = wall, ticks
        self._epoch, self._started = wall(), ticks()
        self._timeline: Timeline | None = None
        self.latest = -math.inf

    def begin(self) -> None:
        """A new connection begins: its stamps have nothing to do with those before."""
        self._epoch, self._started = self._wall(), self._ticks()
        self._timeline = None

    def now(self) -> float:
        """UTC epoch seconds, never before the latest picture of an earlier connection."""
        return self._epoch + self._ticks() - self._started

    def early(self) -> float:
        """How many seconds the latest picture of this connection lies ahead of the wall; 0 before there is one."""
        return self.latest - self.now() if self._timeline is not None else 0.0

    def hear(self, raw: float) -> float:
        """The epoch time of sound with the stamp `raw` seconds, on the clock of the pictures, which it never moves."""
        if self._timeline is None:
            self._timeline = Timeline(origin=raw - max(self.now(), self.latest), hole=LARGEST_DRIFT)
        return self._timeline.peek(raw)

    def place(self, raw: float | None) -> Stamp:
        """The epoch time of a picture with the stream's stamp `raw` in seconds; without one, its time of arrival."""
        now = max(self.now(), self.latest)
        jump = False
        if raw is None:
            stamp = Stamp(now)
        else:
            if self._timeline is None:
                self._timeline = Timeline(origin=raw - now, hole=LARGEST_DRIFT)
            stamp = self._timeline.place(raw)
            drift = stamp.seconds - self.now()
            if drift > self._ahead or drift < -LARGEST_DRIFT:
                # The shortest delay seen so far is the true one; a long one is a stream that lost time.
                self._timeline = Timeline(origin=raw - now, hole=LARGEST_DRIFT)
                stamp, jump = self._timeline.place(raw), abs(drift) > LARGEST_DRIFT
        self.latest = max(self.latest, stamp.seconds)
        return Stamp(self.latest, stamp.jump or jump)
