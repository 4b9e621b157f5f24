"""The unit that flows out of `memory/`: a span of time with the pair that stands for it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from llama_vid.tokenizer.pair import TokenPair


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """What memory holds of [start, end) seconds: one token pair that stands for `frames` frames.

    `embedding` (E,) is the unit-length image embedding (the mean of those of a consolidated span, renormalised), used
    to find moments; in 16 bits where many are held. `energy` is the largest motion energy in the span, `scene` counts
    scene cuts from 0: tokens of different scenes are never merged. `pinned` entries (alerts) are consolidated last.
    """

    start: float
    end: float
    pair: TokenPair
    embedding: Tensor
    frames: int = 1
    energy: float = 0.0
    scene: int = 0
    pinned: bool = False
