"""What was said, in answers to questions that do not ask for it: summaries, what and who, and what was not seen.

A film is listened to for such a question only where it is a talk; a camera's captions are at hand anyway.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from typing import Final

from llama_vid.llm.inquiry import Inquiry, Watched
from llama_vid.llm.speech.words import Line
from llama_vid.llm.spoken import QUOTED, distinct, listened, quote, spoken_lines, topics
from llama_vid.llm.steps import waited
from llama_vid.llm.transcript import Heard, Hit, talks

#: Somebody speaks for this share of the time: a talk.
TALK: Final = 0.4
#: A line with this score bears on an open question: it is read with it and quoted behind the answer.
BEARING: Final = 0.55
#: With this share of the question's words, in a talk, it is the answer.
ANSWERS: Final = 0.3
#: A talk lasts so long, unless memory is shorter; a longer silence ends it.
LASTS_S: Final = 60.0
#: What is asked of a picture: then it is looked at, whatever was said.
_SEEN: Final = re.compile(
    r"\b(?:colou?r|wear(?:s|ing)?|holding|doing|looks? like|shown|shows?|showing|seen|visible|slides?|screen|picture"
    r"|background|behind|left|right|camera|sitting|standing|shape)\b",
    re.IGNORECASE,
)


def bounds(watched: Watched) -> tuple[float, float]:
    """When the first and the last words were said, of a memory without pictures; 0 where none were."""
    lines = watched.heard.lines() if watched.heard is not None else []
    return (lines[0].start, lines[-1].end) if lines else (0.0, 0.0)


def anything(heard: Heard, inquiry: Inquiry) -> Generator[str, None, bool]:
    """Whether anything was said in the span asked about; a film is listened to for it."""
    yield from listened(heard)
    return bool(spoken_lines(heard, inquiry))


def at_hand(heard: Heard, inquiry: Inquiry) -> Generator[str, None, list[Line]]:
    """The lines of the span asked about; of films only a talk is listened to for it."""
    for _ in heard.listening(asked=False):
        yield ""
    return spoken_lines(heard, inquiry)


def share(inquiry: Inquiry, lines: Sequence[Line]) -> float:
    """How much of the time asked about somebody speaks, 0…1."""
    seconds = sum(line.end - line.start for line in lines)
    whole = inquiry.seconds if inquiry.entries else lines[-1].end - lines[0].start if lines else 0.0
    return min(1.0, seconds / whole) if whole > 0 else 0.0


def told(heard: Heard, inquiry: Inquiry, lines: Sequence[Line]) -> Iterator[str]:
    """What was said as part of a summary: a few lines as they are, else topics."""
    if len(lines) <= QUOTED:
        yield quote(inquiry, [Hit(line, number, 1.0) for number, line in enumerate(lines)])
    else:
        yield from topics(heard, inquiry)


def bearing(inquiry: Inquiry) -> Generator[str, None, list[Hit]]:
    """The lines that bear on a question which does not ask what was said, best first."""
    heard, asked = inquiry.watched.heard, inquiry.question
    if heard is None or _SEEN.search(asked.text):
        return []
    lines = yield from at_hand(heard, inquiry)
    if not lines:
        return []
    found = yield from waited(heard.matching(lines, asked.subject or asked.text, asked.text))
    return distinct([hit for hit in found if hit.score >= BEARING])


def speak_for_themselves(inquiry: Inquiry, hits: Sequence[Hit]) -> bool:
    """Whether lines are the answer to an open question: in a talk, asked about nothing that is only seen."""
    heard = inquiry.watched.heard
    if heard is None or not hits:
        return False
    parts = (part for part in talks(heard.lines(), LASTS_S) if part[-1].start >= hits[0].line.start)
    talk = next(parts, [hits[0].line])
    lasts = talk[-1].end - talk[0].start
    spoken = sum(line.end - line.start for line in talk)
    return hits[0].share >= ANSWERS and spoken >= TALK * lasts and lasts >= min(LASTS_S, TALK * inquiry.seconds)


def mentioned(heard: Heard, inquiry: Inquiry) -> Iterator[str]:
    """Behind "I have not seen it": that it was spoken of, if it was. Nothing is listened to for it."""
    subject = inquiry.question.subject
    lines = spoken_lines(heard, inquiry) if subject else []
    named = [hit for hit in (yield from waited(heard.matching(lines, subject))) if hit.worded] if lines else []
    if named:
        yield f" It was spoken of. {quote(inquiry, named[:1])}"
