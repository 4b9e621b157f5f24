"""Entries of known content."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair

MakeEntry = Callable[..., MemoryEntry]


@pytest.fixture
def make_entry() -> MakeEntry:
    """make_entry(start, end=None, *, seed=None, width=8, scene=0, energy=0.0, frames=1, pinned=False): one second."""

    def make(
        start: float,
        end: float | None = None,
        *,
        seed: int | None = None,
        width: int = 8,
        scene: int = 0,
        energy: float = 0.0,
        frames: int = 1,
        pinned: bool = False,
    ) -> MemoryEntry:
        generator = torch.Generator().manual_seed(int(start * 1000) if seed is None else seed)
        context, motion, embedding = torch.randn(3, width, generator=generator).unbind()
        pair = TokenPair(context, motion, energy=energy, held=False, cut=False)
        return MemoryEntry(
            start,
            start + 1.0 if end is None else end,
            pair,
            embedding / embedding.norm(),
            frames,
            energy,
            scene,
            pinned,
        )

    return make
