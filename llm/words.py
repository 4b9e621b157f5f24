"""Times and lists in words, as answers say them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

_FIRST = "First,"


def clock(seconds: float, zone: tzinfo | None = None, *, now: float | None = None) -> str:
    """0:07 or 1:02:07 into a recording; 15:04:05 of a live camera's zone, with the day if it is not that of `now`."""
    if zone is not None:
        day = _day(seconds, zone, now)
        return f"{day} {_local(seconds, zone):%H:%M:%S}".strip()
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def stretch(start: float, end: float, zone: tzinfo | None = None, *, now: float | None = None) -> str:
    """0:07–0:12, or one time where both read alike; the day is said once."""
    first, last = clock(start, zone, now=now), clock(end, zone, now=now)
    if first == last:
        return first
    if zone is not None and _day(start, zone, now) == _day(end, zone, now):
        last = clock(end, zone)
    return f"{first}–{last}"


def _day(seconds: float, zone: tzinfo, now: float | None) -> str:
    """ "" for the day of `now`, "yesterday", or "Mon 23 Nov"."""
    if now is None:
        return ""
    date = _local(seconds, zone).date()
    days = (_local(now, zone).date() - date).days
    return "" if days == 0 else "yesterday" if days == 1 else f"{date:%a} {date.day} {date:%b}"


def _local(seconds: float, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).astimezone(zone)


def duration(seconds: float) -> str:
    """5 seconds, 1 minute 20 seconds, 2 hours 3 minutes."""
    whole = max(1, round(seconds))
    parts = [(whole // 3600, "hour"), (whole // 60 % 60, "minute"), (whole % 60, "second")]
    said = [f"{count} {unit}{'s' if count != 1 else ''}" for count, unit in parts if count]
    return " ".join(said[:2])


def often(count: int) -> str:
    """Once, Twice, 3 times."""
    return {1: "Once", 2: "Twice"}.get(count, f"{count} times")


def listed(items: Sequence[str]) -> str:
    """a; a and b; a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def first_sentence(pieces: Iterator[str]) -> Iterator[str]:
    """The pieces of a text up to the end of its first sentence; a small model's second one adds inventions.

    The "First," of a sentence that was to have a second one is left out. Empty pieces are passed on.
    """
    held: str | None = ""
    for piece in pieces:
        if not piece:
            yield piece  # the answer has to wait for its turn, and says so
            continue
        if held is not None:
            held += piece
            if len(held) < len(_FIRST) + 3 and _FIRST.startswith(held.strip()[: len(_FIRST)]):
                continue  # it may yet become "First, a"
            begin = held.strip()
            rest = begin.removeprefix(_FIRST).lstrip()
            piece, held = (rest[:1].upper() + rest[1:] if begin.startswith(_FIRST) else held), None
        end = re.search(r"[.!?](?=\s|$)", piece)
        if end is not None:
            yield piece[: end.end()]
            return
        yield piece
    if held:
        yield held


#: Words that a finished sentence does not end with.
_LINK: Final = re.compile(
    r"(?:^|[\s,])(?:and|or|but|with|without|in|on|at|of|to|from|by|for|near|next|into|onto|over|under|behind|beside|between"
    r"|the|an?|is|are|was|were|be|being|has|have|while|as|that|which|who|his|her|their|its|front|other)[\s,]*$",
    re.IGNORECASE,
)


def whole(pieces: Iterator[str]) -> Iterator[str]:
    """The pieces of a sentence that may have been cut off: it does not end in a joining word, and has a full stop.

    A word is passed on when the next one begins. Empty pieces are passed on.
    """
    said, held = "", ""
    for piece in pieces:
        if not piece:
            yield piece
            continue
        held += piece
        cut = held.rfind(" ")
        while cut > 0 and _LINK.search(held[:cut]):
            cut = held.rfind(" ", 0, cut)
        cut = len(held[: max(cut, 0)].rstrip(" ,;:"))
        if cut > 0:
            yield held[:cut]
            said, held = said + held[:cut], held[cut:]
    if held.strip()[-1:] in tuple(".!?"):
        yield held
        return
    while (shorter := _LINK.sub("", held)) != held:
        held = shorter
    held = held.rstrip(" ,;:")
    if held or said:
        yield held if (said + held).rstrip()[-1:] in tuple(".!?") else held + "."


def sentence(text: str) -> str:
    """Text with a capital first letter and a final stop."""
    text = " ".join(text.split()).strip()
    if not text:
        return ""
    text = text[:1].upper() + text[1:]
    return text if text[-1] in ".!?" else text + "."
