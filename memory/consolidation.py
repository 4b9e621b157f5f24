"""Consolidation: how a full memory makes room. A policy is a pure function from entries to fewer entries.

`oldest_first` merges neighbours that look alike, older ones more readily, and leaves the recent minutes as they are.
The cost of a merge is Ward's (1963, "Hierarchical grouping to optimize an objective function"): how much detail it
loses, which also keeps spans of still scenes of like length. Runs in O(n log n).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair

#: From entries in time order and a wanted count to at most that many entries over the same time.
Policy = Callable[[Sequence[MemoryEntry], int], tuple[MemoryEntry, ...]]

#: The minutes that are never consolidated while older ones are left (configuration `memory.recent_minutes`).
RECENT_SECONDS: Final = 600.0
#: A merge of motion energy 1 costs as much as one of still entries that differ five times as much.
ENERGY_WEIGHT: Final = 4.0
#: The squared distance (unit embeddings) that two frames of one scene differ by for certain: camera noise.
NOISE: Final = 1e-3
#: What may be merged, least harmful first: (across scene cuts, recent entries, pinned entries).
CONCESSIONS: Final = (
    (False, False, False),
    (True, False, False),
    (False, True, False),
    (True, True, False),
    (True, True, True),
)


def policy(recent_minutes: float) -> Policy:
    """`oldest_first` that spares the last `recent_minutes`."""
    return partial(oldest_first, recent_seconds=recent_minutes * 60)


def oldest_first(
    entries: Sequence[MemoryEntry], wanted: int, *, recent_seconds: float = RECENT_SECONDS
) -> tuple[MemoryEntry, ...]:
    """At most `wanted` (1 or more) entries over the same time, with the same frames in all.

    Merges unpinned neighbours of one scene outside the last `recent_seconds` (half of `wanted` entries at most). Only
    if that is not enough it merges across scene cuts, then recent entries, then pinned ones, older ones more readily.
    """
    if wanted < 1:
        raise ValueError(f"cannot consolidate to {wanted} entries; 1 is the least")
    if len(entries) <= wanted:
        return tuple(entries)
    groups: list[list[MemoryEntry]] = [[entry] for entry in entries]
    recent = _recent_from(entries, wanted, recent_seconds)
    for across, also_recent, also_pinned in CONCESSIONS:
        if len(groups) <= wanted:
            break
        free = groups if also_recent else [group for group in groups if group[0].start < recent]
        rest = groups[len(free) :]
        groups = _merge_groups(free, wanted - len(rest), across=across, also_pinned=also_pinned) + rest
    return tuple(group[0] if len(group) == 1 else merged(group) for group in groups)


def merged(entries: Sequence[MemoryEntry]) -> MemoryEntry:
    """One entry for neighbouring ones: tokens and embedding averaged by frames, lengths kept, energy the largest.

    The mean of unlike tokens is shorter than they are; it is stretched to their mean length, which is what the language
    model knows tokens by.
    """
    first, last = entries[0], entries[-1]
    weights = torch.tensor([float(entry.frames) for entry in entries])
    energy = max(entry.energy for entry in entries)
    pair = TokenPair(
        context=_mean([entry.pair.context for entry in entries], weights),
        motion=_mean([entry.pair.motion for entry in entries], weights),
        energy=max(entry.pair.energy for entry in entries),
        held=all(entry.pair.held for entry in entries),
        cut=first.pair.cut,
    )
    embedding = _mean([entry.embedding for entry in entries], weights)
    return replace(
        first,
        end=last.end,
        pair=pair,
        embedding=embedding / embedding.norm().clamp_min(1e-12),
        frames=sum(entry.frames for entry in entries),
        energy=energy,
        pinned=any(entry.pinned for entry in entries),
    )


def _mean(vectors: Sequence[Tensor], weights: Tensor) -> Tensor:
    """The weighted mean of (D,) vectors, as long as they are in the weighted mean."""
    if all(vector is vectors[0] for vector in vectors):
        return vectors[0]  # a held context token stays the very same tensor
    stacked = torch.stack(list(vectors)).float()
    shares = (weights / weights.sum()).to(stacked.device)
    mean = shares @ stacked
    length = mean.norm()
    if length > 1e-12:
        mean = mean * (shares @ stacked.norm(dim=1) / length)
    return mean.to(vectors[0].dtype)


def _recent_from(entries: Sequence[MemoryEntry], wanted: int, recent_seconds: float) -> float:
    """The start of the first entry that is spared as recent."""
    most = wanted // 2
    if most == 0:
        return float("inf")
    return max(entries[-1].end - recent_seconds, entries[-most].start if most < len(entries) else float("-inf"))


class _Chain:
    """Groups of neighbours as a doubly linked list, with what a merge's cost is computed from."""

    def __init__(self, groups: Sequence[Sequence[MemoryEntry]]) -> None:
        self.sums: list[npt.NDArray[np.float64]] = []
        self.frames: list[float] = []
        for group in groups:
            frames = [entry.frames for entry in group]
            vectors = torch.stack([entry.embedding for entry in group]).double().cpu().numpy()
            self.sums.append(np.asarray(frames, dtype=np.float64) @ vectors)
            self.frames.append(float(sum(frames)))
        self.energy = [max(entry.energy for entry in group) for group in groups]
        self.start = [group[0].start for group in groups]
        self.next = [*range(1, len(groups)), -1]
        self.previous = list(range(-1, len(groups) - 1))
        self.version = [0] * len(groups)

    def cost(self, a: int, b: int, now: float) -> float:
        """What is lost by merging neighbours a and b: less the older they are."""
        difference = self.sums[a] / self.frames[a] - self.sums[b] / self.frames[b]
        ward = self.frames[a] * self.frames[b] / (self.frames[a] + self.frames[b])
        loss = ward * (float(difference @ difference) + NOISE)
        eventful = 1.0 + ENERGY_WEIGHT * max(self.energy[a], self.energy[b])
        return loss * eventful / (1.0 + (now - self.start[a]) / RECENT_SECONDS)

    def join(self, a: int, b: int) -> None:
        """Let group a take in its right neighbour b."""
        self.sums[a] = self.sums[a] + self.sums[b]
        self.frames[a] += self.frames[b]
        self.energy[a] = max(self.energy[a], self.energy[b])
        self.next[a] = self.next[b]
        if self.next[b] >= 0:
            self.previous[self.next[b]] = a
        self.version[a] += 1
        self.version[b] = -1


