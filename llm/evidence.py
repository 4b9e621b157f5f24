"""Finding what a question is about in a memory: scores over its entries, events, the frames to read, and captions."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm.agreement import Rarity, agreement
from llama_vid.llm.calibration import Calibration, logistic
from llama_vid.llm.captioner import caption_prompt
from llama_vid.llm.inquiry import Inquiry
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import Segment, mark_text
from llama_vid.llm.likelihood import Likelihood, likelihoods
from llama_vid.llm.prompts import question_suffix, yes_no_ids
from llama_vid.llm.proposals import Proposal, proposing
from llama_vid.llm.session import embed_segments
from llama_vid.llm.steps import Pause, finished, waited
from llama_vid.llm.words import sentence
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.scoring import SceneScorer, smoothed

GAP: Final = 2.5  # seconds between matching frames that still belong to one event
READ: Final = 8  # frames whose tokens a yes/no question reads: what training showed at once
CLOSER: Final = 4  # frames whose regions a yes/no question looks at: more gain nothing
CAPTIONS: Final = 4096  # captions that are remembered
SEEN: Final = 0.1  # agreement that one z-score of the image-text score is worth: costs no CIDEr (Flickr8k dev)
CLEARLY: Final = -0.3  # a plain sentence is taken unless the captioner's own matches better by this z-score
VAGUE: Final = 1.0  # z-score below which no sentence fits
UNCLEAR: Final = "It is not clear what is seen."


class Finder:
    """Image-text scores, the language model's yes/no margin, and captions over memory entries."""

    def __init__(
        self, language: LanguageModel, scorer: SceneScorer, calibration: Calibration, rarity: Rarity | None = None
    ) -> None:
        self.language, self.scorer, self.calibration, self.rarity = language, scorer, calibration, rarity
        self._captions: dict[int, tuple[TokenPair, str]] = {}
        self._stacked: tuple[Sequence[MemoryEntry], Tensor] | None = None  # embeddings of the memory asked last

    def scores(self, entries: Sequence[MemoryEntry], text: str) -> Tensor:
        """Smoothed z-scores (N,) of a text over N entries."""
        known = self._stacked
        if known is None or known[0] is not entries or not isinstance(entries, tuple):  # a list may have changed
            self._stacked = known = (entries, torch.stack([entry.embedding for entry in entries]))
        return smoothed(self.score(known[1], text), [entry.start for entry in entries])

    def score(self, embeddings: Tensor, text: str) -> Tensor:
        """z-scores (N,) of a text over image embeddings (N, E)."""
        return self.scorer.score(self.scorer.query(text), embeddings.float().cpu())

    def sure(self, z: float) -> float:
        """A z-score as a share in 0…1: one half where a frame begins to count as showing what is asked for."""
        return logistic(1.7 * (z - self.calibration.present))

    @staticmethod
    def events(entries: Sequence[MemoryEntry], z: Tensor, floor: float) -> list[tuple[int, int]]:
        """Runs [first, last] of entries that score at least `floor`, gaps up to GAP closed; best first."""
        runs: list[tuple[int, int]] = []
        for index in torch.nonzero(z >= floor).flatten().tolist():
            if runs and entries[index].start - entries[runs[-1][1]].end <= GAP:
                runs[-1] = (runs[-1][0], index)
            else:
                runs.append((index, index))
        return sorted(runs, key=lambda run: float(z[run[0] : run[1] + 1].max()), reverse=True)

    def ground(
        self, inquiry: Inquiry, runs: Sequence[tuple[int, int]], z: Tensor, *, plain: bool = False
    ) -> Iterator[str]:
        """Add runs of entries to the evidence, each with the caption of its best entry (`plain`: without a new one).

        Yields empty pieces of an answer while captions are made.
        """
        for first, last in runs:
            index = first + int(z[first : last + 1].argmax())
            entry = inquiry.entries[index]
            text = self.plain(entry) if plain else (yield from self.told(entry))
            inquiry.note(inquiry.entries[first].start, inquiry.entries[last].end, self.sure(float(z[index])), text)

    def told(self, entry: MemoryEntry) -> Generator[str, None, str]:
        """As `captioning`, for use inside an answer: yields empty pieces of it."""
        return (yield from waited(self.captioning(entry)))

    @staticmethod
    def read(entries: Sequence[MemoryEntry], z: Tensor) -> list[TokenPair]:
        """The pairs that a yes/no question reads: half the best-scoring frames, half spread evenly, in time order."""
        if len(entries) <= READ:
            return [entry.pair for entry in entries]
        return [entries[index].pair for index in best_and_spread(z, READ)]

    def margin(self, pairs: Sequence[TokenPair], question: str) -> float:
        """The language model's score of yes minus no, from token pairs and the question alone (no pairs: blind)."""
        return self.margins([pairs], question)[0]

    def margins(self, memories: Sequence[Sequence[TokenPair]], question: str) -> list[float]:
        """As `margin`, for memories of as many pairs each, which are read at once."""
        model = self.language
        with torch.inference_mode():
            logits = model.logits(model.forward(self.prompts(memories, question))[:, -1]).float()
        yes, no = yes_no_ids(model.tokenize)
        found: list[float] = (logits[:, yes] - logits[:, no]).tolist()
        return found

    def prompts(self, memories: Sequence[Sequence[TokenPair]], question: str) -> Tensor:
        """What `margins` has the language model read, (B, n, D)."""
        model = self.language
        blind = not memories[0]
        suffix = model.embed_text(question_suffix(question).lstrip("\n") if blind else question_suffix(question))
        marks: list[Segment] = [] if blind else [mark_text(0.0)]
        return torch.stack([torch.cat([embed_segments(model, [*marks, *pairs]), suffix]) for pairs in memories])

    def margining(self, pairs: Sequence[TokenPair], question: str) -> Generator[Pause | None, None, float]:
        """As `margin`, in steps."""
        yield from ()
        return self.margin(pairs, question)

    def likely(self, prompt: Tensor, texts: Sequence[str]) -> Generator[Pause | None, None, list[Likelihood]]:
        """How likely each text is behind a prompt (n, D), as `likelihoods` says it, in steps."""
        yield from ()
        return likelihoods(self.language, prompt, texts)

    def plain(self, entry: MemoryEntry) -> str:
        """The entry's caption if it is remembered, else the plain sentence that its picture matches best: at once."""
        known = self._captions.get(id(entry.pair.context))
        if known is not None:
            return known[1]
        text, score = self.scorer.told(entry.embedding)
        return sentence(text) if score >= VAGUE else UNCLEAR

    def weighed(self, entries: Sequence[MemoryEntry], z: Tensor, question: str) -> tuple[float, float, float]:
        """What a yes/no question is decided by: best z-score, mean of the best quarter, the tokens' margin."""
        return finished(self.weighing(entries, z, question))

    def weighing(
        self, entries: Sequence[MemoryEntry], z: Tensor, question: str
    ) -> Generator[Pause | None, None, tuple[float, float, float]]:
        """As `weighed`, in steps."""
        mean = float(z.topk(max(1, len(z) // 4)).values.mean())
        return float(z.max()), mean, (yield from self.margining(self.read(entries, z), question))

    def closer(
        self, entries: Sequence[MemoryEntry], z: Tensor, text: str, look: Callable[[Sequence[float]], Tensor | None]
    ) -> float | None:
        """The z-score of a text in the regions of the CLOSER frames that match best, the mean of the better half.

        `look` gives the regions of frames at times. None where it has none, or the calibration makes nothing of them.
        """
        if not self.calibration.looks_closer:
            return None
        best = sorted(z.topk(min(CLOSER, len(z))).indices.tolist())
        regions = look([entries[index].start for index in best])
        if regions is None:
            return None
        found = self.scorer.score_regions(self.scorer.query(text), regions)
        return float(found.topk(max(1, len(found) // 2)).values.mean())

    def caption(self, entries: Sequence[MemoryEntry]) -> list[str]:
        """One sentence for each entry, as `captioning` gives it."""
        return [finished(self.captioning(entry)) for entry in entries]

    def captioning(self, entry: MemoryEntry) -> Generator[Pause | None, None, str]:
        """One sentence for an entry, remembered by its pair's context token; yields while it is made, in short steps.

        The language model proposes several from the two tokens; the one is taken that they agree with most and that
        the picture's embedding matches, which keeps inventions out of answers.
        """
        key = id(entry.pair.context)
        if key not in self._captions:
            proposals = yield from self.proposing(caption_prompt(self.language, entry.pair))
            best, score = self._chosen(entry, proposals)
            plain, plain_score = self.scorer.told(entry.embedding)
            best = sentence(plain if plain_score > score + CLEARLY else best)
            if max(score, plain_score) < VAGUE:
                best = UNCLEAR
            self._captions[key] = (entry.pair, best)  # the pair is kept so that its id stays its own
            while len(self._captions) > CAPTIONS:
                self._captions.pop(next(iter(self._captions)))
        return self._captions[key][1]

    def proposing(self, prompt: Tensor) -> Generator[Pause | None, None, list[Proposal]]:
        """Sentences that the language model may say after a prompt (n, D), in steps."""
        (found,) = yield from proposing(self.language, prompt[None])
        return found

    def _chosen(self, entry: MemoryEntry, proposals: Sequence[Proposal]) -> tuple[str, float]:
        """The proposal that is agreed on and seen, and its z-score."""
        if not proposals:
            return "", float("-inf")
        z = self.scorer.proposed([proposal.text for proposal in proposals], entry.embedding).tolist()
        found = zip(agreement(proposals, self.rarity), z, proposals, strict=True)
        _, score, best = max(found, key=lambda item: item[0] + SEEN * item[1])
        return best.text, float(score)


def best_and_spread(z: Tensor, count: int) -> list[int]:
    """The numbers of at most `count` (4 or more) frames, ascending: half score best by `z` (N,), half lie evenly."""
    half = count // 2
    even = {round(at * (len(z) - 1) / (half - 1)) for at in range(half)}
    return sorted(even | set(z.topk(min(half, len(z))).indices.tolist()))
