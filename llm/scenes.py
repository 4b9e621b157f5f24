"""Memory cut into stretches that one sentence can tell: by scene cuts and by drift of what is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.memory.entry import MemoryEntry

ALIKE: Final = 0.55  # cosine to the stretch's mean below which what is seen has drifted away
SHORTEST: Final = 3.0  # seconds: drift within less is a gesture, not a new scene
LONGEST: Final = 300.0  # seconds: a longer stretch is told in parts


@dataclass(frozen=True, slots=True)
class Scene:
    """Entries [first, last] of memory as one stretch; `told` is the entry that looks most like all of it."""

    start: float
    end: float
    first: int
    last: int
    told: int
    motion: float


def scenes(
    entries: Sequence[MemoryEntry], *, alike: float = ALIKE, shortest: float = SHORTEST, longest: float = LONGEST
) -> list[Scene]:
    """The stretches of `entries` (in time order), which cover all of them."""
    if not entries:
        return []
    starts = [0]
    index, apart, total = 1, 0, _weight(entries[0])
    while index < len(entries):
        entry, first = entries[index], entries[starts[-1]]
        far = float(entry.embedding.float() @ F.normalize(total, dim=0)) < alike
        apart = apart + 1 if far else 0
        lasted = entry.start - first.start
        if entry.scene != entries[index - 1].scene or lasted >= longest:
            starts.append(index)
        elif apart >= 2 and lasted >= shortest and index - 1 > starts[-1]:
            starts.append(index - 1)  # it had begun to differ one entry ago
        else:
            total += _weight(entry)
            index += 1
            continue
        # On from the new stretch as if nothing had been before it: stretches that are over never change again.
        index, apart, total = starts[-1] + 1, 0, _weight(entries[starts[-1]])
    return [_scene(entries, first, last - 1) for first, last in zip(starts, [*starts[1:], len(entries)], strict=True)]


def _weight(entry: MemoryEntry) -> Tensor:
    return entry.embedding.float() * entry.frames


def _scene(entries: Sequence[MemoryEntry], first: int, last: int) -> Scene:
    part = entries[first : last + 1]
    embeddings = torch.stack([entry.embedding.float() for entry in part])
    frames = torch.tensor([float(entry.frames) for entry in part])
    mean = F.normalize((embeddings * frames[:, None]).sum(0), dim=0)
    told = first + int((embeddings @ mean).argmax())
    energies = torch.tensor([entry.energy for entry in part])
    # A cut's energy tells of the cut, not of movement in the scene that it begins.
    moving = energies[1:] if len(part) > 1 and part[0].pair.cut else energies
    weights = frames[-len(moving) :]
    return Scene(part[0].start, part[-1].end, first, last, told, float((moving * weights).sum() / weights.sum()))
