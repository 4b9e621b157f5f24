"""A yes/no question looks closer at the frames that match best, where the bundle was calibrated for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.llm.calibration import Calibration
from llama_vid.llm.evidence import CLOSER, Finder
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.scoring import SceneScorer

NEAR = Calibration(closer_image=0.2, closer_mean=0.3, closer_tokens=0.1, closer_regions=0.7, closer_bias=-2.4)


class OneWord:
    """A text tower that knows one direction."""

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return F.normalize(torch.ones(len(texts), 8), dim=-1)


def finder(calibration: Calibration) -> Finder:
    tower: Any = OneWord()
    background = F.normalize(torch.randn(64, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    language: Any = None
    return Finder(language, SceneScorer(tower, background), calibration)


def memory(count: int) -> tuple[MemoryEntry, ...]:
    pair = TokenPair(torch.zeros(2), torch.zeros(2), 0.0, held=False, cut=False)
    return tuple(MemoryEntry(float(t), t + 1.0, pair, torch.ones(8)) for t in range(count))


def test_the_best_frames_are_looked_at_and_the_better_half_counts() -> None:
    asked: list[float] = []
    wanted, other = F.normalize(torch.ones(8), dim=0), F.normalize(torch.tensor([1.0, -1] * 4), dim=0)

    def look(seconds: Sequence[float]) -> Tensor:
        asked.extend(seconds)
        shown = [second in (2.0, 5.0) for second in seconds]
        return torch.stack([torch.stack([wanted if here else other, other]) for here in shown])

    z = torch.tensor([0.0, 5, 6, 1, 7, 8, 0, 0])
    found = finder(NEAR).closer(memory(8), z, "a cat", look)
    assert asked == [1.0, 2.0, 4.0, 5.0]
    assert len(asked) == CLOSER
    alone = finder(NEAR).closer(memory(1), z[:1], "a cat", lambda _: torch.stack([wanted, other])[None])
    assert found == pytest.approx(alone), "two of four show it: the better half is as good as one that shows it"


def test_nothing_is_looked_at_without_a_calibration_for_it_and_nothing_counts_without_regions() -> None:
    def never(seconds: Sequence[float]) -> Tensor | None:
        raise AssertionError(f"looked at {seconds}")

    assert finder(Calibration()).closer(memory(3), torch.zeros(3), "a cat", never) is None
    assert finder(NEAR).closer(memory(3), torch.zeros(3), "a cat", lambda _: None) is None
    assert NEAR.probability(1, 1, 0, None) == Calibration().probability(1, 1, 0)
    assert Calibration().probability(1, 1, 0, 5.0) == Calibration().probability(1, 1, 0)


def test_what_regions_show_makes_a_yes_likelier() -> None:
    p = [NEAR.probability(1, 1, 0, z) for z in (-1, 0, 1, 3)]
    assert p == sorted(p)
    assert p[0] < 0.5 < p[-1]
