"""When a rule is on: `22:00-06:00`, `mon-fri 08:00-18:00`, lists of such, by the wall clock of a time zone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES: Final = 24 * 60
_TIMES: Final = re.compile(r"(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})")
_DAY_RANGE: Final = re.compile(r"([a-z]+)(?:\s*[-–]\s*([a-z]+))?")
_HOW: Final = "write it as 22:00-06:00, mon-fri 08:00-18:00 or sat,sun"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Minutes [start, end) of the day on `days` (0 is Monday); one that ends before it starts runs past midnight into
    the next day."""

    days: frozenset[int]
    start: int
    end: int

    def holds(self, day: int, minute: int) -> bool:
        """Whether a minute of a day lies in it."""
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or ((day - 1) % 7 in self.days and minute < self.end)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The stretches of a week in which a rule is on; without any, always.

    Judged by what the wall clock shows, so that a day on which clocks change is as long as it is: an hour that is shown
    twice counts twice, one that is skipped does not come.
    """

    stretches: tuple[Stretch, ...] = ()

    def holds(self, seconds: float, zone: tzinfo) -> bool:
        """Whether the rule is on at a time (UTC epoch seconds) by the clock of a zone."""
        if not self.stretches:
            return True
        local = datetime.fromtimestamp(seconds, UTC).astimezone(zone)
        minute = local.hour * 60 + local.minute
        return any(stretch.holds(local.weekday(), minute) for stretch in self.stretches)


def parse_schedule(texts: Iterable[str]) -> Schedule:
    """The schedule that is written so. Raises ValueError that says what is wrong with which text."""
    return Schedule(tuple(_stretch(text) for text in texts))


def _stretch(text: str) -> Stretch:
    clean = text.strip().lower()
    times = _TIMES.search(clean)
    words = clean
    start, end = 0, DAY_MINUTES
    if times is not None:
        if times.end() != len(clean):
            raise ValueError(f"{text!r} is not a schedule; {_HOW}")
        start, end = _minute(times[1], times[2], text), _minute(times[3], times[4], text)
        if start == end:
            raise ValueError(f"{text!r} begins and ends at the same time; leave the times out for the whole day")
        if start == DAY_MINUTES:
            raise ValueError(f"{text!r} begins at 24:00; write 00:00")
        words = clean[: times.start()].strip().rstrip(",").strip()
    elif not clean:
        raise ValueError(f"a schedule is empty; {_HOW}, or leave it out")
    days = frozenset(range(7)) if times is not None and not words else _days(words, text)
    return Stretch(days, start, end)


def _minute(hours: str, minutes: str, text: str) -> int:
    minute = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or minute > DAY_MINUTES:
        raise ValueError(f"{text!r} holds {hours}:{minutes}, which no clock shows; {_HOW}")
    return minute


def _days(words: str, text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in re.split(r"\s*,\s*|\s+(?![-–])(?<![-–]\s)", words):
        match = _DAY_RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"{text!r} is not a schedule; {_HOW}")
        first = _day(match[1], text)
        last = first if match[2] is None else _day(match[2], text)
        found |= {(first + step) % 7 for step in range((last - first) % 7 + 1)}
    return frozenset(found)


def _day(word: str, text: str) -> int:
    names = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    for number, name in enumerate(names):
        if len(word) >= 3 and name.startswith(word):
            return number
    raise ValueError(f"{text!r} holds {word!r}, which is no day; days are {', '.join(DAYS)}")