def _merge_groups(
    groups: list[list[MemoryEntry]], wanted: int, *, across: bool, also_pinned: bool
) -> list[list[MemoryEntry]]:
    """Merge the cheapest neighbours until `wanted` groups are left or no merge is allowed."""
    if len(groups) < 2 or len(groups) <= wanted:
        return groups
    chain = _Chain(groups)
    now = groups[-1][-1].end
    members = [list(group) for group in groups]
    heap: list[tuple[float, int, int, int, int]] = []

    def offer(a: int) -> None:
        b = chain.next[a] if a >= 0 else -1
        if a < 0 or b < 0:
            return
        left, right = members[a][-1], members[b][0]
        if not across and left.scene != right.scene:
            return
        if not also_pinned and (left.pinned or right.pinned):
            return
        heapq.heappush(heap, (chain.cost(a, b, now), a, b, chain.version[a], chain.version[b]))

    for index in range(len(groups)):
        offer(index)
    count = len(groups)
    while count > wanted and heap:
        _, a, b, version_a, version_b = heapq.heappop(heap)
        if (chain.version[a], chain.version[b]) != (version_a, version_b):
            continue  # one of them has changed since it was offered
        chain.join(a, b)
        members[a].extend(members[b])
        count -= 1
        offer(chain.previous[a])
        offer(a)
    return [members[index] for index in range(len(groups)) if chain.version[index] >= 0]
