"""Answers that are computed, never generated: when, for how long, how often, in which order.

They are said first; then what they rest on is captioned, which takes the language model up to a second for each moment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm import movement
from llama_vid.llm.evidence import Finder
from llama_vid.llm.inquiry import Inquiry
from llama_vid.llm.movement import TOLD, Runs
from llama_vid.llm.movement_words import About
from llama_vid.llm.movement_words import asked as asked_about
from llama_vid.llm.presence import Named, likeliest, named
from llama_vid.llm.subjects import AUXILIARY
from llama_vid.llm.words import duration, listed, often

#: "Is the dog seen before the cat?" wants a yes or a no.
_BEFORE: Final = re.compile(rf"{AUXILIARY}\b.* (?P<side>before|after|earlier|later)\b", re.IGNORECASE)
#: "How long have you been watching?" asks about the watching, not for something to be seen.
_WATCHING: Final = re.compile(r"\b(?:have|did|do|are) you\b.*\b(?:watch|record|look|see)", re.IGNORECASE)


def when(find: Finder, inquiry: Inquiry) -> Iterator[str]:
    """The times at which the subject is seen, comes or goes."""
    asked = named(inquiry.question.subject)
    found, z = _found(find, inquiry, asked.thing)
    if found:
        yield f"At {_times(inquiry, found, asked)}."
        yield from find.ground(inquiry, found[:TOLD], z)
    elif (guess := _guess(find, inquiry, asked)) is not None:
        yield f"{_unclear(asked)} at {_times(inquiry, [guess], asked)}."
    else:
        yield _never(asked.thing)


def how_long(find: Finder, inquiry: Inquiry) -> Iterator[str]:
    """How long the subject is seen in all; without a subject, how long was watched."""
    if not inquiry.question.subject or _WATCHING.search(inquiry.question.text):
        yield f"I have watched {duration(inquiry.seconds)}."
        return
    asked = named(inquiry.question.subject)
    found, z = _found(find, inquiry, asked.thing)
    seen = found[:TOLD]
    if not found and (guess := _guess(find, inquiry, asked)) is not None:
        found = [guess]
        yield f"{_unclear(asked)} about {duration(_length(inquiry, found))}"
    elif not found:
        yield _never(asked.thing)
        return
    else:
        yield f"About {duration(_length(inquiry, found))}"
    if len(found) > 1:
        yield f" in all, {len(found)} times"
    yield ": " + listed([inquiry.run(run) for run in sorted(found[:TOLD])]) + "."
    yield from find.ground(inquiry, seen, z)


def how_often(find: Finder, inquiry: Inquiry) -> Iterator[str]:
    """How many times the subject comes into sight."""
    found, z = _found(find, inquiry, named(inquiry.question.subject).thing)
    if not found:
        yield f"Never: {_never(inquiry.question.subject)}"
        return
    starts = [inquiry.clock(inquiry.entries[first].start) for first, _ in sorted(found[:TOLD])]
    yield f"{often(len(found))}, at {listed(starts)}."
    yield from find.ground(inquiry, found[:TOLD], z)


def order(find: Finder, inquiry: Inquiry) -> Iterator[str]:
    """Which of several things is seen or happens first; yes or no before it where that was the question."""
    things = [thing for thing in (inquiry.question.subject, *inquiry.question.others) if thing]
    seen: list[tuple[float, str]] = []
    unclear: list[str] = []
    shown: list[tuple[tuple[int, int], Tensor]] = []  # the best run of each, with its scores
    for thing in things:
        moves = asked_about(f"when does {thing}")
        if moves is not None and moves.about is not About.THING:
            runs, _ = movement.runs_of(moves.about, inquiry.entries)
            if runs:
                seen.append((inquiry.entries[runs[0][0]].start, thing))
            continue
        wanted = named(thing)
        z = find.scores(inquiry.entries, wanted.thing)
        found = find.events(inquiry.entries, z, find.calibration.floor(float(z.max())))
        if not found and (guess := _guess(find, inquiry, wanted)) is not None:
            found = [guess]
            unclear.append(thing)
        if found:
            shown.append((found[0], z))
            seen.append((min(inquiry.entries[first].start for first, _ in found), thing))
    missing = [thing for thing in things if thing not in {name for _, name in seen}]
    seen.sort()
    asks = _BEFORE.match(inquiry.question.text)
    if seen and asks is not None and not missing and len(things) == 2:
        sooner = seen[0][1] == things[0]
        yield "Yes. " if sooner == (asks["side"].lower() in ("before", "earlier")) else "No. "
    if seen:
        yield f"First {seen[0][1]} at {inquiry.clock(seen[0][0])}"
        for second, thing in seen[1:]:
            yield f", then {thing} at {inquiry.clock(second)}"
        yield "."
    if unclear:
        yield f" I have not clearly seen {listed(unclear)}."
    if missing:
        yield (" " if seen else "") + f"I have not seen {listed(missing)}."
    for run, z in shown:
        yield from find.ground(inquiry, [run], z)


def _found(find: Finder, inquiry: Inquiry, subject: str) -> tuple[list[tuple[int, int]], Tensor]:
    """The runs of entries that show the subject, best first, and the scores (N,) of all entries."""
    entries = inquiry.entries
    z = find.scores(entries, subject)
    found = find.events(entries, z, find.calibration.floor(float(z.max())))
    if not found:
        # What most pictures show (people, say) stands out from no background: ask the tokens as well.
        weighed = find.weighed(entries, z, f"Is there {subject} in the video?")
        if find.calibration.probability(*weighed) >= 0.5:
            found = find.events(entries, z, weighed[0] - 0.75)
    return found, z


def _guess(find: Finder, inquiry: Inquiry, asked: Named) -> tuple[int, int] | None:
    """The entries that most likely show what is not clearly seen; None if nothing speaks for any."""
    embeddings = torch.stack([entry.embedding for entry in inquiry.entries])
    return likeliest(inquiry.entries, find.score(embeddings, asked.thing), asked)


def _times(inquiry: Inquiry, found: Runs, asked: Named) -> str:
    """Runs in words: where they begin or end, if that was the question."""
    runs = sorted(found[:TOLD])
    if asked.goes:
        return listed([inquiry.clock(inquiry.entries[last].end) for _, last in runs])
    return listed([inquiry.run(run) for run in runs])


def _length(inquiry: Inquiry, found: Runs) -> float:
    return sum(inquiry.entries[last].end - inquiry.entries[first].start for first, last in found)


def _never(subject: str) -> str:
    return f"I have not seen {subject}."


def _unclear(asked: Named) -> str:
    return f"I have not clearly seen {asked.thing}: if it was there, then most likely"
