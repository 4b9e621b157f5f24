"""Recall: detail from an archive in place of merged entries, without holes, overlaps or doubles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llama_vid.llm.recall import detailed, is_coarse, recollected, spliced, within
from llama_vid.memory.consolidation import merged
from llama_vid.memory.entry import MemoryEntry
from tests.model.making import entry


class Rows:
    """An archive in memory."""

    def __init__(self, rows: list[MemoryEntry]) -> None:
        self.rows = rows
        self.looked = 0

    def entries(self, start: float, end: float, limit: int = 3600) -> list[MemoryEntry]:
        return [row for row in self.rows if row.end > start and row.start < end][:limit]

    def embeddings(
        self, *, before: float | None = None, chunk: int = 10
    ) -> Iterator[tuple[list[float], list[float], Tensor]]:
        rows = [row for row in self.rows if before is None or row.start < before]
        for at in range(0, len(rows), chunk):
            self.looked += 1
            part = rows[at : at + chunk]
            yield [r.start for r in part], [r.end for r in part], torch.stack([r.embedding for r in part])


def moving(start: float, angle: float = 0.0) -> MemoryEntry:
    return entry(start, angle, energy=0.5)


def to_the_right(embeddings: Tensor) -> Tensor:
    """How much embeddings point to 90 degrees."""
    return embeddings[:, 1]


SPANS = st.lists(st.integers(1, 6), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(lengths=SPANS, fine=st.sets(st.integers(0, 40), max_size=15))
def test_splicing_keeps_time_whole(lengths: list[int], fine: set[int]) -> None:
    ends = [sum(lengths[: index + 1]) for index in range(len(lengths))]
    starts = [0, *ends[:-1]]
    bank = [replace(moving(float(a)), end=float(b), frames=b - a) for a, b in zip(starts, ends, strict=True)]
    details = [entry(float(second)) for second in sorted(fine)]
    found = spliced(bank, details)
    assert all(a.end <= b.start for a, b in pairwise(found))
    covered = {second for e in found for second in range(int(e.start), int(e.end))}
    assert covered == set(range(ends[-1])) | fine
    assert [e for e in found if e.start in fine and e.frames == 1 and e.energy == 0.0] == details


def test_a_named_time_is_cut_out_of_a_long_stretch() -> None:
    night = replace(entry(0.0), end=10_000.0, frames=10_000)
    assert [(e.start, e.end) for e in within([night], 3_000.0, 3_060.0)] == [(3_000.0, 3_060.0)]
    assert within([night], 20_000.0, 20_001.0) == ()


def test_detail_comes_back_only_where_memory_is_coarse() -> None:
    rows = [moving(float(second), second) for second in range(60)]
    coarse = [merged(rows[:30]), *rows[30:]]
    archive = Rows(rows)
    assert is_coarse(coarse[0])
    assert detailed(coarse, archive, 10.0, 20.0) == tuple(rows[10:20])
    assert detailed(coarse, Rows([]), 40.0, 50.0) == tuple(rows[40:50])
    assert [e.start for e in detailed(coarse, None, 10.0, 20.0)] == [10.0]
    assert detailed([], archive, 5.0, 7.0) == tuple(rows[5:7])  # memory has forgotten it, the journal has not


def test_a_matching_old_moment_is_found_in_the_archive() -> None:
    rows = [moving(float(second), 90.0 if second == 42 else 0.0) for second in range(200)]
    coarse = [merged(rows[:150]), *rows[150:]]
    archive = Rows(rows)
    steps = list(recollected(coarse, archive, to_the_right, 1))
    assert steps[:-1] == [None] * archive.looked
    found = steps[-1]
    assert found is not None
    assert rows[42] in found
    assert len(found) < 80  # its surroundings, not everything
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert (found[0].start, found[-1].end) == (0.0, 200.0)


def test_a_memory_in_full_detail_looks_nowhere_else() -> None:
    rows = [moving(float(second)) for second in range(20)]
    archive = Rows(rows)
    assert list(recollected(rows, archive, to_the_right, 4)) == [tuple(rows)]
    assert archive.looked == 0
