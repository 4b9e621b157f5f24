"""The topics under `base_topic`, and what is published on them. They are contracts: docs/mqtt.md lists them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from llama_vid.memory.alerts import AlertChange, AlertEvent

ONLINE: Final = "online"
OFFLINE: Final = "offline"
ON: Final = "ON"
OFF: Final = "OFF"
#: Home Assistant keeps states of up to 255 letters.
LONGEST_STATE: Final = 250


@dataclass(frozen=True, slots=True)
class Topics:
    """Topic names. Rules are named as in the settings, which keep them free of what topics use."""

    base: str

    @property
    def available(self) -> str:
        return f"{self.base}/available"

    def status(self, camera: str) -> str:
        return f"{self.base}/{camera}/status"

    def alert_state(self, camera: str, rule: str) -> str:
        return f"{self.base}/{camera}/alert/{rule}/state"

    def alert_attributes(self, camera: str, rule: str) -> str:
        return f"{self.base}/{camera}/alert/{rule}/attributes"

    def events(self, camera: str) -> str:
        return f"{self.base}/{camera}/events"

    def evidence(self, camera: str) -> str:
        return f"{self.base}/{camera}/evidence"

    def captions(self, camera: str) -> str:
        return f"{self.base}/{camera}/captions"

    def summary_state(self, camera: str) -> str:
        return f"{self.base}/{camera}/summary/state"

    def summary(self, camera: str) -> str:
        return f"{self.base}/{camera}/summary"

    def answer(self, camera: str) -> str:
        return f"{self.base}/{camera}/answer"

    def paused_state(self, camera: str) -> str:
        return f"{self.base}/{camera}/paused/state"

    def command(self, camera: str, thing: str) -> str:
        return f"{self.base}/{camera}/{thing}/set"

    def parts(self, topic: str) -> list[str]:
        """The levels of a topic after the base; [] for one that is not below it."""
        begin = f"{self.base}/"
        return topic[len(begin) :].split("/") if topic.startswith(begin) else []


def iso(seconds: float | None) -> str | None:
    """Epoch seconds as ISO 8601 in UTC with milliseconds: 2026-09-21T12:00:00.250+00:00. None beyond the calendar."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None


def attributes(event: AlertEvent) -> dict[str, Any]:
    """What is known of an event."""
    return {
        "id": event.id,
        "rule": event.rule,
        "text": event.text,
        "start_time": iso(event.start),
        "end_time": iso(event.end),
        "score": round(event.score, 4),
        "verified": event.verified,
    }


def event_json(change: AlertChange) -> str:
    """A change as it goes out on `events`."""
    return dump({"event_type": change.type} | attributes(change.event))


def state(event: AlertEvent | None) -> str:
    """`ON` while an event goes on and was not taken back."""
    return ON if event is not None and event.end is None and not event.withdrawn else OFF


def short(text: str) -> str:
    """A text as a state: one line, not too long, cut between words."""
    line = " ".join(text.split())
    if len(line) <= LONGEST_STATE:
        return line
    cut = line[: LONGEST_STATE - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[LONGEST_STATE // 2 :] else cut).rstrip(" ,;:") + "…"


def dump(tree: dict[str, Any]) -> str:
    """JSON as it is sent."""
    return json.dumps(tree, ensure_ascii=False, allow_nan=False)
