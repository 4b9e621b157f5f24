"""One alert rule, checked and ready: what to look or listen for, where, when, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from llama_vid.llm.rules.schedule import Schedule

HOLD: Final = 3.0  # seconds for which a rule must be satisfied, where it says nothing else
COOLDOWN: Final = 60.0  # seconds after an event in which its rule raises no other

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Zone:
    """A part of the picture: the corners of a polygon, each (x, y) in 0…1 from the top left."""

    corners: tuple[Point, ...]

    @classmethod
    def box(cls, left: float, top: float, right: float, bottom: float) -> Zone:
        """A rectangle."""
        return cls(((left, top), (right, top), (right, bottom), (left, bottom)))

    @property
    def area(self) -> float:
        """The share of the picture that it takes."""
        total = 0.0
        for (x, y), (next_x, next_y) in zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True):
            total += x * next_y - next_x * y
        return abs(total) / 2

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies in it (even-odd rule)."""
        inside = False
        for (x1, y1), (x2, y2) in zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True):
            if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                inside = not inside
        return inside


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule looks for `when` in pictures, listens for `heard` in speech, or both. Durations in seconds.

    `threshold` is the probability from which a frame satisfies it, None the calibrated one. Two equal rules are the
    same rule: what is open of one goes on when the settings are read again.
    """

    name: str
    when: str = ""
    unless: tuple[str, ...] = ()
    heard: tuple[str, ...] = ()
    hold: float = HOLD
    cooldown: float = COOLDOWN
    schedule: Schedule = field(default_factory=Schedule)
    zone: Zone | None = None
    threshold: float | None = None
    verify: bool = True
