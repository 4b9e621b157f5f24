"""From a question and a memory to a streamed answer with its evidence.

What a question wants decides how it is answered (DESIGN section 8): yes or no is weighed from image-text scores and
the language model's reading of the tokens; times, counts and order are computed (`computed.py`); what, which and where
are generated (`described.py`); a summary tells the memory's scenes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from torch import Tensor

from llama_vid.llm import computed, described, movement, naming, overheard, people, presupposed, spoken
from llama_vid.llm.agreement import Rarity
from llama_vid.llm.answer import Answer, AnswerPiece, Span, Timing, TokenUse
from llama_vid.llm.calibration import Calibration
from llama_vid.llm.inquiry import Inquiry, Watched
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.questions import QuestionKind, sort_question
from llama_vid.llm.reading_memory import finder_of
from llama_vid.llm.recall import detailed, is_coarse, recollected, within
from llama_vid.llm.scenes import Scene, scenes
from llama_vid.llm.spoken_questions import AboutSpeech, Spoken, about_speech
from llama_vid.llm.steps import waited
from llama_vid.llm.words import duration, sentence
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.scoring import SceneScorer

SHOWN: Final = 3  # spans of evidence beside a yes
TOLD: Final = 12  # scenes in a summary
CLEARLY: Final = 0.15  # z-scores beyond "present" from which something is seen for certain
UNSURE: Final = 0.15  # distance of a probability from one half within which an answer says "probably"
#: Subjects that one can see or not; others ("outdoors", "dancing") are how a scene is.
_THING: Final = re.compile(r"(?:an?|the|any|some|two|three|someone|people)\b", re.IGNORECASE)
#: Questions about the scene as a whole.
_SCENE: Final = re.compile(r"(?:is|was|are|were) (?:this|it|that|the (?:video|scene|clip))\b", re.IGNORECASE)
#: Kinds whose answers are computed from every moment that matches, and how many are brought back for one.
COMPUTED: Final = frozenset({QuestionKind.WHEN, QuestionKind.HOW_LONG, QuestionKind.HOW_MANY, QuestionKind.ORDER})
MOMENTS: Final = 64
_PRONOUNS: Final = ("", "it", "this", "that", "he", "she", "they", "them")


class Responder:
    """Answers questions about memories. Synchronous; generators yield often, so that other work can go between."""

    def __init__(
        self,
        language: LanguageModel,
        scorer: SceneScorer,
        calibration: Calibration,
        *,
        name: str,
        rarity: Rarity | None = None,
    ) -> None:
        self.language, self.calibration, self.name = language, calibration, name
        self.find = finder_of(language, scorer, calibration, rarity)
        self._answering = 0  # answers under way

    def preparing(self) -> Iterator[None]:
        """What spares the first questions a wait, for idle time; yields between short steps."""
        if self.language.preface is None and not self.language.remote:  # those two name nothing by pictures
            yield from naming.preparing(self.find)

    def respond(
        self,
        text: str,
        watched: Watched,
        *,
        ingest_s: float = 0.0,
        subject: str | None = None,
        cancel: Callable[[], bool] = lambda: False,
    ) -> Iterator[AnswerPiece]:
        """Pieces of the answer; the last one carries the whole. Raises QuestionError for a question it cannot take.

        `subject` stands in for a pronoun that only the conversation explains.
        """
        # Not a generator itself: waiting for the model's thread is part of the time to the first token.
        return self._respond(text, watched, ingest_s, subject, cancel, time.perf_counter())

    def _respond(
        self,
        text: str,
        watched: Watched,
        ingest_s: float,
        subject: str | None,
        cancel: Callable[[], bool],
        began: float,
    ) -> Iterator[AnswerPiece]:
        entries, frames = watched.entries, watched.frames  # as they are now: a camera goes on meanwhile
        if not entries and watched.heard is not None:
            for _ in watched.heard.listening(asked=True):  # what was said is all that there is
                yield AnswerPiece("")
        start, end = (entries[0].start, entries[-1].end) if entries else overheard.bounds(watched)
        question = sort_question(text, start, end, zone=watched.zone)
        about = about_speech(question, zone=watched.zone)
        if about is not None and subject and about.topic in _PRONOUNS[1:]:
            about = replace(about, topic=subject)
        if subject and question.subject in _PRONOUNS:
            question = replace(question, subject=subject)
        inquiry = Inquiry(question, watched, entries, cancel, now=end)
        said: list[str] = []
        first: float | None = None
        self._answering += 1
        try:
            for piece in self._answer(inquiry, about):
                if piece:
                    first = first or time.perf_counter()
                    said.append(piece)
                yield AnswerPiece(piece)
        finally:
            self._answering -= 1
        now = time.perf_counter()
        evidence = sorted(inquiry.evidence, key=lambda item: item.start)
        timing = Timing(ingest_s, round((first or now) - began, 4), round(now - began + ingest_s, 4))
        tokens = TokenUse(frames, 2 * len(entries))
        times = [item.start for item in evidence]
        yield AnswerPiece("", Answer("".join(said).strip(), times, evidence, tokens, timing, self.name))

    def timeline(self, entries: Sequence[MemoryEntry]) -> list[Span]:
        """The stretches of memory, captioned."""
        found = scenes(entries)
        told = self.find.caption([entries[scene.told] for scene in found])
        return [
            Span(round(scene.start, 3), round(scene.end, 3), text, round(scene.motion, 4))
            for scene, text in zip(found, told, strict=True)
        ]

    def _answer(self, inquiry: Inquiry, about: AboutSpeech | None) -> Iterator[str]:
        heard = inquiry.watched.heard
        if about is not None and heard is not None:
            # What "was covered" may have been seen as well: where nothing is said, the scenes are the topics.
            said = about.kind is not Spoken.TOPICS or (yield from overheard.anything(heard, inquiry))
            if said:
                yield from spoken.tell(about, heard, inquiry)
                return
        if not inquiry.entries:
            yield "I have not seen anything yet."
            return
        span = inquiry.question.span
        if span is not None:
            end = max(span.end, span.start + 1e-6)
            inside = detailed(inquiry.entries, inquiry.watched.archive, span.start, end)
            if not inside:
                first, last = inquiry.entries[0].start, inquiry.entries[-1].end
                asked = inquiry.stretch(span.start, span.end)
                if first < span.end and span.start < last:
                    yield f"I cannot say: I was not watching at {asked}."
                    return
                where = "before my memory begins" if span.end <= first else "after what I have seen so far"
                yield f"I cannot say: {asked} is {where} (I remember {inquiry.stretch(first, last)})."
                return
            inquiry.entries = inside
        yield from self._recollect(inquiry)
        yield from self._by_kind(inquiry)
        if heard is not None and not inquiry.evidence:
            yield from overheard.mentioned(heard, inquiry)

    def _recollect(self, inquiry: Inquiry) -> Iterator[str]:
        """Bring old moments that match back in detail where memory holds them coarsely.

        What is computed (when, how often, in which order) needs every moment; other questions only what the memory at
        hand does not show, so that "not seen" is said after looking everywhere.
        """
        asked, archive = inquiry.question, inquiry.watched.archive
        texts = [text for text in (asked.subject, *asked.others) if text]
        if archive is None or asked.kind in (QuestionKind.SUMMARY, QuestionKind.CHANGE):
            return
        if not any(map(is_coarse, inquiry.entries)):
            return
        seen = self.calibration.present + CLEARLY
        for text in texts:
            if asked.kind not in COMPUTED and float(self.find.scores(inquiry.entries, text).max()) > seen:
                continue
            limit = MOMENTS if asked.kind in COMPUTED else described.EVIDENCE
            score = partial(self.find.score, text=text)
            for found in recollected(inquiry.entries, archive, score, limit):
                if found is None:
                    yield ""
                else:
                    first, last = inquiry.entries[0].start, inquiry.entries[-1].end
                    inquiry.entries = within(found, first, last)  # the surroundings may reach out of a named time

    def _by_kind(self, inquiry: Inquiry) -> Iterator[str]:
        question = inquiry.question
        if (moves := movement.about(question)) is not None:
            return movement.tell(moves, self.find, inquiry)
        match question.kind:
            case QuestionKind.IS_THERE:
                return self._is_there(inquiry)
            case QuestionKind.WHEN if question.subject:
                return computed.when(self.find, inquiry)
            case QuestionKind.HOW_LONG:
                return computed.how_long(self.find, inquiry)
            case QuestionKind.HOW_MANY if question.often and question.subject:
                return computed.how_often(self.find, inquiry)
            case QuestionKind.ORDER if question.subject and question.others:
                return computed.order(self.find, inquiry)
            case QuestionKind.SUMMARY:
                return self._story(inquiry)
            case QuestionKind.WHEN | QuestionKind.ORDER:
                return self._summary(inquiry)
            case QuestionKind.CHANGE:
                return self._change(inquiry)
            case _:
                return self._open(inquiry)

    def _open(self, inquiry: Inquiry) -> Iterator[str]:
        """What, who, which and where, unless what the question takes for granted was not seen; from what was said where
        that answers it.
        """
        yield ""
        hits = yield from overheard.bearing(inquiry)
        if overheard.speak_for_themselves(inquiry, hits):
            yield spoken.quote(inquiry, hits[: spoken.QUOTED])
            return
        if denial := presupposed.absent(self.find, inquiry, self._look(inquiry)):
            yield denial
        else:
            yield from described.what(self.find, inquiry, lambda: self._answering, hits)
            if hits:
                yield f" {spoken.quote(inquiry, hits[:1])}"

    def _look(self, inquiry: Inquiry) -> Callable[[Sequence[float]], Tensor | None]:
        """What gives the regions of frames; nothing while many ask at once."""
        return inquiry.watched.regions if self._answering <= described.CROWD else lambda _: None

    def _is_there(self, inquiry: Inquiry) -> Iterator[str]:
        asked, entries = inquiry.question, inquiry.entries
        text = asked.subject or asked.text
        z = self.find.scores(entries, text)
        yield ""
        best, mean, margin = yield from waited(self.find.weighing(entries, z, asked.text))
        closer = self.find.closer(entries, z, text, self._look(inquiry))
        probability = self.calibration.probability(best, mean, margin, closer)
        if self._answering <= described.CROWD:
            probability, z = people.weighed(inquiry, text, z, probability)
            best = float(z.max())
        unsure = abs(probability - 0.5) < UNSURE
        if probability >= 0.5:
            yield "Yes"
            floor = max(min(best - 0.5, self.calibration.present), best - 1.5)
            yield from self.find.ground(inquiry, self.find.events(entries, z, floor)[:SHOWN], z)
            top = max(inquiry.evidence, key=lambda item: item.score)
            yield f", {'probably ' if unsure else ''}at {inquiry.stretch(top.start, top.end)}: {top.caption}"
        elif _THING.match(text) and not _SCENE.match(asked.text):
            yield "No"
            yield f", I have {'probably ' if unsure else ''}not seen {text.rstrip('?').strip()}."
        else:
            yield "No"
            longest = max(scenes(entries), key=lambda scene: scene.end - scene.start)
            told = yield from self._told(inquiry, longest)
            yield f", {'it may not be so' if unsure else 'it does not look like it'}: {told}"

    def _story(self, inquiry: Inquiry) -> Iterator[str]:
        """What was seen and what was said; of a talk first what was said."""
        if inquiry.question.whether and (yield from self._quiet(inquiry)):
            return
        heard = inquiry.watched.heard
        lines = (yield from overheard.at_hand(heard, inquiry)) if heard is not None else []
        if heard is None or not lines:
            yield from self._summary(inquiry)
        elif overheard.share(inquiry, lines) >= overheard.TALK:
            yield from overheard.told(heard, inquiry, lines)
            yield " Seen: "
            yield from self._summary(inquiry, SHOWN)
        else:
            yield from self._summary(inquiry)
            yield " Heard: "
            yield from overheard.told(heard, inquiry, lines)

    def _quiet(self, inquiry: Inquiry) -> Generator[str, None, bool]:
        """Whether anything happened at all: "Yes.", or "No" with what stood still; True if that was all."""
        entries = inquiry.entries
        if movement.moving(entries) or movement.cuts(entries):
            yield "Yes. "
            return False
        longest = max(scenes(entries), key=lambda scene: scene.end - scene.start)
        told = yield from self._told(inquiry, longest)
        yield f"No, nothing has moved: {told}"
        return True

    def _summary(self, inquiry: Inquiry, most: int = TOLD) -> Iterator[str]:
        found = scenes(inquiry.entries)
        telling = sorted(found, key=lambda scene: (scene.end - scene.start) * (1 + 2 * scene.motion), reverse=True)
        told = sorted(telling[:most], key=lambda scene: scene.start)
        if len(found) > len(told):
            yield f"{len(found)} scenes in {duration(inquiry.seconds)}; the most telling: "
        before = ""
        for number, scene in enumerate(told):
            if inquiry.cancel():
                return
            text = yield from self.find.told(inquiry.entries[scene.told])
            inquiry.note(scene.start, scene.end, 1.0, text)
            line = "the same" if text == before else text.rstrip(".")
            yield f"{' ' if number else ''}{inquiry.stretch(scene.start, scene.end)}: {line}."
            before = text

    def _change(self, inquiry: Inquiry) -> Iterator[str]:
        entries = inquiry.entries
        found = scenes(entries)
        if len(found) == 1 and found[0].motion < 0.05:
            told = yield from self._told(inquiry, found[0])
            yield f"Nothing has changed: {told}"
            return
        if told_by_movement := movement.changes(self.find, inquiry):
            yield f"{told_by_movement} "
        first, last = found[0], found[-1]
        if len(found) == 1:
            end = len(entries) - 1
            first, last = (Scene(entries[at].start, entries[at].end, at, at, at, entries[at].energy) for at in (0, end))
        one = yield from self._told(inquiry, first)
        other = yield from self._told(inquiry, last)
        if one == other:
            how = "much" if found[0].motion > 0.4 else "some"
            yield f"The scene is the same ({one.rstrip('.')}), with {how} movement."
        else:
            yield f"At {inquiry.clock(first.start)}: {one} At {inquiry.clock(last.start)}: {other}"

    def _told(self, inquiry: Inquiry, scene: Scene) -> Generator[str, None, str]:
        text = sentence((yield from self.find.told(inquiry.entries[scene.told])))
        inquiry.note(scene.start, scene.end, 1.0, text)
        return text
