"""From a question and a memory to a streamed answer with its evidence.

What a question wants decides how it is answered (DESIGN section 8): yes or no is weighed from image-text scores and the
language model's reading of the tokens; times, counts and order are computed from scores, never generated; what, which and
where are generated behind the memory and an evidence block of the frames that match; a summary tells the memory's scenes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Final, Protocol

import torch
from torch import Tensor

from llama_vid.llm.answer import Answer, AnswerPiece, Evidence, Moment, Span, Timing, TokenUse
from llama_vid.llm.calibration import Calibration, logistic
from llama_vid.llm.captioner import captions
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.prompts import question_suffix, shortened, yes_no_ids
from llama_vid.llm.questions import Question, QuestionKind, sort_question
from llama_vid.llm.scenes import Scene, scenes
from llama_vid.llm.session import VideoContext, embed_segments
from llama_vid.llm.words import clock, duration, listed, sentence, stretch
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.scoring import SceneScorer, smoothed

EVIDENCE: Final = 8  # frames in an evidence block
SHOWN: Final = 3  # spans of evidence beside an answer
TOLD: Final = 12  # scenes in a summary
ANSWER_TOKENS: Final = 48  # longest generated answer
GAP: Final = 2.5  # seconds between matching frames that still belong to one event
READ: Final = 8  # frames whose tokens a yes/no question reads


class Watched(Protocol):
    """A memory as the responder sees it; `zone` is None for recordings. `reread` gives frames' pairs anew under a guide."""

    @property
    def entries(self) -> tuple[MemoryEntry, ...]: ...
    @property
    def frames(self) -> int: ...
    @property
    def zone(self) -> tzinfo | None: ...
    @property
    def context(self) -> VideoContext: ...
    def reread(self, seconds: Sequence[float], guide_text: str) -> list[TokenPair]: ...


@dataclass(slots=True)
class _Work:
    """One answer under way."""

    question: Question
    watched: Watched
    entries: tuple[MemoryEntry, ...]
    began: float
    first_token: float | None = None


