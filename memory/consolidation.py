"""Consolidation: how a full memory makes room. A policy is a pure function from entries to fewer entries.

`oldest_first` goes through four steps and stops as soon as there is room:
1. idle stretches: still neighbours of one scene become one entry that carries their duration, however long they are;
2. the cheapest neighbours of one scene are merged, where the cost of a merge is how unlike they look, times how much
   moved in them, times how much was merged into them before, and less the older they are;
3. where a memory holds more scenes than entries, short and quiet ones give way: a neighbour takes over their time, and
   tokens of different scenes are never mixed;
4. only then the recent minutes go the same way, and at the very last the oldest pinned entries lose their pin.
Merging neighbours by similarity is MovieChat's idea (Song et al. 2024, https://arxiv.org/abs/2307.16449); age, events
and scenes are ours. Runs in O(n log n).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import log2
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.compressor import STILL
from llama_vid.tokenizer.pair import TokenPair

#: From entries in time order and a wanted count to at most that many entries over the same time.
Policy = Callable[[Sequence[MemoryEntry], int], tuple[MemoryEntry, ...]]

#: The minutes that are never consolidated while older ones are left (configuration `memory.recent_minutes`).
RECENT_SECONDS: Final = 600.0
#: A merge of motion energy 1 costs as much as one of still entries that differ five times as much.
ENERGY_WEIGHT: Final = 4.0
#: The cosine distance that two frames of one scene differ by for certain: camera noise.
NOISE: Final = 1e-3
#: Still neighbours at least this alike (cosine) are one idle stretch.
IDLE_ALIKE: Final = 0.9


def policy(recent_minutes: float) -> Policy:
    """`oldest_first` that spares the last `recent_minutes`."""
    return partial(oldest_first, recent_seconds=recent_minutes * 60)


def oldest_first(
    entries: Sequence[MemoryEntry], wanted: int, *, recent_seconds: float = RECENT_SECONDS
) -> tuple[MemoryEntry, ...]:
    """At most `wanted` (1 or more) entries over the same time, with the same frames in all.

    The last `recent_seconds` (half of `wanted` entries at most) and pinned entries are spared while anything else is
    left.
    """
    if wanted < 1:
        raise ValueError(f"cannot consolidate to {wanted} entries; 1 is the least")
    if len(entries) <= wanted:
        return tuple(entries)
    now = entries[-1].end
    at = _recent_from(entries, wanted, recent_seconds)
    old, recent = list(entries[:at]), list(entries[at:])
    for part in (0, 1):
        for step in (_idle_folded, _alike_merged, _given_way):
            if len(old) + len(recent) <= wanted:
                return (*old, *recent)
            if part == 0:
                old = step(old, wanted - len(recent), now)
            else:
                recent = step(recent, wanted - len(old), now)
    rest = [*old, *recent]
    if len(rest) > wanted:
        # Pinned entries and what stands between them fill the budget: the oldest pins go.
        pins = [index for index, entry in enumerate(rest) if entry.pinned]
        for index in pins[: max(1, len(pins) - wanted // 4)]:
            rest[index] = replace(rest[index], pinned=False)
        return oldest_first(rest, wanted, recent_seconds=0.0)
    return tuple(rest)


def merged(entries: Sequence[MemoryEntry]) -> MemoryEntry:
    """One entry for neighbouring ones: tokens and embedding averaged by frames, lengths kept, energy the largest.

    The mean of unlike tokens is shorter than they are; it is stretched to their mean length, which is what the language
    model knows tokens by.
    """
    first, last = entries[0], entries[-1]
    weights = torch.tensor([float(entry.frames) for entry in entries])
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
        energy=max(entry.energy for entry in entries),
        pinned=any(entry.pinned for entry in entries),
    )


def absorbed(entry: MemoryEntry, neighbour: MemoryEntry) -> MemoryEntry:
    """`entry` with the time and frames of a `neighbour` of another scene, whose tokens are not mixed into it."""
    return replace(
        entry,
        start=min(entry.start, neighbour.start),
        end=max(entry.end, neighbour.end),
        frames=entry.frames + neighbour.frames,
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


def _recent_from(entries: Sequence[MemoryEntry], wanted: int, recent_seconds: float) -> int:
    """The index of the first entry that is spared as recent: half of `wanted` at most are."""
    since = entries[-1].end - recent_seconds
    count = sum(entry.start >= since for entry in entries)
    return len(entries) - min(count, wanted // 2)


def _idle_folded(entries: list[MemoryEntry], _wanted: int, _now: float) -> list[MemoryEntry]:
    """Every run of still neighbours of one scene that look alike as one entry: all of them, wanted or not."""
    runs: list[list[MemoryEntry]] = []
    for entry in entries:
        last = runs[-1][-1] if runs else None
        idle = (
            last is not None
            and not (entry.pinned or last.pinned)
            and entry.scene == last.scene
            and max(entry.energy, last.energy) < STILL
            and float(runs[-1][0].embedding.float() @ entry.embedding.float()) >= IDLE_ALIKE
        )
        if idle:
            runs[-1].append(entry)
        else:
            runs.append([entry])
    return [run[0] if len(run) == 1 else merged(run) for run in runs]


def _alike_merged(entries: list[MemoryEntry], wanted: int, now: float) -> list[MemoryEntry]:
    """The cheapest unpinned neighbours of one scene merged, until `wanted` are left or none may be."""
    if len(entries) < 2:
        return entries
    chain = _Chain(entries, now)
    heap: list[tuple[float, int, int, int, int]] = []

    def offer(a: int) -> None:
        b = chain.next[a] if a >= 0 else -1
        if b >= 0 and chain.may_join(a, b):
            heapq.heappush(heap, (chain.cost(a, b), a, b, chain.version[a], chain.version[b]))

    for index in range(len(entries)):
        offer(index)
    count = len(entries)
    while count > wanted and heap:
        _, a, b, version_a, version_b = heapq.heappop(heap)
        if (chain.version[a], chain.version[b]) != (version_a, version_b):
            continue  # one of them has changed since it was offered
        chain.join(a, b)
        count -= 1
        offer(chain.previous[a])
        offer(a)
    return [members[0] if len(members) == 1 else merged(members) for members in chain.groups()]


def _given_way(entries: list[MemoryEntry], wanted: int, now: float) -> list[MemoryEntry]:
    """The least telling unpinned entries give their time to the neighbour that looks more like them."""
    count = len(entries)
    wanted = max(wanted, 1)
    if count <= wanted:
        return entries
    kept: list[MemoryEntry | None] = list(entries)

    def weight(entry: MemoryEntry) -> float:
        age = 1.0 + (now - entry.start) / RECENT_SECONDS
        return (entry.end - entry.start + 1.0) * (1.0 + ENERGY_WEIGHT * entry.energy) / age

    order = sorted((index for index in range(count) if not entries[index].pinned), key=lambda i: weight(entries[i]))
    left, right = list(range(-1, count - 1)), [*range(1, count), -1]
    for index in order:
        if count <= wanted:
            break
        entry = kept[index]
        assert entry is not None
        sides = [side for side in (left[index], right[index]) if side >= 0]
        # A pinned entry is never changed, not even in length, while another neighbour can take the time over.
        sides = [side for side in sides if not _at(kept, side).pinned] or sides
        if not sides:
            break
        heir = max(sides, key=lambda side: float(_at(kept, side).embedding.float() @ entry.embedding.float()))
        kept[heir], kept[index] = absorbed(_at(kept, heir), entry), None
        if left[index] >= 0:
            right[left[index]] = right[index]
        if right[index] >= 0:
            left[right[index]] = left[index]
        count -= 1
    return [entry for entry in kept if entry is not None]


def _at(entries: Sequence[MemoryEntry | None], index: int) -> MemoryEntry:
    entry = entries[index]
    assert entry is not None
    return entry


class _Chain:
    """Groups of neighbours as a doubly linked list, with what a merge's cost is computed from."""

    def __init__(self, entries: Sequence[MemoryEntry], now: float) -> None:
        self._entries, self._now = entries, now
        embeddings = torch.stack([entry.embedding.float() for entry in entries]).cpu().numpy()
        self._sums: npt.NDArray[np.float32] = embeddings * np.array(
            [[entry.frames] for entry in entries], dtype=np.float32
        )
        self._lengths = np.linalg.norm(self._sums, axis=1)
        self._energy = [entry.energy for entry in entries]
        # What was merged into an entry before: a still stretch is long without having lost anything.
        self._merges = [entry.frames if entry.energy >= STILL else 1 for entry in entries]
        self._ends = list(range(len(entries)))  # the last member of each group
        self.next = [*range(1, len(entries)), -1]
        self.previous = list(range(-1, len(entries) - 1))
        self.version = [0] * len(entries)

    def may_join(self, a: int, b: int) -> bool:
        """Whether group a and its right neighbour b are of one scene, and neither is pinned."""
        one, other = self._entries[self._ends[a]], self._entries[b]
        return one.scene == other.scene and not (one.pinned or other.pinned)

    def cost(self, a: int, b: int) -> float:
        """What is lost by merging neighbours a and b: less the older they are."""
        product = float(self._sums[a] @ self._sums[b])
        distance = 1.0 - product / max(1e-12, float(self._lengths[a] * self._lengths[b]))
        eventful = 1.0 + ENERGY_WEIGHT * max(self._energy[a], self._energy[b])
        coarse = 1.0 + log2(self._merges[a] + self._merges[b])
        age = 1.0 + max(0.0, self._now - self._entries[a].start) / RECENT_SECONDS
        return (max(0.0, distance) + NOISE) * eventful * coarse / age

    def join(self, a: int, b: int) -> None:
        """Let group a take in its right neighbour b."""
        self._sums[a] += self._sums[b]
        self._lengths[a] = np.linalg.norm(self._sums[a])
        self._energy[a] = max(self._energy[a], self._energy[b])
        self._merges[a] += self._merges[b]
        self._ends[a] = self._ends[b]
        self.next[a] = self.next[b]
        if self.next[b] >= 0:
            self.previous[self.next[b]] = a
        self.version[a] += 1
        self.version[b] = -1

    def groups(self) -> list[Sequence[MemoryEntry]]:
        """The members of each group, in time order."""
        starts = [index for index in range(len(self._entries)) if self.version[index] >= 0]
        bounds = [*starts, len(self._entries)]
        return [self._entries[first:last] for first, last in pairwise(bounds)]
