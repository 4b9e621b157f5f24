"""Memory entries made by hand, for tests that need no model."""

from __future__ import annotations

import math

import torch

from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair


def entry(start: float, angle: float = 0.0, *, scene: int = 0, energy: float = 0.0, frames: int = 1) -> MemoryEntry:
    """An entry of `frames` seconds whose embedding points to `angle` (degrees) in a plane."""
    turned = math.radians(angle)
    embedding = torch.tensor([math.cos(turned), math.sin(turned), 0.0])
    pair = TokenPair(embedding.clone(), torch.zeros(3), energy, held=False, cut=False)
    return MemoryEntry(start, start + frames, pair, embedding, frames=frames, energy=energy, scene=scene)
