"""Answers about what was said: quoted from the transcript, with times computed from it; nothing is generated.

What a line says is told in its own words. "Not in these words" is said where a line matches by its sense alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Final

from llama_vid.llm.inquiry import Inquiry
from llama_vid.llm.mentions import TOGETHER_S, mentions_of, together
from llama_vid.llm.speech.words import Line, key
from llama_vid.llm.spoken_questions import AboutSpeech, Spoken
from llama_vid.llm.steps import waited
from llama_vid.llm.transcript import Heard, Hit
from llama_vid.llm.words import duration, listed, often
from llama_vid.memory.entry import MemoryEntry

#: Lines quoted in an answer, and its longest quotation in words when a whole span is asked for.
QUOTED: Final = 3
SPAN_WORDS: Final = 90
#: Lines so much worse than the best one are left out.
WORSE: Final = 0.2
#: Times told.
TOLD: Final = 12
#: Topics told of a span.
TOPICS: Final = 12
#: Two lines with so many of their words in one order say the same.
SAME: Final = 0.85
#: A line that begins so soon after the one before goes on with it.
FOLLOWS_S: Final = 4.0


def tell(about: AboutSpeech, heard: Heard, inquiry: Inquiry) -> Iterator[str]:
    """The answer to a question about what was said, in pieces."""
    yield from listened(heard)
    about = replace(about, topic=_as_written(about.topic, inquiry.question.text))
    lines = spoken_lines(heard, inquiry)
    if not lines:
        yield _silence(heard, inquiry)
        return
    match about.kind:
        case Spoken.TOPICS:
            yield from topics(heard, inquiry)
        case Spoken.SAID if about.topic:
            yield from _said(about, heard, inquiry, lines)
        case Spoken.SAID:
            yield from _all_said(about, heard, inquiry, lines)
        case _ if not about.topic:
            yield _spoke(about, inquiry, lines)
        case Spoken.HOW_OFTEN:
            yield from _how_often(about, heard, inquiry, lines)
        case Spoken.WHEN:
            yield from _when(about, heard, inquiry, lines)
        case Spoken.HOW_LONG:
            yield from _how_long(about, heard, inquiry, lines)
        case Spoken.WHETHER:
            yield from _whether(about, heard, inquiry, lines)


def topics(heard: Heard, inquiry: Inquiry) -> Generator[str, None, bool]:
    """The chapters of the span asked about, as a list with times; True where there are any."""
    start, end = _span(inquiry)
    found = yield from waited(heard.chapters(start, end, picture_cuts(inquiry.watched.entries)))
    if not found:
        return False
    for chapter in found:
        inquiry.note(chapter.start, chapter.end, 1.0, f"{chapter.title}: “{chapter.text}”")
    told = [f"{chapter.title} ({inquiry.stretch(chapter.start, chapter.end)})" for chapter in found[:TOPICS]]
    count = "One topic" if len(found) == 1 else f"{len(found)} topics"
    first = f", the first {TOPICS}" if len(found) > TOPICS else ""
    yield f"{count}{first}: {listed(told)}."
    return True


def quote(inquiry: Inquiry, hits: Sequence[Hit]) -> str:
    """Lines in time order, each with its time; they become evidence. Lines that follow each other are one quotation."""
    parts = []
    for run in _runs(sorted(hits, key=lambda hit: hit.number)):
        text = " ".join(hit.line.text for hit in run)
        inquiry.note(run[0].line.start, run[-1].line.end, max(hit.score for hit in run), f"“{text}”")
        parts.append(f"At {inquiry.clock(run[0].line.start)}: “{text}”")
    return " ".join(parts)


def distinct(hits: Sequence[Hit]) -> list[Hit]:
    """The hits (best first) without those that say the same again; of such the earliest stays."""
    kept: list[tuple[list[str], Hit]] = []
    for hit in hits:
        words = [key(word) for word in hit.line.text.split()]
        for at, (known, earlier) in enumerate(kept):
            if SequenceMatcher(None, words, known).ratio() >= SAME:
                if hit.number < earlier.number:
                    kept[at] = known, hit
                break
        else:
            kept.append((words, hit))
    return [hit for _, hit in kept]


def picture_cuts(entries: Sequence[MemoryEntry]) -> list[float]:
    """When the picture changes wholly, as memory has it: slides."""
    return [entry.start for before, entry in itertools.pairwise(entries) if entry.scene != before.scene]


def _said(about: AboutSpeech, heard: Heard, inquiry: Inquiry, lines: Sequence[Line]) -> Iterator[str]:
    found = yield from waited(heard.matching(lines, about.topic))
    if about.which and found:
        named = [hit for hit in found if hit.worded] or found[:1]
        found = [(min if about.which == "first" else max)(named, key=lambda hit: hit.number)]
    if not any(hit.share for hit in found):
        yield _other_words(about, inquiry, found)
        return
    yield quote(inquiry, distinct([hit for hit in found if hit.score >= found[0].score - WORSE])[:QUOTED])


def _all_said(about: AboutSpeech, heard: Heard, inquiry: Inquiry, lines: Sequence[Line]) -> Iterator[str]:
    """What was said in a span: word for word if it is short, else its topics with the sentence that tells each best."""
    if about.which:
        lines = lines[:1] if about.which == "first" else lines[-1:]
    elif inquiry.question.span is not None:
        lines = [_cut(heard.worded(line), *_span(inquiry)) for line in lines]
        lines = [line for line in lines if line.text]
        if not lines:
            yield _silence(heard, inquiry)
            return
    if lines and sum(len(line.text.split()) for line in lines) <= SPAN_WORDS:
        yield quote(inquiry, [Hit(line, number, 1.0) for number, line in enumerate(lines)])
        return
    start, end = _span(inquiry)
    found = yield from waited(heard.chapters(start, end, picture_cuts(inquiry.watched.entries)))
    for number, chapter in enumerate(found[:TOPICS]):
        inquiry.note(chapter.start, chapter.end, 1.0, f"{chapter.title}: “{chapter.text}”")
        when = inquiry.stretch(chapter.start, chapter.end)
        yield f"{' ' if number else ''}{when}, {chapter.title}: “{chapter.text}”"


def _when(about: AboutSpeech, heard: Heard, inquiry: Inquiry, lines: Sequence[Line]) -> Iterator[str]:
    found = yield from waited(heard.matching(lines, about.topic))
    mentions = mentions_of(heard, about.topic, found, lines)
    if not mentions:
        yield f"{_other_words(about, inquiry, found)}"
        return
    if about.which:
        mentions = mentions[:1] if about.which == "first" else mentions[-1:]
    runs = together(mentions)
    for run in runs:
        text = " ".join(dict.fromkeys(mention.line.text for mention in run))
        inquiry.note(run[0].at, max(mention.end for mention in run), run[0].score, f"“{text}”")
    first = f"At {inquiry.clock(runs[0][0].at)}: “{runs[0][0].line.text}”"
    if len(mentions) == 1:
        yield first
        return
    times = [inquiry.stretch(run[0].at, run[-1].at) for run in runs[:TOLD]]
    more = f" and {len(runs) - TOLD} times more" if len(runs) > TOLD else ""
    yield f"At {listed(times)}{more}. {first}"


def _how_often(about: AboutSpeech, heard: Heard, inquiry: Inquiry, lines: Sequence[Line]) -> Iterator[str]:
    found = yield from waited(heard.matching(lines, about.topic))
    mentions = mentions_of(heard, about.topic, found, lines)
    if not mentions:
        yield f"Never. {_other_words(about, inquiry, found)}"
        return
    for mention in mentions:
        inquiry.note(mention.at, mention.end, mention.score, f"“{mention.line.text}”")
    times = [inquiry.clock(mention.at) for mention in mentions]
    told = list(dict.fromkeys(times))[:TOLD]
    more = ", …" if len(set(times)) > TOLD else ""
    yield f"{often(len(mentions))}, at {listed(told)}{more}."


def _how_long(about: AboutSpeech, heard: Heard, inquiry: Inquiry, lines: Sequence[Line]) -> Iterator[str]:
    found = yield from waited(heard.matching(lines, about.topic))
    runs = _runs(sorted(found, key=lambda hit: hit.number))
    if not runs:
        yield f"I have heard nothing about {about.topic}."
        return
    for run in runs:
        text = " ".join(hit.line.text for hit in run)
        inquiry.note(run[0].line.start, run[-1].line.end, max(hit.score for hit in run), f"“{text}”")
    seconds = sum(run[-1].line.end - run[0].line.start for run in runs)
    times = [inquiry.stretch(run[0].line.start, run[-1].line.end) for run in runs[:TOLD]]
    yield f"About {duration(seconds)}{f' in all, {len(runs)} times' if len(runs) > 1 else ''}: {listed(times)}."


def _whether(about: AboutSpeech, heard: Heard, inquiry: Inquiry, lines: Sequence[Line]) -> Iterator[str]:
    found = yield from waited(heard.matching(lines, about.topic))
    named = [hit for hit in found if hit.worded]
    if named:
        yield f"Yes. {quote(inquiry, distinct(named)[:QUOTED])}"
    else:
        yield f"No. {_other_words(about, inquiry, found)}"


def _other_words(about: AboutSpeech, inquiry: Inquiry, found: Sequence[Hit]) -> str:
    if found:
        return f"I have not heard “{about.topic}” in these words; the nearest is this. {quote(inquiry, found[:1])}"
    return f"I have heard nothing about {about.topic}."


def _spoke(about: AboutSpeech, inquiry: Inquiry, lines: Sequence[Line]) -> str:
    """Whether, when and for how long anything was said."""
    runs: list[list[Line]] = []
    for line in lines:
        if runs and line.start - runs[-1][-1].end <= TOGETHER_S:
            runs[-1].append(line)
        else:
            runs.append([line])
    for run in runs:
        inquiry.note(run[0].start, run[-1].end, 1.0, f"“{run[0].text}”")
    times = [inquiry.stretch(run[0].start, run[-1].end) for run in runs[:TOLD]]
    if about.kind is Spoken.HOW_LONG:
        return f"About {duration(sum(line.end - line.start for line in lines))}: {listed(times)}."
    return f"{'Yes, at' if about.kind is Spoken.WHETHER else 'At'} {listed(times)}."


def listened(heard: Heard) -> Iterator[str]:
    """Listen to a film that was not listened to yet: it is asked about."""
    for _ in heard.listening(asked=True):
        yield ""


def _span(inquiry: Inquiry) -> tuple[float, float]:
    span = inquiry.question.span
    return (float("-inf"), float("inf")) if span is None else (span.start, max(span.end, span.start + 1e-6))


def _as_written(topic: str, question: str) -> str:
    """A topic with the capitals that the question gave it."""
    at = question.lower().find(topic)
    return question[at : at + len(topic)] if topic and at >= 0 else topic


def spoken_lines(heard: Heard, inquiry: Inquiry) -> list[Line]:
    """The lines of the span asked about."""
    return heard.lines(*_span(inquiry))


def _silence(heard: Heard, inquiry: Inquiry) -> str:
    if reason := heard.silent:
        return f"I cannot say what was said: {reason}."
    span = inquiry.question.span
    return f"I have heard nothing{f' at {inquiry.stretch(span.start, span.end)}' if span is not None else ' said'}."


def _cut(line: Line, start: float, end: float) -> Line:
    """The part of a line that was said between two times, where its words' times are known."""
    if not line.words or (line.start >= start and line.end <= end):
        return line
    words = [word for word in line.words if start <= (word.start + word.end) / 2 <= end]
    return Line.of(words) if words else Line(line.start, line.end, "", ())


def _runs(hits: Sequence[Hit]) -> list[list[Hit]]:
    """Hits (in time order) whose lines follow each other."""
    runs: list[list[Hit]] = []
    for hit in hits:
        follows = runs and hit.number == runs[-1][-1].number + 1
        if follows and hit.line.start - runs[-1][-1].line.end <= FOLLOWS_S:
            runs[-1].append(hit)
        else:
            runs.append([hit])
    return runs
