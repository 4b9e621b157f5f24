"""Media time out of a stream's stamps, whatever the stamps are like."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where a picture lies in media time: never before the picture that came before it.

    `jump` says that the stream's own stamps broke here: time was lost or cannot be known.
    """

    seconds: float
    jump: bool = False


class Timeline:
    """Turns raw stamps in seconds (or None where the stream gives none) into media seconds that never run backward.

    * Missing stamps continue at the nominal rate.
    * Small steps backward (reordering, rounding) are held at the latest time.
    * Steps backward by more than `slack` are a new beginning of the same stream: time goes on from where it was.
    * Steps forward by more than `longest_step` are taken for broken stamps: time goes on from where it was. Smaller
      ones are believed; those above `hole` are marked as a jump.
    """

    def __init__(
        self,
        *,
        step: float = 0.04,
        origin: float = 0.0,
        slack: float = 0.5,
        hole: float = 60.0,
        longest_step: float = math.inf,
    ) -> None:
        """`step` is the nominal time between two pictures, `origin` the raw stamp that stands for media second 0."""
        self._step = step
        self._offset = -origin
        self._slack = slack
        self._hole = hole
        self._longest_step = longest_step
        self._latest: float | None = None

    def peek(self, raw: float) -> float:
        """Where the stamp `raw` lies now, without moving on: for what accompanies the pictures (sound)."""
        return raw + self._offset

    def place(self, raw: float | None) -> Stamp:
        """The media time of the next picture in presentation order, `raw` being its stamp in seconds."""
        latest = self._latest
        if raw is None or not math.isfinite(raw):
            seconds, jump = (0.0 if latest is None else latest + self._step), False
        elif latest is None:
            seconds, jump = raw + self._offset, False
        else:
            seconds = raw + self._offset
            move = seconds - latest
            jump = move < -self._slack or move > self._hole
            if move < -self._slack or move > self._longest_step:
                seconds = latest + self._step
                self._offset = seconds - raw
            elif move < 0:
                seconds = latest
        self._latest = seconds
        return Stamp(seconds, jump)
