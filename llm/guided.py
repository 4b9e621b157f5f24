"""Answers of a published LLaMA-VID checkpoint: its language model was tuned to talk, and says more than ours can.

What is computed stays computed, as for every model: times, durations, counts, order and movement come from evidence
and journal. All else the language model answers in its own words, behind the memory and the frames that match the
question, read again with the question in mind; a question about a named time, behind the frames of that time alone.
Frames of a recording that were read with this very question (`llama-vid ask`) are not read again: that is what the
checkpoint was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Final

import torch

from llama_vid.llm import described, movement
from llama_vid.llm.batching import Batch, Request
from llama_vid.llm.cache import Snapshot
from llama_vid.llm.calibration import Calibration
from llama_vid.llm.evidence import CAPTIONS, Finder
from llama_vid.llm.inquiry import Inquiry
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import Segment
from llama_vid.llm.preface import Preface
from llama_vid.llm.prompts import shortened
from llama_vid.llm.questions import QuestionKind
from llama_vid.llm.recall import is_coarse
from llama_vid.llm.responder import Responder
from llama_vid.llm.session import embed_segments
from llama_vid.llm.steps import Pause
from llama_vid.llm.words import first_sentence, sentence
from llama_vid.memory.budget import ANSWER_TOKENS
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.scoring import SceneScorer

CAPTION: Final = "Describe the scene in one short sentence."
CAPTION_TOKENS: Final = 40
LOOP: Final = 24  # tokens that end an answer when they come again: longer texts repeat short phrases rightly
APART: Final = 256  # pairs that are read for a named time, spread evenly: one batch of a prefill a 128


class GuidedFinder(Finder):
    """`Finder` that speaks to a language model with a preface."""

    @property
    def preface(self) -> Preface:
        """What its conversations begin with."""
        assert self.language.preface is not None  # who makes one sees to it
        return self.language.preface

    def margins(self, memories: Sequence[Sequence[TokenPair]], question: str) -> list[float]:
        """The score of yes minus no, as in `Finder`; asked for one word."""
        model, asks = self.language, self.preface.asks(question, briefly=True)
        if not memories[0]:
            asks = asks.lstrip("\n")
        suffix = model.embed_text(asks)
        x = torch.stack([torch.cat([embed_segments(model, [self.preface, *pairs]), suffix]) for pairs in memories])
        with torch.inference_mode():
            logits = model.logits(model.forward(x)[:, -1]).float()
        yes, no = model.tokenize("Yes")[0], model.tokenize("No")[0]
        found: list[float] = (logits[:, yes] - logits[:, no]).tolist()
        return found

    def captioning(self, entry: MemoryEntry) -> Generator[Pause | None, None, str]:
        """One sentence for an entry in the language model's words, remembered; yields while it is made.

        A plain sentence that the picture matches, where the model cannot read a memory's pair.
        """
        if not self.preface.memory:
            return self.plain(entry)
        key = id(entry.pair.context)
        if key not in self._captions:
            memory = read_apart(self.language, [self.preface, entry.pair])
            request = Request(self.language.embed_text(self.preface.asks(CAPTION)), memory, CAPTION_TOKENS, loop=LOOP)
            said: list[str] = []
            for piece in first_sentence(Batch(self.language).ask(request)):
                said.append(piece)
                yield None
            self._captions[key] = (entry.pair, sentence("".join(said)) or self.plain(entry))
            while len(self._captions) > CAPTIONS:
                self._captions.pop(next(iter(self._captions)))
        return self._captions[key][1]


class GuidedResponder(Responder):
    """`Responder` for a published checkpoint; an evidence block has at most `frames` frames."""

    def __init__(
        self, language: LanguageModel, scorer: SceneScorer, calibration: Calibration, *, name: str, frames: int
    ) -> None:
        super().__init__(language, scorer, calibration, name=name)
        self.find: GuidedFinder = GuidedFinder(language, scorer, calibration)
        self._frames = frames

    def _by_kind(self, inquiry: Inquiry) -> Iterator[str]:
        asked = inquiry.question
        computed = {QuestionKind.WHEN, QuestionKind.HOW_LONG, QuestionKind.ORDER}
        if movement.about(asked) is not None or asked.kind in computed:
            return super()._by_kind(inquiry)
        if asked.kind is QuestionKind.HOW_MANY and asked.often:
            return super()._by_kind(inquiry)
        return self._spoken(inquiry)

    def _spoken(self, inquiry: Inquiry) -> Iterator[str]:
        """The language model's answer, and the moments that it rests on as evidence."""
        entries, asked, find, model = inquiry.entries, inquiry.question, self.find, self.language
        z = find.scores(entries, asked.subject or asked.text)
        yield ""
        crowd = self._answering
        count = min(self._frames, max(2, described.EVIDENCE if crowd <= 2 else described.READ_AT_ONCE // crowd))
        best = sorted(z.topk(min(count, len(entries))).indices.tolist())
        suffix = model.embed_text(find.preface.asks(shortened(asked.text, model.tokenize)))
        if asked.span is not None:
            yield from self._pieces(inquiry, self._thinned(entries) + self._block(inquiry, best), suffix)
        else:
            read = inquiry.watched.entries
            known = find.preface.memory and inquiry.watched.guide == asked.text and not any(map(is_coarse, read))
            block = [] if known else self._block(inquiry, best)
            yield ""
            for _ in inquiry.watched.context.catching_up(read):
                yield ""
            prompt = torch.cat([embed_segments(model, block), suffix])
            yield from _heard(
                inquiry.watched.context.generate(prompt, max_tokens=ANSWER_TOKENS, cancel=inquiry.cancel, loop=LOOP),
                inquiry.cancel,
            )
        found = find.events(entries, z, float(z.max()) - described.NEAR_BEST)[: described.SHOWN]
        yield from find.ground(inquiry, found, z, plain=True)

    def _block(self, inquiry: Inquiry, best: Sequence[int]) -> list[TokenPair]:
        """The pairs of the best frames, read again with the question in mind."""
        entries = inquiry.entries
        if self._answering > described.CROWD and self.find.preface.memory:
            return [entries[index].pair for index in best]
        return inquiry.watched.reread([entries[index].start for index in best], inquiry.question.text)

    def _thinned(self, entries: Sequence[MemoryEntry]) -> list[TokenPair]:
        """The pairs of entries, at most APART, in time order; none for a model that reads no memory."""
        if not self.find.preface.memory:
            return []
        step = -(-len(entries) // APART)
        return [entry.pair for entry in entries[::step]]

    def _pieces(self, inquiry: Inquiry, pairs: Sequence[TokenPair], suffix: torch.Tensor) -> Iterator[str]:
        """The answer behind some pairs alone."""
        memory = read_apart(self.language, [self.find.preface, *pairs])
        yield ""
        request = Request(suffix, memory, ANSWER_TOKENS, cancel=inquiry.cancel, loop=LOOP)
        yield from _heard(Batch(self.language).ask(request), inquiry.cancel)


def read_apart(model: LanguageModel, segments: Sequence[Segment]) -> Snapshot:
    """A memory of its own that has read `segments`, for one question; it is gone with its snapshot."""
    embeds = embed_segments(model, segments)
    cache = model.new_cache(len(embeds))
    model.forward(embeds, cache)
    return Snapshot(cache, cache.length)


def _heard(pieces: Iterator[str], cancel: Callable[[], bool]) -> Iterator[str]:
    """An answer's pieces, and a word in place of an empty one."""
    silent = True
    for piece in pieces:
        silent = silent and not piece.strip()
        yield piece
    if silent and not cancel():
        yield "I cannot tell."
