"""Times that a generated text names, checked against what it was given: a time that was not there is no evidence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

from llama_vid.llm.answer import Evidence

#: 0:07, 1:02:07 and 15:04:05, with the day that may stand before.
_TIME: Final = re.compile(
    r"(?:\b(?P<day>yesterday|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d{1,2} [A-Z][a-z]{2})\s+(?:at )?)?"
    r"(?<![\d:])(?P<one>\d{1,2}):(?P<two>[0-5]\d)(?::(?P<three>[0-5]\d))?(?![\d:])"
)
DAY_S: Final = 86_400


def cited(text: str, offered: Sequence[Evidence], zone: tzinfo | None, now: float) -> list[Evidence]:
    """Of the spans `offered` those that a text names the times of: the most exact one for each, in time order."""
    found: dict[tuple[float, float], Evidence] = {}
    for match in _TIME.finditer(text):
        seconds = _seconds(match, zone)
        near = [item for item in offered if _in(seconds, match["day"], item, zone, now)]
        if near:
            # A time is most of all that of what begins with it; else of the shortest span around it.
            best = min(near, key=lambda item: (not _begins(seconds, item, zone), item.end - item.start))
            found.setdefault((best.start, best.end), best)
    return sorted(found.values(), key=lambda item: item.start)


def uncited(text: str, offered: Sequence[Evidence], zone: tzinfo | None, now: float) -> list[str]:
    """The times in a text that nothing of what is offered has."""
    return [
        match[0]
        for match in _TIME.finditer(text)
        if not any(_in(_seconds(match, zone), match["day"], item, zone, now) for item in offered)
    ]


def _seconds(match: re.Match[str], zone: tzinfo | None) -> tuple[float, float]:
    """The first and the last second that a time may mean: of a recording, or of the day of a live camera."""
    one, two, three = int(match["one"]), int(match["two"]), match["three"]
    if zone is None:
        at = one * 60 + two if three is None else one * 3600 + two * 60 + int(three)
        return at, at
    at = one * 3600 + two * 60 + int(three or 0)
    return at, at + (0 if three is not None else 59)


def _in(times: tuple[float, float], day: str | None, item: Evidence, zone: tzinfo | None, now: float) -> bool:
    first, last = times
    if zone is None:
        return int(item.start) <= last and first <= item.end
    begin = datetime.fromtimestamp(item.start, UTC).astimezone(zone)
    today = datetime.fromtimestamp(now, UTC).astimezone(zone).date()
    days = (today - begin.date()).days
    named = "yesterday" if days == 1 else f"{begin:%a} {begin.day} {begin:%b}"
    if day is not None and day != named:
        return False
    since = _of_day(item.start, zone)
    until = since + item.end - item.start + item.start % 1
    return any(since <= last + shift and first + shift <= until for shift in (0, DAY_S))


def _begins(times: tuple[float, float], item: Evidence, zone: tzinfo | None) -> bool:
    start = int(item.start) if zone is None else _of_day(item.start, zone)
    return times[0] <= start <= times[1]


def _of_day(seconds: float, zone: tzinfo) -> int:
    at = datetime.fromtimestamp(seconds, UTC).astimezone(zone)
    return at.hour * 3600 + at.minute * 60 + at.second
