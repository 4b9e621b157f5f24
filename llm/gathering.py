"""From a question and a memory to what a remote model is given, and to what is answered without it.

Times, durations, counts of events and order stay computed, and quoted words stay quoted: that part of an answer is said
at once and is ours. What memory cannot know ("before my memory begins") needs no bigger model either: then `findings`
stays None and what was said is the whole answer.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Final

from llama_vid.llm import movement, overheard, spoken
from llama_vid.llm.findings import Events, Findings, Note, Still, Told, chosen, watched_words
from llama_vid.llm.inquiry import Inquiry
from llama_vid.llm.questions import QuestionKind
from llama_vid.llm.responder import Responder
from llama_vid.llm.scenes import scenes
from llama_vid.llm.spoken_questions import AboutSpeech, Spoken
from llama_vid.llm.steps import waited

#: Kinds whose answers are computed: `HOW_MANY` where events are counted, not things in a picture.
_COMPUTED: Final = frozenset({QuestionKind.WHEN, QuestionKind.HOW_LONG, QuestionKind.ORDER})
#: What a bigger model puts into words better than a quotation does.
_TOLD: Final = frozenset({Spoken.TOPICS, Spoken.SAID})
#: Notes of each sort that are gathered: what fits into a prompt is decided later.
MOST: Final = 400
#: Lines of speech that bear on a question.
BEARING: Final = 12


class Gatherer(Responder):
    """`Responder` that says what is computed and gathers the rest. One for each question; it shares `local`'s parts."""

    def __init__(
        self, local: Responder, frames: int, *, told: Told | None = None, events: Events | None = None
    ) -> None:
        """At most `frames` frames are chosen; `told` gives captioned scenes (default: plain sentences), `events` what
        alert rules found.
        """
        self.language, self.calibration, self.name = local.language, local.calibration, local.name
        self.find = local.find
        self._answering = 0
        self._frames, self._told_scenes, self._events = frames, told, events
        self._about: AboutSpeech | None = None
        self.findings: Findings | None = None

    def _answer(self, inquiry: Inquiry, about: AboutSpeech | None) -> Iterator[str]:
        heard = inquiry.watched.heard
        if about is not None and heard is not None and (yield from overheard.anything(heard, inquiry)):
            self._about = about
            if about.kind not in _TOLD:
                yield from spoken.tell(about, heard, inquiry)
            span = inquiry.question.span
            if span is not None:
                inside = [entry for entry in inquiry.entries if entry.end > span.start and entry.start < span.end]
                inquiry.entries = tuple(inside)
            yield from self._gather(inquiry)
            return
        if not inquiry.entries and heard is not None and heard.lines():  # a recording of speech alone
            yield from self._gather(inquiry)
            return
        yield from super()._answer(inquiry, about)

    def _by_kind(self, inquiry: Inquiry) -> Iterator[str]:
        asked = inquiry.question
        often = asked.kind is QuestionKind.HOW_MANY and asked.often
        named = bool(asked.subject) or asked.kind is QuestionKind.HOW_LONG
        if movement.about(asked) is not None or (asked.kind in _COMPUTED and named) or (often and named):
            yield from super()._by_kind(inquiry)
        yield from self._gather(inquiry)

    def _gather(self, inquiry: Inquiry) -> Iterator[str]:
        """Everything that bears on the question, in short steps."""
        asked = inquiry.question
        stills: tuple[Still, ...] = ()
        if inquiry.entries:
            stills = yield from self._stills(inquiry)
        said = yield from self._said(inquiry)
        start, end = _bounds(inquiry)
        yield ""
        self.findings = Findings(
            question=asked.text,
            kind=asked.kind,
            subject=asked.subject,
            about=watched_words(inquiry),
            asked=inquiry.stretch(asked.span.start, asked.span.end) if asked.span is not None else "",
            now=inquiry.clock(inquiry.now) if inquiry.watched.zone is not None else "",
            stills=stills,
            scenes=self._scenes(inquiry, start, end, stills),
            said=said,
            events=self._happened(inquiry, start, end),
        )

    def _stills(self, inquiry: Inquiry) -> Generator[str, None, tuple[Still, ...]]:
        entries, asked = inquiry.entries, inquiry.question
        topic = self._about.topic if self._about is not None else ""
        z = self.find.scores(entries, topic or asked.subject or asked.text)
        yield ""
        found = []
        for index in chosen(entries, z, asked.kind, self._frames):
            entry = entries[index]
            when = inquiry.clock(entry.start)
            found.append(
                Still(entry.start, entry.end, when, round(self.find.sure(float(z[index])), 4), self.find.plain(entry))
            )
        return tuple(found)

    def _said(self, inquiry: Inquiry) -> Generator[str, None, tuple[Note, ...]]:
        heard, asked = inquiry.watched.heard, inquiry.question
        if heard is None:
            return ()
        lines = yield from overheard.at_hand(heard, inquiry)
        topic = self._about.topic if self._about is not None else asked.subject
        near: set[float] = set()
        if topic and lines:
            hits = yield from waited(heard.matching(lines, topic))
            near = {hit.line.start for hit in hits[:BEARING]}
        notes = [
            Note(line.start, line.end, inquiry.stretch(line.start, line.end), line.text, line.start in near)
            for line in lines
        ]
        return tuple(notes)

    def _scenes(self, inquiry: Inquiry, start: float, end: float, stills: Sequence[Still]) -> tuple[Note, ...]:
        if not inquiry.entries:
            return ()
        spans = (
            [(span.start, span.end, span.caption, span.motion) for span in self._told_scenes(start, end)]
            if self._told_scenes is not None
            else [
                (scene.start, scene.end, self.find.plain(inquiry.entries[scene.told]), scene.motion)
                for scene in scenes(inquiry.entries)
            ]
        )
        shown = [(still.start, still.end) for still in stills]
        notes = []
        for first, last, caption, motion in spans[-MOST:]:
            when, moves = inquiry.stretch(first, last), _moving(motion)
            near = any(begin < last and until > first for begin, until in shown)
            text = f"{caption.rstrip('.')} ({moves})"
            notes.append(Note(first, last, when, text, near, f"see the frames ({moves})" if near else ""))
        return tuple(notes)

    def _happened(self, inquiry: Inquiry, start: float, end: float) -> tuple[Note, ...]:
        if self._events is None:
            return ()
        return tuple(
            Note(
                event.start,
                event.end if event.end is not None else inquiry.now,
                inquiry.stretch(event.start, event.end if event.end is not None else inquiry.now),
                f"{event.rule}: {event.text}" + ("" if event.end is not None else " (goes on)"),
            )
            for event in self._events(start, end)[-MOST:]
            if not event.withdrawn
        )


def _bounds(inquiry: Inquiry) -> tuple[float, float]:
    """The time that notes are gathered of."""
    span, entries = inquiry.question.span, inquiry.entries
    if span is not None:
        return span.start, span.end
    return (entries[0].start, entries[-1].end) if entries else (float("-inf"), float("inf"))


def _moving(motion: float) -> str:
    """A scene's motion energy (0…1) in a word."""
    return "still" if motion < 0.05 else "some movement" if motion < 0.4 else "much movement"
