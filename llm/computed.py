"""Answers that are computed, never generated: when, for how long, how often, in which order."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import Final

from torch import Tensor

from llama_vid.llm.evidence import Finder
from llama_vid.llm.inquiry import Inquiry
from llama_vid.llm.words import duration, listed

TOLD: Final = 12  # times in one answer
BELOW_BEST: Final = 1.5  # z-scores below the best frame that still count as the thing asked for

#: "How long have you been watching?" asks about the watching, not for something to be seen.
_WATCHING: Final = re.compile(r"\b(?:have|did|do|are) you\b.*\b(?:watch|record|look|see)", re.IGNORECASE)


def when(find: Finder, inquiry: Inquiry) -> Iterator[str]:
    """The times at which the subject is seen."""
    found = yield from _found(find, inquiry)
    if not found:
        yield _never(inquiry)
        return
    yield "At " + listed([inquiry.run(run) for run in sorted(found[:TOLD])]) + "."


def how_long(find: Finder, inquiry: Inquiry) -> Iterator[str]:
    """How long the subject is seen in all; without a subject, how long was watched."""
    if not inquiry.question.subject or _WATCHING.search(inquiry.question.text):
        yield f"I have watched {duration(inquiry.seconds)}."
        return
    found = yield from _found(find, inquiry)
    if not found:
        yield _never(inquiry)
        return
    total = sum(inquiry.entries[last].end - inquiry.entries[first].start for first, last in found)
    yield f"About {duration(total)}"
    if len(found) > 1:
        yield f" in all, {len(found)} times"
    yield ": " + listed([inquiry.run(run) for run in sorted(found[:TOLD])]) + "."


def how_often(find: Finder, inquiry: Inquiry) -> Iterator[str]:
    """How many times the subject comes into sight."""
    found = yield from _found(find, inquiry)
    if not found:
        yield f"Never: {_never(inquiry)}"
        return
    count = {1: "Once", 2: "Twice"}.get(len(found), f"{len(found)} times")
    yield f"{count}, at {listed([inquiry.clock(inquiry.entries[first].start) for first, _ in sorted(found[:TOLD])])}."


def order(find: Finder, inquiry: Inquiry) -> Iterator[str]:
    """Which of several things is seen first."""
    things = [thing for thing in (inquiry.question.subject, *inquiry.question.others) if thing]
    seen: list[tuple[float, str]] = []
    for thing in things:
        z = find.scores(inquiry.entries, thing)
        found = find.events(inquiry.entries, z, _floor(find, z))
        if found:
            yield from find.ground(inquiry, found[:1], z)
            seen.append((min(inquiry.entries[first].start for first, _ in found), thing))
    missing = [thing for thing in things if thing not in {name for _, name in seen}]
    seen.sort()
    if seen:
        yield f"First {seen[0][1]} at {inquiry.clock(seen[0][0])}"
        for second, thing in seen[1:]:
            yield f", then {thing} at {inquiry.clock(second)}"
        yield "."
    if missing:
        yield (" " if seen else "") + f"I have not seen {listed(missing)}."


def _found(find: Finder, inquiry: Inquiry) -> Generator[str, None, list[tuple[int, int]]]:
    """The runs of entries that show the subject, best first, which become the evidence."""
    subject, entries = inquiry.question.subject, inquiry.entries
    z = find.scores(entries, subject)
    found = find.events(entries, z, _floor(find, z))
    if not found:
        # What most pictures show (people, say) stands out from no background: ask the tokens as well.
        weighed = find.weighed(entries, z, f"Is there {subject} in the video?")
        if find.calibration.probability(*weighed) >= 0.5:
            found = find.events(entries, z, weighed[0] - 0.75)
    yield from find.ground(inquiry, found[:TOLD], z)
    return found


def _floor(find: Finder, z: Tensor) -> float:
    return max(find.calibration.present, float(z.max()) - BELOW_BEST)


def _never(inquiry: Inquiry) -> str:
    return f"I have not seen {inquiry.question.subject}."
