"""Alerts as they travel: from a camera's rules into the journal, and from there to everybody who is told."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any, Literal

ChangeType = Literal["new", "update", "end"]


def event_id() -> str:
    """A new event's id, the same in all of its changes."""
    return f"evt_{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """One event of one rule, as far as it is known. Times are those of the one clock (DESIGN section 5).

    `start` is the first second that showed what the rule watches for, `end` where it was over, None while it is open.
    `score` in 0…1 is the highest so far. `verified` is the second look's word: None not asked (yet), True confirmed,
    False withdrawn. `frames` are the times of pictures that show it, the best first; `before` the one just before.
    """

    id: str
    camera: str
    rule: str
    text: str
    start: float
    end: float | None
    score: float
    verified: bool | None = None
    frames: tuple[float, ...] = field(default=())
    before: float | None = None

    @property
    def withdrawn(self) -> bool:
        """Whether the second look took it back."""
        return self.verified is False


@dataclass(frozen=True, slots=True)
class AlertChange:
    """What became of an event: it began, more is known of it, or it is over. `at` is when, on the one clock."""

    type: ChangeType
    event: AlertEvent
    at: float

    def to_json(self) -> dict[str, Any]:
        """As `replay` prints it and the server sends it (DESIGN section 4)."""
        event = self.event
        return {
            "type": self.type,
            "id": event.id,
            "rule": event.rule,
            "camera": event.camera,
            "start": round(event.start, 3),
            "end": None if event.end is None else round(event.end, 3),
            "score": round(event.score, 4),
            "verified": event.verified,
            "text": event.text,
        }
