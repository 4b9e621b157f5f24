"""Finding what a question is about, where a vLLM server runs the language model.

As `Finder`: yes and no are weighed by their log-probabilities, captions are chosen among one greedy and some drawn
sentences. The draws are vLLM's own, with a fixed seed, from as many tokens at the same temperature; they are not spread
as evenly as ours (`proposals.py`), so that captions may differ in words.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Final, TypeVar

import torch
from torch import Tensor

from llama_vid.llm.agreement import Rarity
from llama_vid.llm.calibration import Calibration
from llama_vid.llm.evidence import Finder
from llama_vid.llm.likelihood import Likelihood, likelihoods
from llama_vid.llm.prompts import yes_no_ids
from llama_vid.llm.proposals import DRAWS, LONGEST, TEMPERATURE, TOP, Proposal, counted, text_of
from llama_vid.llm.steps import Pause
from llama_vid.llm.vllm_context import LOOK_S, stop_ids
from llama_vid.llm.vllm_errors import VllmError, VllmUnavailable
from llama_vid.llm.vllm_language import VllmLanguage
from llama_vid.llm.vllm_request import Sampling
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.scoring import SceneScorer

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds that a yes or no is waited for where nothing else can be done meanwhile: frames wait as well.
QUICK_S: Final = 2.0
SEED: Final = 1


class VllmFinder(Finder):
    """`Finder` whose language model is a `VllmLanguage`. Raises VllmError where only the server could answer."""

    def __init__(
        self, language: VllmLanguage, scorer: SceneScorer, calibration: Calibration, rarity: Rarity | None = None
    ) -> None:
        super().__init__(language, scorer, calibration, rarity)
        self._remote = language
        self._local = None if language.local is None else Finder(language.local, scorer, calibration, rarity)

    def margins(self, memories: Sequence[Sequence[TokenPair]], question: str) -> list[float]:
        """As in `Finder`; waited for at most QUICK_S."""
        if self._local is not None and self._remote.line.down is not None:
            return self._local.margins(memories, question)
        future = self._asked(memories, question)
        try:
            return future.result(QUICK_S)
        except FutureTimeout:
            future.cancel()
            problem: VllmError = VllmUnavailable(
                f"the vLLM server at {self._remote.line.options.base_url} took longer than {QUICK_S:g} s for a yes"
                " or no"
            )
        except VllmError as caught:
            problem = caught
        if self._local is None:
            raise problem
        logger.warning("%s; the language model here answers", problem)
        return self._local.margins(memories, question)

    def margining(self, pairs: Sequence[TokenPair], question: str) -> Generator[Pause | None, None, float]:
        """As `margin`, while others have their turn."""
        if self._local is None or self._remote.line.down is None:
            try:
                return (yield from _coming(self._asked([pairs], question)))[0]
            except VllmError as problem:
                if self._local is None:
                    raise
                logger.warning("%s; the language model here answers", problem)
        return self._local.margin(pairs, question)

    def likely(self, prompt: Tensor, texts: Sequence[str]) -> Generator[Pause | None, None, list[Likelihood]]:
        """As in `Finder`, while others have their turn."""
        if self._local is None or self._remote.line.down is None:
            ids = [self._remote.tokenize(text) for text in texts]
            try:
                found = yield from _coming(self._remote.line.likelihoods(prompt, ids, self._remote.embed))
            except VllmError as problem:
                if self._local is None:
                    raise
                logger.warning("%s; the language model here answers", problem)
            else:
                told = zip(found, ids, strict=True)
                return [Likelihood(total, len(tokens), greedy) for (total, greedy), tokens in told]
        return likelihoods(self._local.language, prompt, texts)

    def captioning(self, entry: MemoryEntry) -> Generator[Pause | None, None, str]:
        """As in `Finder`; the plain sentence that the picture matches, unremembered, while the server is away."""
        key = id(entry.pair.context)
        if key not in self._captions and self._remote.line.down is not None:
            return (yield from self._local.captioning(entry)) if self._local is not None else self.plain(entry)
        try:
            return (yield from super().captioning(entry))
        except VllmError:
            return self.plain(entry)  # the line has said why

    def proposing(self, prompt: Tensor) -> Generator[Pause | None, None, list[Proposal]]:
        """What the language model says after a prompt (n, D): the greedy sentence and the drawn ones."""
        line, stop = self._remote.line, stop_ids(self._remote, ())
        wanted = [
            line.complete(prompt, Sampling(LONGEST, stop)),
            line.complete(prompt, Sampling(LONGEST, stop, temperature=TEMPERATURE, count=DRAWS, top=TOP, seed=SEED)),
        ]
        said: list[str] = []
        try:
            for future in wanted:
                rows = yield from _coming(future)
                said += [text_of(self._remote, torch.tensor(row, dtype=torch.long)) for row in rows]
        finally:
            for future in wanted:
                future.cancel()
        return counted(said)

    def _asked(self, memories: Sequence[Sequence[TokenPair]], question: str) -> Future[list[float]]:
        yes, no = yes_no_ids(self._remote.tokenize)
        return self._remote.line.margin(list(self.prompts(memories, question)), yes, no)


def _coming(future: Future[T]) -> Generator[Pause, None, T]:
    """What a request gives, while others have their turn; it is cancelled if nobody waits for it any more."""
    try:
        while True:
            try:
                return future.result(LOOK_S)
            except FutureTimeout:
                if future.done():
                    raise
                yield Pause()
    finally:
        future.cancel()
