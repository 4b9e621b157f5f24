"""How much work recognition makes of a second of sound, and what is given up first when the machine is too slow.

In this order, one rung at a time: a longer step between two recognitions, a beam of one, a shorter window, and at last
no partial captions (each piece is recognised once and committed as it is). Only behind all that is sound dropped, by
the queue that it waits in, newest kept. With the machine idle again the rungs are climbed back up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Effort:
    """Seconds of new sound between two recognitions, the search's beam, the longest window in seconds, and whether the
    tail is recognised again until two agree (`partials`)."""

    name: str
    step_s: float
    beam: int
    window_s: float
    partials: bool = True


#: A step of 0.8 s commits most words within two seconds of being spoken, for about half of one core on tiny.en. The
#: window is what Whisper needs to see of a sentence; its cost grows with the words in it.
EFFORTS: Final = (
    Effort("full", 0.8, 5, 15.0),
    Effort("longer step", 1.2, 5, 15.0),
    Effort("beam of one", 1.2, 1, 15.0),
    Effort("shorter window", 1.6, 1, 8.0),
    Effort("no partials", 4.0, 1, 8.0, partials=False),
)

#: A load above `_BUSY` over `_SURE` recognitions (a step is as long as a recognition takes, if need be: one slow one is
#: no reason), or more sound waiting than `LATE_S` seconds after one: a rung down. A load that would stay below `_IDLE`
#: on the rung above, over `_CALM` recognitions: a rung up.
_BUSY, _IDLE = 0.95, 0.7
_SURE, _CALM = 4, 8
LATE_S: Final = 2.5


class Ladder:
    """Chooses the effort from how long recognition takes and how much sound waits meanwhile."""

    def __init__(self, efforts: tuple[Effort, ...] = EFFORTS) -> None:
        self._efforts = efforts
        self._rung = 0
        self._calm = 0
        self._since = 0
        self.load = 0.0

    @property
    def effort(self) -> Effort:
        return self._efforts[self._rung]

    @property
    def rung(self) -> int:
        """0 is full effort."""
        return self._rung

    def measure(self, took_s: float, advanced_s: float, waiting_s: float) -> None:
        """A recognition took `took_s` seconds for `advanced_s` seconds of new sound; `waiting_s` came meanwhile."""
        now = took_s / max(advanced_s, 0.1)
        self.load = now if not self.load else 0.7 * self.load + 0.3 * now
        self._since += 1
        busy = self.load > _BUSY and self._since >= _SURE
        if busy or (waiting_s > LATE_S and self._since >= 2):
            if self._rung < len(self._efforts) - 1:
                self._move(1)
        elif self._rung and self._expected_above() < _IDLE and waiting_s < LATE_S / 2:
            self._calm += 1
            if self._calm >= _CALM:
                self._move(-1)
        else:
            self._calm = 0

    def _expected_above(self) -> float:
        """The load on the next rung up, if a recognition takes as long there; a bigger beam adds a third."""
        here, above = self._efforts[self._rung], self._efforts[self._rung - 1]
        return self.load * here.step_s / above.step_s * (1.3 if above.beam > here.beam else 1.0)

    def _move(self, by: int) -> None:
        # The load is measured anew: what was true on one rung is not on the next.
        self._rung += by
        self._calm = self._since = 0
        self.load = 0.0
