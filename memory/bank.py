"""The memory bank: what has been watched, in time order, in never more tokens than its budget.

Each frame comes in as one entry. When the bank is full its policy consolidates it to 90 %, so that this happens (and
the KV cache that mirrors it is rebuilt) once in minutes, not with every frame. Nothing is thrown away: entries become
longer and coarser. Compare SAM 2's memory (Ravi et al. 2024, https://arxiv.org/abs/2408.00714), which keeps a fixed
number of recent frames beside prompted ones; here all of the past stays, at less detail.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import replace
from typing import Final

from llama_vid.errors import LlamaVidError
from llama_vid.memory.budget import PAIR_TOKENS, Budget
from llama_vid.memory.consolidation import Policy, oldest_first
from llama_vid.memory.entry import MemoryEntry

#: A full bank is consolidated to this share: at one frame a second a new hour-long bank is rebuilt every six minutes.
AFTER_CONSOLIDATION: Final = 0.9


class MemoryBank:
    """Entries in time order that never take more tokens than `budget.frames_tokens`."""

    def __init__(self, budget: Budget, policy: Policy = oldest_first) -> None:
        self.budget = budget
        self._policy = policy
        self._entries: list[MemoryEntry] = []
        self._frames = 0
        self._version = 0

    @property
    def entries(self) -> tuple[MemoryEntry, ...]:
        """All entries in time order; none overlap."""
        return tuple(self._entries)

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

    def append(self, entry: MemoryEntry) -> None:
        """Add what was watched last. A span that reaches into it is shortened: a frame lasts until the next one.

        Raises LlamaVidError if the entry does not start after the last one's start, or ends before it starts.
        """
        if entry.end < entry.start:
            raise LlamaVidError(
                f"a memory entry ends ({entry.end:g} s) before it starts ({entry.start:g} s); give frames in time order"
            )
        if self._entries:
            last = self._entries[-1]
            if entry.start <= last.start:
                raise LlamaVidError(
                    f"a memory entry starts at {entry.start:g} s, not after the last one's "
                    f"{last.start:g} s; give frames in time order"
                )
            if entry.start < last.end:
                self._entries[-1] = replace(last, end=entry.start)
        if len(self._entries) >= self.budget.pairs:
            self._consolidate()
        self._entries.append(entry)
        self._frames += entry.frames

    def between(self, start: float, end: float) -> tuple[MemoryEntry, ...]:
        """The entries that share time with [start, end), or the one that holds the instant if start equals end."""
        if end < start:
            return ()
        left = bisect_right(self._entries, start, key=lambda entry: entry.end)
        right = bisect_left(self._entries, end, key=lambda entry: entry.start)
        if start == end:
            right = bisect_right(self._entries, end, key=lambda entry: entry.start)
        return tuple(self._entries[left:right])

    def _consolidate(self) -> None:
        # One less than the budget at most: room for the entry that is coming.
        wanted = max(1, min(self.budget.pairs - 1, int(self.budget.pairs * AFTER_CONSOLIDATION)))
        entries = self._policy(self.entries, wanted)
        if not entries or len(entries) > wanted:
            raise LlamaVidError(
                f"the consolidation policy left {len(entries)} entries instead of at most {wanted}; "
                "use one that always makes room"
            )
        self._entries = list(entries)
        self._version += 1
