"""Recall: bringing back from the journal what the bank holds only coarsely, or no longer.

The bank covers all of the past, the older part in merged entries. Where a question names such a time, or nothing in the
bank matches it well, the detailed rows of the journal take the merged entries' place for this question alone.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Protocol

from torch import Tensor

from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.compressor import STILL

#: The most detailed rows that one question brings back: an hour at one a second.
MOST_ROWS: Final = 3600
#: Seconds around a matching moment that are brought back with it.
AROUND: Final = 5.0
#: Rows scored at once: 10 ms of work, so that frames get their turn in between.
CHUNK: Final = 2048


class Archive(Protocol):
    """What recall asks of a camera's journal (`memory/journal.py`)."""

    def entries(self, start: float, end: float, limit: int = ...) -> list[MemoryEntry]: ...
    def embeddings(
        self, *, before: float | None = None, chunk: int = ...
    ) -> Iterator[tuple[list[float], list[float], Tensor]]: ...


def is_coarse(entry: MemoryEntry) -> bool:
    """Whether an entry stands for several frames that differed: a still stretch stands for many that did not."""
    return entry.frames > 1 and entry.energy >= STILL / 2


def within(entries: Sequence[MemoryEntry], start: float, end: float) -> tuple[MemoryEntry, ...]:
    """The entries that share time with [start, end), cut to it: of a night's stretch, the minutes asked about."""
    return tuple(
        replace(entry, start=max(entry.start, start), end=min(entry.end, end))
        for entry in entries
        if entry.end > start and entry.start < end
    )


def detailed(
    entries: Sequence[MemoryEntry], archive: Archive | None, start: float, end: float
) -> tuple[MemoryEntry, ...]:
    """What is known of [start, end) at the finest: from the bank's `entries`, or the archive where those are coarse."""
    inside = within(entries, start, end)
    if archive is None or (inside and not any(map(is_coarse, inside))):
        return inside
    fine = within(archive.entries(start, end, MOST_ROWS), start, end)
    if len(fine) >= MOST_ROWS:
        return inside  # too long a time for every frame of it: the bank's view is what fits
    return spliced(inside, fine) if fine else inside


def spliced(entries: Sequence[MemoryEntry], fine: Sequence[MemoryEntry]) -> tuple[MemoryEntry, ...]:
    """`entries` with `fine` ones in their place where both cover a time; both in time order, as is what comes out."""
    out = list(fine)
    first = 0
    for entry in entries:
        at = entry.start
        while first < len(fine) and fine[first].end <= at:
            first += 1
        index = first
        while index < len(fine) and fine[index].start < entry.end:
            if fine[index].start > at:
                out.append(replace(entry, start=at, end=fine[index].start))
            at = max(at, fine[index].end)
            index += 1
        if at < entry.end:
            out.append(entry if at == entry.start else replace(entry, start=at))
    return tuple(sorted(out, key=lambda entry: entry.start))


def recollected(
    entries: Sequence[MemoryEntry], archive: Archive, score: Callable[[Tensor], Tensor], limit: int
) -> Iterator[tuple[MemoryEntry, ...] | None]:
    """`entries` with the archive's `limit` best moments in detail; the last item. Yields None while it looks.

    `score` gives z-scores (n,) of embeddings (n, E). The archive is looked through only where `entries` are coarse.
    """
    coarse = [entry for entry in entries if is_coarse(entry)]
    if not coarse:
        yield tuple(entries)
        return
    begin, end = coarse[0].start, coarse[-1].end
    best: list[tuple[float, float]] = []  # (score, time), worst first
    for starts, _, embeddings in archive.embeddings(before=end, chunk=CHUNK):
        z = score(embeddings)
        for index in z.argsort(descending=True)[: 4 * limit].tolist():
            if starts[index] >= begin:
                _offer(best, float(z[index]), starts[index], limit)
        yield None
    fine: dict[float, MemoryEntry] = {}
    for _, at in best:
        for entry in archive.entries(at - AROUND, at + AROUND, MOST_ROWS):
            fine[entry.start] = entry
    yield spliced(entries, sorted(fine.values(), key=lambda entry: entry.start))


def _offer(best: list[tuple[float, float]], score: float, at: float, limit: int) -> None:
    """Keep a moment among the `limit` best ones, one for each AROUND seconds."""
    if len(best) >= limit and score <= best[0][0]:
        return
    for known in best:
        if abs(known[1] - at) < AROUND:
            if known[0] >= score:
                return
            best.remove(known)
            break
    insort(best, (score, at))
    if len(best) > limit:
        best.pop(0)
