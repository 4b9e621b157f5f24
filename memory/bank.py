"""The memory bank: what has been watched, in time order, in never more tokens than its budget.

Three tiers. The last minutes are held frame by frame. A frame in which nothing happened costs no token: it makes the
entry before it longer (`folding.py`). When the budget is full, the older part is consolidated (`consolidation.py`), so
that this happens (and the KV cache that mirrors the bank is rebuilt) once in many minutes, not with every frame. All of
the past stays: entries become longer and coarser, and the journal keeps the detail.
Compare SAM 2's memory (Ravi et al. 2024, https://arxiv.org/abs/2408.00714), which keeps a fixed number of recent frames
beside prompted ones.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from llama_vid.errors import LlamaVidError
from llama_vid.memory.budget import PAIR_TOKENS, Budget
from llama_vid.memory.consolidation import Policy, oldest_first
from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.folding import folded

#: A full bank is consolidated to this share: at one moving frame a second that is a rebuild every twelve minutes, which
#: keeps two cores busy for 2 % of the time. Fuller would be finer memory, emptier would be fewer rebuilds.
AFTER_CONSOLIDATION: Final = 0.8


@dataclass(frozen=True, slots=True)
class Change:
    """What an append did, for whoever mirrors the bank: `entry` is the last entry now.

    `extended` says that it is the one before, grown; `trimmed` is the entry before it where its end was moved.
    `gone` were replaced by the fewer `come` when the bank was full (both empty otherwise).
    """

    entry: MemoryEntry
    extended: bool = False
    trimmed: MemoryEntry | None = None
    gone: tuple[MemoryEntry, ...] = ()
    come: tuple[MemoryEntry, ...] = ()


class MemoryBank:
    """Entries in time order that never take more tokens than `budget.frames_tokens`."""

    def __init__(self, budget: Budget, policy: Policy = oldest_first) -> None:
        self.budget = budget
        self._policy = policy
        self._entries: list[MemoryEntry] = []
        self._tuple: tuple[MemoryEntry, ...] | None = None
        self._frames = 0
        self._version = 0

    @property
    def entries(self) -> tuple[MemoryEntry, ...]:
        """All entries in time order; none overlap. The same tuple until something changes."""
        if self._tuple is None:
            self._tuple = tuple(self._entries)
        return self._tuple

    @property
    def last(self) -> MemoryEntry | None:
        """The newest entry."""
        return self._entries[-1] if self._entries else None

    @property
    def version(self) -> int:
        """Grows by one with every consolidation: entries before the end have changed since."""
        return self._version

    @property
    def tokens(self) -> int:
        """Language-model tokens that the entries take now."""
        return PAIR_TOKENS * len(self._entries)

    @property
    def frames(self) -> int:
        """Frames that were ever watched."""
        return self._frames

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, entry: MemoryEntry) -> Change:
        """Add what was watched last. A span that reaches into it is shortened: a frame lasts until the next one.

        Raises LlamaVidError if the entry does not start after the last one's start, or ends before it starts.
        """
        if entry.end < entry.start:
            raise LlamaVidError(
                f"a memory entry ends ({entry.end:g} s) before it starts ({entry.start:g} s); give frames in time order"
            )
        trimmed = None
        self._tuple = None
        if self._entries:
            last = self._entries[-1]
            if entry.start <= last.start:
                raise LlamaVidError(
                    f"a memory entry starts at {entry.start:g} s, not after the last one's "
                    f"{last.start:g} s; give frames in time order"
                )
            if (longer := folded(last, entry)) is not None:
                self._entries[-1] = longer
                self._frames += entry.frames
                return Change(longer, extended=True)
            if entry.start < last.end:
                trimmed = self._entries[-1] = replace(last, end=entry.start)
        gone, come = self._consolidate() if len(self._entries) >= self.budget.pairs else ((), ())
        self._entries.append(entry)
        self._frames += entry.frames
        return Change(entry, trimmed=trimmed, gone=gone, come=come)

    def restore(self, entries: Iterable[MemoryEntry]) -> None:
        """Begin with what an earlier run remembered (in time order), consolidated where the budget has become smaller.

        Raises LlamaVidError if the bank has entries already.
        """
        if self._entries:
            raise LlamaVidError("a memory can be restored only before anything new was watched")
        self._entries, self._tuple = list(entries), None
        self._frames = sum(entry.frames for entry in self._entries)
        if len(self._entries) > self.budget.pairs:
            self._consolidate()

    def forget(self, start: float, end: float) -> None:
        """Drop the entries that share time with [start, end) whole; `replace` may bring back what is left of them."""
        self.replace([entry for entry in self._entries if entry.start >= end or (entry.end <= start > entry.start)])

    def replace(self, entries: Iterable[MemoryEntry]) -> None:
        """Hold these entries (in time order) from now on, consolidated where they are too many."""
        self._entries, self._tuple = list(entries), None
        self._frames = sum(entry.frames for entry in self._entries)
        self._version += 1
        if len(self._entries) > self.budget.pairs:
            self._consolidate()

    def pin(self, start: float, end: float) -> tuple[MemoryEntry, ...]:
        """Have the entries that share time with [start, end) consolidated last; gives those not pinned before."""
        found = self.between(start, end)
        first = bisect_left(self._entries, found[0].start, key=lambda entry: entry.start) if found else 0
        pinned = []
        for at, entry in enumerate(found, start=first):
            if not entry.pinned:
                self._entries[at] = replace(entry, pinned=True)
                pinned.append(self._entries[at])
        if pinned:
            self._tuple = None
        return tuple(pinned)

    def between(self, start: float, end: float) -> tuple[MemoryEntry, ...]:
        """The entries that share time with [start, end), or the one that holds the instant if start equals end."""
        if end < start:
            return ()
        left = bisect_right(self._entries, start, key=lambda entry: entry.end)
        right = bisect_left(self._entries, end, key=lambda entry: entry.start)
        if start == end:
            right = bisect_right(self._entries, end, key=lambda entry: entry.start)
        return tuple(self._entries[left:right])

    def _consolidate(self) -> tuple[tuple[MemoryEntry, ...], tuple[MemoryEntry, ...]]:
        """Make room; gives the entries that are gone and those that came for them."""
        # One less than the budget at most: room for the entry that is coming.
        wanted = max(1, min(self.budget.pairs - 1, int(self.budget.pairs * AFTER_CONSOLIDATION)))
        before = self._entries
        entries = self._policy(self.entries, wanted)
        if not entries or len(entries) > wanted:
            raise LlamaVidError(
                f"the consolidation policy left {len(entries)} entries instead of at most {wanted}; "
                "use one that always makes room"
            )
        self._entries, self._tuple = list(entries), None
        self._version += 1
        old, new = {id(entry) for entry in before}, {id(entry) for entry in entries}
        return (
            tuple(entry for entry in before if id(entry) not in new),
            tuple(entry for entry in entries if id(entry) not in old),
        )