class Responder:
    """Answers questions about memories. Synchronous; generators yield often, so that other work can go between."""

    def __init__(self, language: LanguageModel, scorer: SceneScorer, calibration: Calibration, *, name: str) -> None:
        self.language, self.scorer, self.calibration, self.name = language, scorer, calibration, name
        self._captions: dict[int, tuple[TokenPair, str]] = {}

    def respond(self, text: str, watched: Watched, *, ingest_s: float = 0.0, subject: str | None = None,
                cancel: Callable[[], bool] = lambda: False) -> Iterator[AnswerPiece]:
        """Pieces of the answer; the last one carries the whole. Raises QuestionError for a question that cannot be taken.

        `subject` stands in for a pronoun that only the conversation explains.
        """
        began = time.perf_counter()
        entries = watched.entries
        start, end = (entries[0].start, entries[-1].end) if entries else (0.0, 0.0)
        question = sort_question(text, start, end, zone=watched.zone)
        if subject and question.subject in ("", "it", "this", "that", "he", "she", "they", "them"):
            question = replace(question, subject=subject)
        work = _Work(question, watched, entries, began)
        said: list[str] = []
        evidence: list[Evidence] = []
        for piece in self._answer(work, evidence, cancel):
            if piece:
                work.first_token = work.first_token or time.perf_counter()
                said.append(piece)
                yield AnswerPiece(piece)
        now = time.perf_counter()
        evidence.sort(key=lambda item: item.start)
        timing = Timing(ingest_s, round((work.first_token or now) - began, 4), round(now - began + ingest_s, 4))
        yield AnswerPiece("", Answer(
            "".join(said).strip(), [item.start for item in evidence], evidence,
            TokenUse(watched.frames, 2 * len(entries)), timing, self.name))

    def timeline(self, entries: Sequence[MemoryEntry]) -> list[Span]:
        """The stretches of memory, captioned."""
        found = scenes(entries)
        told = self._caption([entries[scene.told] for scene in found])
        return [Span(round(s.start, 3), round(s.end, 3), text, round(s.motion, 4)) for s, text in zip(found, told, strict=True)]

    def search(self, entries: Sequence[MemoryEntry], text: str, limit: int) -> list[Moment]:
        """The moments that match a text best, each [start, end] around its best frame, best first."""
        if not entries:
            return []
        z = self._scores(entries, text)
        out: list[Moment] = []
        taken = torch.zeros(len(entries), dtype=torch.bool)
        for index in z.argsort(descending=True).tolist():
            if taken[index] or len(out) >= limit:
                continue
            first = last = index
            floor = float(z[index]) - 0.75
            while first > 0 and not taken[first - 1] and entries[first - 1].scene == entries[index].scene and z[first - 1] >= floor:
                first -= 1
            while last + 1 < len(entries) and not taken[last + 1] and entries[last + 1].scene == entries[index].scene and z[last + 1] >= floor:
                last += 1
            taken[first : last + 1] = True
            out.append(Moment(round(entries[first].start, 3), round(entries[last].end, 3), round(self._sure(float(z[index])), 4)))
        return out

    def margin(self, pairs: Sequence[TokenPair], question: str) -> float:
        """The language model's score of yes minus no, from token pairs and the question alone (none: blind)."""
        segments = (["[0 min]"] if pairs else []) + list(pairs)
        suffix = self.language.embed_text(question_suffix(question).lstrip("\n") if not pairs else question_suffix(question))
        x = torch.cat([embed_segments(self.language, segments), suffix])
        with torch.inference_mode():
            logits = self.language.logits(self.language.forward(x)[-1]).float()
        yes, no = yes_no_ids(self.language.tokenize)
        return float(logits[yes] - logits[no])

    def _answer(self, work: _Work, evidence: list[Evidence], cancel: Callable[[], bool]) -> Iterator[str]:
        zone, span = work.watched.zone, work.question.span
        if not work.entries:
            yield "I have not seen anything yet."
            return
        if span is not None:
            inside = tuple(e for e in work.entries if e.end > span.start and e.start < max(span.end, span.start + 1e-6))
            if not inside:
                first, last = work.entries[0].start, work.entries[-1].end
                where = "before my memory begins" if span.end <= first else "after what I have seen so far"
                yield f"I cannot say: {stretch(span.start, span.end, zone)} is {where} (I remember {stretch(first, last, zone)})."
                return
            work.entries = inside
        kind = work.question.kind
        if kind in (QuestionKind.WHEN, QuestionKind.HOW_LONG) and not work.question.subject:
            kind = QuestionKind.SUMMARY if kind is QuestionKind.WHEN else kind
        handlers: dict[QuestionKind, Callable[[_Work, list[Evidence], Callable[[], bool]], Iterator[str]]] = {
            QuestionKind.IS_THERE: self._is_there, QuestionKind.WHEN: self._when, QuestionKind.HOW_LONG: self._how_long,
            QuestionKind.ORDER: self._order, QuestionKind.SUMMARY: self._summary, QuestionKind.CHANGE: self._change,
        }
        if kind is QuestionKind.HOW_MANY and work.question.often:
            yield from self._how_often(work, evidence)
        else:
            yield from handlers.get(kind, self._what)(work, evidence, cancel)

    def _is_there(self, work: _Work, evidence: list[Evidence], _: Callable[[], bool]) -> Iterator[str]:
        text = work.question.subject or work.question.text
        z = self._scores(work.entries, text)
        best = float(z.max())
        mean = float(z.topk(max(1, len(z) // 4)).values.mean())
        probability = self.calibration.probability(best, mean, self.margin(self._read(work.entries, z), work.question.text))
        if probability >= 0.5:
            yield "Yes"
            found = self._events(work.entries, z, max(min(best - 0.5, self.calibration.present), best - 1.5))[:SHOWN]
            self._ground(work, found, z, evidence)
            if evidence:
                top = max(evidence, key=lambda item: item.score)
                yield f", {'probably ' if probability < 0.65 else ''}at {stretch(top.start, top.end, work.watched.zone)}: "
                yield sentence(top.caption)
            else:
                yield "."
        else:
            yield "No"
            yield f", I have {'probably ' if probability > 0.35 else ''}not seen {text.rstrip('?').strip()}."

    def _what(self, work: _Work, evidence: list[Evidence], cancel: Callable[[], bool]) -> Iterator[str]:
        z = self._scores(work.entries, work.question.subject or work.question.text)
        best = sorted(z.topk(min(EVIDENCE, len(work.entries))).indices.tolist())
        seconds = [work.entries[index].start for index in best]
        block = work.watched.reread(seconds, work.question.subject)
        model = self.language
        asked = shortened(work.question.text, model.tokenize)
        suffix = torch.cat([embed_segments(model, ["[evidence]", *block] if block else []), model.embed_text(question_suffix(asked))])
        yield from self._generated(work, suffix, cancel)
        self._ground(work, self._events(work.entries, z, float(z.max()) - 0.6)[:SHOWN], z, evidence)

    def _generated(self, work: _Work, suffix: Tensor, cancel: Callable[[], bool]) -> Iterator[str]:
        context, model = work.watched.context, self.language
        for _ in context.syncing(work.watched.entries):
            yield ""
        empty = True
        for piece in context.generate(suffix, max_tokens=ANSWER_TOKENS, stop=model.line_ends, cancel=cancel):
            empty = False
            yield piece
        if empty:
            yield "I cannot tell."

    def _when(self, work: _Work, evidence: list[Evidence], _: Callable[[], bool]) -> Iterator[str]:
        z, found = self._found(work)
        if not found:
            yield f"I have not seen {work.question.subject}."
            return
        self._ground(work, found[:TOLD], z, evidence)
        zone = work.watched.zone
        yield "At " + listed([stretch(work.entries[a].start, work.entries[b].end, zone) for a, b in sorted(found[:TOLD])]) + "."

    def _how_long(self, work: _Work, evidence: list[Evidence], _: Callable[[], bool]) -> Iterator[str]:
        zone = work.watched.zone
        if not work.question.subject:
            yield f"I have watched {duration(work.entries[-1].end - work.entries[0].start)}."
            return
        z, found = self._found(work)
        if not found:
            yield f"I have not seen {work.question.subject}."
            return
        self._ground(work, found[:TOLD], z, evidence)
        total = sum(work.entries[b].end - work.entries[a].start for a, b in found)
        yield f"About {duration(total)}"
        if len(found) > 1:
            yield f" in all, {len(found)} times"
        yield ": " + listed([stretch(work.entries[a].start, work.entries[b].end, zone) for a, b in sorted(found[:TOLD])]) + "."

    def _how_often(self, work: _Work, evidence: list[Evidence]) -> Iterator[str]:
        z, found = self._found(work)
        if not found:
            yield f"Never: I have not seen {work.question.subject}."
            return
        self._ground(work, found[:TOLD], z, evidence)
        times = listed([clock(work.entries[a].start, work.watched.zone) for a, _ in sorted(found[:TOLD])])
        yield f"{'Once' if len(found) == 1 else 'Twice' if len(found) == 2 else f'{len(found)} times'}, at {times}."

    def _order(self, work: _Work, evidence: list[Evidence], cancel: Callable[[], bool]) -> Iterator[str]:
        things = [thing for thing in (work.question.subject, *work.question.others) if thing]
        if len(things) < 2:
            yield from self._summary(work, evidence, cancel)
            return
        seen: list[tuple[float, str]] = []
        for thing in things:
            z = self._scores(work.entries, thing)
            found = self._events(work.entries, z, max(self.calibration.present, float(z.max()) - 1.0))
            if found:
                self._ground(work, found[:1], z, evidence)
                seen.append((min(work.entries[a].start for a, _ in found), thing))
        missing = [thing for thing in things if thing not in {name for _, name in seen}]
        seen.sort()
        if seen:
            yield f"First {seen[0][1]} at {clock(seen[0][0], work.watched.zone)}"
            for second, thing in seen[1:]:
                yield f", then {thing} at {clock(second, work.watched.zone)}"
            yield "."
        if missing:
            yield (" " if seen else "") + f"I have not seen {listed(missing)}."

    def _summary(self, work: _Work, evidence: list[Evidence], cancel: Callable[[], bool]) -> Iterator[str]:
        found = scenes(work.entries)
        told = sorted(sorted(found, key=lambda s: (s.end - s.start) * (1 + 2 * s.motion), reverse=True)[:TOLD], key=lambda s: s.start)
        if len(found) > len(told):
            yield f"{len(found)} scenes in {duration(work.entries[-1].end - work.entries[0].start)}; the most telling: "
        before = ""
        for scene in told:
            if cancel():
                return
            text = self._caption([work.entries[scene.told]])[0]
            evidence.append(Evidence(round(scene.start, 3), round(scene.end, 3), 1.0, text))
            line = f"{stretch(scene.start, scene.end, work.watched.zone)} {'the same' if text == before else text.rstrip('.')}"
            yield line + (". " if scene is not told[-1] else ".")
            before = text

    def _change(self, work: _Work, evidence: list[Evidence], _: Callable[[], bool]) -> Iterator[str]:
        found = scenes(work.entries)
        if len(found) == 1 and found[0].motion < 0.05:
            yield f"Nothing has changed: {self._told(work, found[0], evidence)}"
            return
        first, last = (found[0], found[-1]) if len(found) > 1 else self._halves(work.entries)
        one, other = self._told(work, first, evidence), self._told(work, last, evidence)
        zone = work.watched.zone
        if one == other:
            yield f"The scene is the same ({one.rstrip('.')}), with {'much' if found[0].motion > 0.4 else 'some'} movement."
        else:
            yield f"At {clock(first.start, zone)}: {one} At {clock(last.start, zone)}: {other}"

    def _told(self, work: _Work, scene: Scene, evidence: list[Evidence]) -> str:
        text = sentence(self._caption([work.entries[scene.told]])[0])
        evidence.append(Evidence(round(scene.start, 3), round(scene.end, 3), 1.0, text))
        return text

    @staticmethod
    def _halves(entries: Sequence[MemoryEntry]) -> tuple[Scene, Scene]:
        last = len(entries) - 1
        return (Scene(entries[0].start, entries[0].end, 0, 0, 0, entries[0].energy),
                Scene(entries[last].start, entries[last].end, last, last, last, entries[last].energy))

    def _scores(self, entries: Sequence[MemoryEntry], text: str) -> Tensor:
        embeddings = torch.stack([entry.embedding.float() for entry in entries])
        query = self.scorer.query(text)
        return smoothed(self.scorer.score(query, embeddings), [entry.start for entry in entries])

    def _sure(self, z: float) -> float:
        return logistic(1.7 * (z - self.calibration.present))

    def _found(self, work: _Work) -> tuple[Tensor, list[tuple[int, int]]]:
        z = self._scores(work.entries, work.question.subject)
        return z, self._events(work.entries, z, max(self.calibration.present, float(z.max()) - 1.5))

    @staticmethod
    def _events(entries: Sequence[MemoryEntry], z: Tensor, floor: float) -> list[tuple[int, int]]:
        """Runs [first, last] of entries that score at least `floor`, gaps up to GAP closed; best first."""
        runs: list[tuple[int, int]] = []
        for index in torch.nonzero(z >= floor).flatten().tolist():
            if runs and entries[index].start - entries[runs[-1][1]].end <= GAP:
                runs[-1] = (runs[-1][0], index)
            else:
                runs.append((index, index))
        return sorted(runs, key=lambda run: float(z[run[0] : run[1] + 1].max()), reverse=True)

    def _read(self, entries: Sequence[MemoryEntry], z: Tensor) -> list[TokenPair]:
        """The pairs that a yes/no question reads: half the best-scoring frames, half spread evenly, in time order."""
        if len(entries) <= READ:
            return [entry.pair for entry in entries]
        even = {round(i * (len(entries) - 1) / (READ // 2 - 1)) for i in range(READ // 2)}
        chosen = sorted(even | set(z.topk(READ // 2).indices.tolist()))
        return [entries[index].pair for index in chosen]

    def _ground(self, work: _Work, runs: Sequence[tuple[int, int]], z: Tensor, evidence: list[Evidence]) -> None:
        best = [first + int(z[first : last + 1].argmax()) for first, last in runs]
        told = self._caption([work.entries[index] for index in best])
        for (first, last), index, text in zip(runs, best, told, strict=True):
            evidence.append(Evidence(round(work.entries[first].start, 3), round(work.entries[last].end, 3),
                                     round(self._sure(float(z[index])), 4), text))

    def _caption(self, entries: Sequence[MemoryEntry]) -> list[str]:
        """One sentence for each entry, remembered by its pair's context token."""
        missing = {id(e.pair.context): e.pair for e in entries if id(e.pair.context) not in self._captions}
        for pair, text in zip(missing.values(), captions(self.language, list(missing.values())), strict=True):
            self._captions[id(pair.context)] = (pair, sentence(text))  # the pair is kept so that its id stays its own
        out = [self._captions[id(e.pair.context)][1] for e in entries]
        while len(self._captions) > 4096:
            self._captions.pop(next(iter(self._captions)))
        return out
