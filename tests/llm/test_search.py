"""Search finds moments by their pictures and puts the best of them in order by the tokens as well."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.llm import search as searching
from llama_vid.llm.calibration import Calibration
from llama_vid.llm.captioner import caption_prompt
from llama_vid.llm.evidence import Finder
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.likelihood import likelihoods
from llama_vid.llm.search import NAT, READ_AGAIN, caption_likelihoods, search
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.scoring import SceneScorer
from tests.llm.conftest import WIDTH


class OneWord:
    """A text tower that knows one direction, the first axis."""

    def encode_text(self, texts: list[str]) -> Tensor:
        return F.one_hot(torch.zeros(len(texts), dtype=torch.long), 8).float()


def finder(language: LanguageModel) -> Finder:
    tower: Any = OneWord()
    background = F.normalize(torch.randn(64, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    return Finder(language, SceneScorer(tower, background), Calibration())


def memory(*shown: float, scenes: bool = True) -> tuple[MemoryEntry, ...]:
    """One entry a second whose picture shows the word that much (its cosine), each a scene of its own."""
    made = torch.Generator().manual_seed(1)
    out = []
    for second, cosine in enumerate(shown):
        embedding = torch.tensor([cosine, (1 - cosine**2) ** 0.5, *[0.0] * 6])
        pair = TokenPair(
            torch.randn(WIDTH, generator=made), torch.randn(WIDTH, generator=made), 0.0, held=False, cut=False
        )
        out.append(MemoryEntry(second * 10.0, second * 10.0 + 1, pair, embedding, scene=second if scenes else 0))
    return tuple(out)


def test_a_caption_is_as_likely_as_it_is_alone(tiny: LanguageModel) -> None:
    pairs = [entry.pair for entry in memory(0.1, 0.2, 0.3)]
    found = caption_likelihoods(tiny, pairs, "a dog  runs")
    alone = [likelihoods(tiny, caption_prompt(tiny, pair), [" A dog runs."])[0].total for pair in pairs]
    assert found.tolist() == pytest.approx(alone, abs=1e-3)


def test_the_tokens_put_equal_pictures_in_order_and_a_far_better_picture_wins(tiny: LanguageModel) -> None:
    entries = memory(0.5, 0.5, 0.5, 0.5, 0.5)
    nats = caption_likelihoods(tiny, [entry.pair for entry in entries], "a dog")
    order = [entries[index].start for index in nats.argsort(descending=True).tolist()]
    assert len(set(nats.tolist())) == len(entries), "the tokens must differ for this test to say anything"
    assert [moment.start for moment in search(finder(tiny), entries, "a dog", 5)] == order
    worst = int(nats.argmin())
    shown = [0.2 if index != worst else 0.99 for index in range(5)]
    gap = float(nats.max() - nats.min()) * NAT
    found = search(finder(tiny), memory(*shown), "a dog", 5)
    z = finder(tiny).scores(memory(*shown), "a dog")
    assert float(z.max() - z.min()) > gap, "the picture must be further ahead than the tokens can make up for"
    assert found[0].start == worst * 10.0


def test_scores_fall_and_what_was_not_read_gains_nothing_by_it(
    tiny: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "READ_AGAIN", 3)
    entries = memory(0.9, 0.88, 0.86, 0.85, 0.2)
    found = search(finder(tiny), entries, "a dog", 5)
    scores = [moment.score for moment in found]
    assert scores == sorted(scores, reverse=True)
    assert len(found) == 5
    assert found[-1].start == 40.0
    assert {moment.start for moment in found[:3]} == {0.0, 10.0, 20.0}


def test_a_limit_of_one_still_reads_as_many(tiny: LanguageModel) -> None:
    entries = memory(*[0.5] * 8)
    every = search(finder(tiny), entries, "a dog", READ_AGAIN)
    assert search(finder(tiny), entries, "a dog", 1) == every[:1]
    assert search(finder(tiny), entries, "a dog", 0) == []
    assert search(finder(tiny), (), "a dog", 5) == []


def test_a_moment_is_the_frames_around_its_best_within_one_scene(tiny: LanguageModel) -> None:
    entries = memory(0.1, 0.9, 0.92, 0.9, 0.1, scenes=False)
    best = search(finder(tiny), entries, "a dog", 3)[0]
    assert (best.start, best.end) == (10.0, 31.0)
    split = memory(0.1, 0.9, 0.92, 0.9, 0.1)
    assert (search(finder(tiny), split, "a dog", 3)[0].end - 1.0) % 10 == 0


def test_an_endless_text_is_cut_and_read(tiny: LanguageModel) -> None:
    assert len(search(finder(tiny), memory(0.5, 0.4), "dog " * 5000, 2)) == 2
