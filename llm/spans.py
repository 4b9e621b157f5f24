"""Times that a question names in words: "the first 30 minutes", "between 3 and 4", "the last hour", "at 1:20".

Pure functions over English text. Recordings count from 0: "between 3 and 4" are minutes, "1:20" is a minute and twenty
seconds. Live cameras count UTC epoch seconds: "between 3 and 4" are hours of the camera's time zone, "15:04" its clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

#: How much time "at 1:20", "now" or "5 minutes ago" means, in seconds, to both sides of the instant together.
INSTANT: Final = 20.0
#: The same for a time of day without seconds: who asks about 3 pm means the minutes around it.
CLOCK_INSTANT: Final = 240.0
#: The share of the whole that "at the beginning", "in the middle" and "at the end" mean.
PART: Final = 0.2

_COUNTED: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
_WORDS: Final = {word: number for number, word in enumerate(_COUNTED)} | {
    "a": 1, "an": 1, "thirty": 30, "forty": 40, "forty-five": 45, "fifty": 50, "sixty": 60, "ninety": 90,
}  # fmt: skip
_UNITS: Final = {
    "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hr": 3600, "hour": 3600, "day": 86400,
}  # fmt: skip
_N: Final = (
    r"(\d+(?:\.\d+)?|" + "|".join(sorted(_WORDS, key=len, reverse=True)) + r"|half an|half a|a few|few|couple of)"
)
_UNIT: Final = r"(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|days?)"
_CLOCK: Final = (
    r"(?:noon|midday|midnight|\d{1,2}:\d{2}(?::\d{2})?\s*(?:am|pm)?"
    r"|\d{1,5}(?:\.\d+)?\s*(?:am|pm|o'clock|s|secs?|seconds?|mins?|minutes?|h|hours?)?)"
)
_NAMED: Final = {"noon": "12:00", "midday": "12:00", "midnight": "0:00"}
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY: Final = (
    r"(?:(?:on )?(?:the day before yesterday|yesterday|today)|(?:on |last )(?:" + "|".join(_WEEKDAYS) + r")|tonight"
    r"|(?:this|last)(?= (?:morning|afternoon|evening|night)))"
)
#: Words for a day, with or without the part of it: what is left of a question's time when its clock time is taken out.
DAY_WORDS: Final = re.compile(rf"\b{_DAY}(?: (?:morning|afternoon|evening|night))?\b", re.IGNORECASE)
#: Hours of the day that its parts mean; a night ends the next morning.
_PARTS: Final = {"morning": (5, 12), "afternoon": (12, 18), "evening": (18, 23), "night": (18, 30), "tonight": (18, 24)}
_PREFIX: Final = r"(?:(?:at |in )?(?:the )?(?:minutes? |seconds? |hours? ))?"


@dataclass(frozen=True, slots=True)
class NamedSpan:
    """A span [start, end] in seconds of the one clock, and the words of the question that name it."""

    start: float
    end: float
    words: str


def named_span(text: str, start: float, end: float, *, zone: tzinfo | None = None) -> NamedSpan | None:
    """The span that `text` names, or None if it names none. [start, end] is what has been watched.

    Shares of the whole ("the first half", "the last 10 minutes", "so far") stay inside [start, end]; times of the clock
    ("between 3 and 4") may lie outside it, and the caller can say so.
    """
    clock = _Clock(start, end, zone)
    for pattern, read in _RULES:
        if match := pattern.search(text):
            found = read(clock, match)
            if found is not None:
                low, high = found
                return NamedSpan(min(low, high), max(low, high), match.group(0).strip(" ,.?!"))
    return None


@dataclass(frozen=True, slots=True)
class _Clock:
    """What has been watched, [start, end], and the time zone of a live camera."""

    start: float
    end: float
    zone: tzinfo | None

    def inside(self, low: float, high: float) -> tuple[float, float]:
        return max(self.start, min(low, self.end)), min(self.end, max(high, self.start))

    def share(self, low: float, high: float) -> tuple[float, float]:
        whole = self.end - self.start
        return self.start + low * whole, self.start + high * whole

    def around(self, seconds: float, width: float = INSTANT) -> tuple[float, float]:
        return seconds - width / 2, seconds + width / 2

    def days_ago(self, text: str) -> int:
        """How many days before the last watched one `text` names; 0 where it names none."""
        if "day before yesterday" in text:
            return 2
        if re.search(r"\b(?:yesterday|last night)\b", text):
            return 1
        named = re.search(r"\b(?:on |last )(" + "|".join(_WEEKDAYS) + r")\b", text)
        if named is None:
            return 0
        today = datetime.fromtimestamp(self.end, UTC).astimezone(self.zone).weekday()
        days = (today - _WEEKDAYS.index(named[1])) % 7
        return days or (7 if named[0].startswith("last") else 0)

    def midnight(self, days_ago: int) -> float:
        local = datetime.fromtimestamp(self.end, UTC).astimezone(self.zone)
        return (local.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)).timestamp()

    def time(self, words: str, unit: str = "", *, days_ago: int = 0) -> float | None:
        """Seconds of the one clock that "1:20", "3 pm", "45 s" or a bare number in `unit` stand for."""
        words = _NAMED.get(words.strip(), words.strip())
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(?::(\d{2}))?(?::(\d{2}))?\s*(\D*)", words)
        if match is None:
            return None
        first, second, third, given = float(match[1]), match[2], match[3], match[4].strip().rstrip(".")
        afternoon = {"am": False, "pm": True}.get(given)
        if given in ("am", "pm", "o'clock"):
            given = ""
        unit = given or unit
        if self.zone is None:
            if second is None:
                return self.start + first * _unit(unit or "minute")
            parts = [first, float(second)] + ([float(third)] if third is not None else [])
            seconds = 0.0
            for part in parts:
                seconds = seconds * 60 + part
            return self.start + seconds
        if unit and second is None:
            return self.start + first * _unit(unit)
        if first >= 24:
            return None
        hour = first % 12 + (12 if afternoon else 0) if afternoon is not None else first
        day = self.midnight(days_ago) + hour * 3600 + float(second or 0) * 60 + float(third or 0)
        if afternoon is None and 0 < hour < 12 and second is None and day + 43200 <= self.end:
            return day + 43200  # "between 3 and 4" in the evening means the afternoon
        # Nobody asks what will have happened: a time of today that is still to come was yesterday's.
        return day - 86400 if days_ago == 0 and day > self.end and day - 86400 >= self.start else day


def _unit(word: str) -> float:
    return float(_UNITS[word if word in _UNITS else word.rstrip("s")])


def _number(word: str) -> float:
    word = word.strip()
    if word.startswith("half"):
        return 0.5
    if word.endswith("few"):
        return 3.0
    if word == "couple of":
        return 2.0
    return float(_WORDS[word]) if word in _WORDS else float(word)


def _first(clock: _Clock, match: re.Match[str]) -> tuple[float, float]:
    seconds = _number(match[2] or "1") * _unit(match[3])
    if match[1] in ("first", "opening", "initial"):
        return clock.inside(clock.start, clock.start + seconds)
    return clock.inside(clock.end - seconds, clock.end)


def _fraction(clock: _Clock, match: re.Match[str]) -> tuple[float, float]:
    size = {"half": 2, "third": 3, "quarter": 4}[match[2]]
    index = {"first": 0, "second": 1, "third": 2, "fourth": 3, "last": size - 1, "final": size - 1, "middle": 1}[
        match[1]
    ]
    index = min(index, size - 1)
    return clock.share(index / size, (index + 1) / size)


def _between(clock: _Clock, match: re.Match[str]) -> tuple[float, float] | None:
    days = clock.days_ago(match.string)
    unit = (match["unit"] or "").rstrip("s")
    later = re.search(r"[a-z']+$", match["to"])
    low_words = match["from"]
    if later and not re.search(r"[a-z]", low_words):
        low_words += " " + later[0]  # "between 3 and 4 pm", "from 10 to 20 seconds"
    low, high = clock.time(low_words, unit, days_ago=days), clock.time(match["to"], unit, days_ago=days)
    if low is None or high is None:
        return None
    if clock.zone is not None and low > high >= low - 43200:
        low -= 43200  # "from 10 to 12", when ten in the evening has been as well
    return low, high


def _one_sided(clock: _Clock, match: re.Match[str]) -> tuple[float, float] | None:
    at = clock.time(match["at"], (match["unit"] or "").rstrip("s"), days_ago=clock.days_ago(match.string))
    if at is None:
        return None
    return (at, clock.end) if match["side"] in ("after", "since", "from") else (clock.start, at)


def _instant(clock: _Clock, match: re.Match[str]) -> tuple[float, float] | None:
    unit = (match["unit"] or "").rstrip("s")
    at = clock.time(match["at"], unit, days_ago=clock.days_ago(match.string))
    if at is None:
        return None
    bare = ":" not in match["at"] and not re.search(r"am|pm|o'clock", match["at"])
    if unit == "minute" and bare:
        return at, at + 60.0  # "in minute 3"
    of_day = (
        clock.zone is not None and not unit and match["at"].count(":") < 2 and not re.search(r"\ds|sec", match["at"])
    )
    return clock.around(at, CLOCK_INSTANT if of_day else INSTANT)


def _ago(clock: _Clock, match: re.Match[str]) -> tuple[float, float]:
    return clock.around(clock.end - _number(match[1]) * _unit(match[2]))


def _day(clock: _Clock, match: re.Match[str]) -> tuple[float, float] | None:
    if clock.zone is None:
        return None
    midnight = clock.midnight(clock.days_ago(match[0]))
    low, high = _PARTS.get(match[0].split()[-1], (0, 24))
    return midnight + low * 3600, midnight + high * 3600


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_ENDING: Final = r"(?: of (?:the |this )?(?:video|film|clip|recording|lecture|movie|footage|talk|day|stream))?\b"
_MAY_UNIT: Final = r"(?P<unit>minutes?|seconds?|hours?)? ?"
_Reading = Callable[[_Clock, re.Match[str]], "tuple[float, float] | None"]
#: Tried in this order; the first pattern that is found and makes sense counts.
_RULES: Final[tuple[tuple[re.Pattern[str], _Reading], ...]] = (
    (_rule(rf"\bbetween {_MAY_UNIT}(?P<from>{_CLOCK}) and {_PREFIX}(?P<to>{_CLOCK})(?!\w)"), _between),
    (_rule(rf"\bfrom {_MAY_UNIT}(?P<from>{_CLOCK}) (?:to|until|till) {_PREFIX}(?P<to>{_CLOCK})(?!\w)"), _between),
    (
        _rule(
            r"\b(?:in |during |over |within |for )?(?:the )?(first|opening|initial|last|past|final|closing) "
            rf"(?:{_N} )?{_UNIT}\b{_ENDING}"
        ),
        _first,
    ),
    (
        _rule(
            rf"\b(?:in |during )?(?:the )?(first|second|third|fourth|last|final|middle) (half|third|quarter){_ENDING}"
        ),
        _fraction,
    ),
    (_rule(rf"\b{_N} {_UNIT} ago\b"), _ago),
    (
        _rule(
            r"\b(?P<side>after|since|from|before|until|till) (?:the )?(?P<unit>minutes?|seconds?)? ?"
            rf"(?P<at>{_CLOCK})(?: on| onwards?)?(?=$|\s*[,.?!]| (?:yesterday|today|this|last|on)\b)"
        ),
        _one_sided,
    ),
    (_rule(r"\b(?:in|at|during) (?:the )?(?P<unit>minutes?|seconds?) (?P<at>\d+(?:\.\d+)?)(?!\w)"), _instant),
    (
        _rule(
            rf"\b(?:at|around|about) (?P<unit>(?!))?(?P<at>{_CLOCK})"
            r"(?=$|\s*[,.?!]| (?:in|on|yesterday|today|this|last)\b)"
        ),
        _instant,
    ),
    (DAY_WORDS, _day),
    (_rule(rf"\b(?:at|in|near|from) the (?:very )?(?:start|beginning){_ENDING}"), lambda c, m: c.share(0, PART)),
    (_rule(rf"\b(?:at|near|towards?|by) the (?:very )?end{_ENDING}"), lambda c, m: c.share(1 - PART, 1)),
    (
        _rule(rf"\bin the middle{_ENDING}(?=$|\s*[,.?!]|(?<!middle))"),
        lambda c, m: c.share(0.5 - PART / 2, 0.5 + PART / 2),
    ),
    (_rule(r"\b(?:right now|just now|at the moment|currently|now)\b"), lambda c, m: c.inside(c.end - INSTANT, c.end)),
    (_rule(r"\b(?:so far|until now|up to now|till now|all day|overall)\b"), lambda c, m: (c.start, c.end)),
)
