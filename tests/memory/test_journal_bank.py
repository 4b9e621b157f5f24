"""What is written as a bank comes back as that bank."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from llama_vid.memory.bank import MemoryBank
from llama_vid.memory.budget import Budget
from llama_vid.memory.consolidation import merged
from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.journal import CameraJournal, Journal
from llama_vid.tokenizer.pair import TokenPair

WIDTH, EMBEDDING = 6, 10
SLOW = 3600.0  # a flush_s that never comes by itself: only what is flushed is written
FP16 = {"rtol": 1e-3, "atol": 1e-3}

# What happens to a bank: a frame (seconds since the last, new context, still, pinned), a longer last entry, a
# consolidation of some neighbours, a flush, a restart.
STEPS = st.one_of(
    st.tuples(
        st.just("append"), st.sampled_from([0.25, 0.5, 1.0, 7.0]), st.booleans(), st.booleans(), st.integers(0, 9)
    ),
    st.tuples(st.just("extend"), st.sampled_from([0.5, 1.0, 3600.0])),
    st.tuples(st.just("consolidate"), st.integers(0, 30), st.integers(2, 6), st.integers(1, 2)),
    st.just(("flush",)),
    st.just(("reopen",)),
)


class Source:
    """Entries as a compressor makes them: a held context is one tensor, and so is the motion of stillness."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.still = self.vector()
        self.anchor = self.vector()

    def vector(self, width: int = WIDTH) -> Tensor:
        return torch.randn(width, generator=self.generator)

    def entry(self, start: float, *, new_context: bool, still: bool, pinned: bool = False) -> MemoryEntry:
        if new_context:
            self.anchor = self.vector()
        energy = float(torch.rand((), generator=self.generator))
        pair = TokenPair(
            self.anchor, self.still if still else self.vector(), energy, held=not new_context, cut=new_context
        )
        embedding = self.vector(EMBEDDING)
        return MemoryEntry(start, start + 1.0, pair, embedding / embedding.norm(), 1, energy, int(start) // 10, pinned)


def assert_same_bank(kept: Sequence[MemoryEntry], bank: Sequence[MemoryEntry]) -> None:
    """Equal but for fp16, and the same entries share the same tensors."""
    assert len(kept) == len(bank)
    for got, want in zip(kept, bank, strict=True):
        assert (got.start, got.end, got.frames, got.energy, got.scene, got.pinned) == (
            *(want.start, want.end, want.frames, want.energy, want.scene, want.pinned),
        )
        assert (got.pair.energy, got.pair.held, got.pair.cut) == (want.pair.energy, want.pair.held, want.pair.cut)
        for one, other in (
            (got.pair.context, want.pair.context),
            (got.pair.motion, want.pair.motion),
            (got.embedding, want.embedding),
        ):
            assert one.dtype == torch.float32
            torch.testing.assert_close(one, other.float(), **FP16)
    for which in ("context", "motion"):
        assert shared(kept, which) == shared(bank, which)


def shared(entries: Sequence[MemoryEntry], which: str) -> list[int]:
    """For each entry the first entry that has the very same tensor."""
    first: dict[int, int] = {}
    return [first.setdefault(id(getattr(entry.pair, which)), index) for index, entry in enumerate(entries)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, max_size=40), seed=st.integers(0, 1000))
def test_a_bank_comes_back_as_it_was(steps: list[tuple[object, ...]], seed: int) -> None:
    source, now = Source(seed), 0.0
    bank: list[MemoryEntry] = []
    detailed: list[tuple[float, float]] = []
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder), flush_s=SLOW)
        camera = journal.camera("front")
        for step in steps:
            match step:
                case ("append", float(seconds), bool(new), bool(still), int(luck)):
                    now += seconds
                    entry = source.entry(now, new_context=new, still=still, pinned=luck == 0)
                    if bank and bank[-1].end > now:  # as MemoryBank.append does
                        bank[-1] = replace(bank[-1], end=now)
                    if detailed and detailed[-1][1] > now:
                        detailed[-1] = (detailed[-1][0], now)
                    bank.append(entry)
                    detailed.append((entry.start, entry.end))
                    camera.append(entry)
                case ("extend", float(seconds)) if bank:
                    bank[-1] = replace(bank[-1], end=bank[-1].end + seconds, frames=bank[-1].frames + 3)
                    detailed[-1] = (detailed[-1][0], bank[-1].end)
                    now = bank[-1].end - 1.0
                    camera.extend(bank[-1])
                case ("consolidate", int(at), int(count), int(groups)) if len(bank) > at + 2 * groups:
                    runs = [bank[at + k * count : at + (k + 1) * count] for k in range(groups)]
                    runs = [run for run in runs if len(run) > 1]
                    come = [merged(run) for run in runs]
                    camera.consolidate(list(itertools.chain(*runs)), come)
                    for run, one in zip(runs, come, strict=True):
                        index = bank.index(run[0])
                        bank[index : index + len(run)] = [one]
                case ("flush",):
                    assert journal.flush()
                    assert_same_bank(camera.restore(), bank)
                case ("reopen",):
                    journal.close()
                    journal = Journal(Path(folder), flush_s=SLOW)
                    camera = journal.camera("front")
                    kept = camera.restore()
                    assert_same_bank(kept, bank)
                    # The next run goes on with what it restored, and its compressor has anchors of its own.
                    bank, source.anchor, source.still = kept, source.vector(), source.vector()
        journal.close()
        with Journal(Path(folder)) as journal:
            camera = journal.camera("front")
            assert_same_bank(camera.restore(), bank)
            entries = camera.entries(float("-inf"), float("inf"))
            assert [(entry.start, entry.end) for entry in entries] == detailed
            assert journal.state.lost == 0


def watch(bank: MemoryBank, camera: CameraJournal, entry: MemoryEntry) -> None:
    """Append to a bank and tell the journal, as a recorder does."""
    change = bank.append(entry)
    if change.trimmed is not None:
        camera.extend(change.trimmed)
    if change.gone:
        camera.consolidate(change.gone, change.come)
    (camera.extend if change.extended else camera.append)(change.entry)


def small_budget(pairs: int) -> Budget:
    return Budget(context=2 * pairs, prompt=0, marks=0, evidence=0, answer=0, frames_tokens=2 * pairs, mark_count=1)


def test_a_real_bank_over_many_consolidations_and_restarts(tmp_path: Path) -> None:
    source = Source(3)
    bank = MemoryBank(small_budget(24))
    starts = []
    for day in range(4):
        with Journal(tmp_path, flush_s=0.01) as journal:
            camera = journal.camera("front")
            restored = camera.restore()
            assert_same_bank(restored, bank.entries)
            bank = MemoryBank(small_budget(24))
            bank.restore(restored)
            for second in range(150):
                at = day * 1000.0 + second
                busy = second % 40 < 20
                watch(bank, camera, source.entry(at, new_context=second % 50 == 0 or busy, still=not busy))
                starts.append(at)
            assert journal.flush()
            assert_same_bank(camera.restore(), bank.entries)
            detailed = camera.entries(float("-inf"), float("inf"), limit=10_000)
            assert sum(entry.frames for entry in detailed) == len(starts)
            assert all(a.end <= b.start for a, b in itertools.pairwise(detailed))
            assert {entry.start for entry in detailed} <= set(starts)
    assert bank.version > 4


def test_the_context_of_a_still_night_is_stored_once(tmp_path: Path) -> None:
    source = Source(1)
    with Journal(tmp_path, flush_s=SLOW) as journal:
        camera = journal.camera("yard")
        for second in range(200):
            camera.append(source.entry(float(second), new_context=second == 100, still=second % 7 != 0))
            if second % 50 == 0:
                assert journal.flush()
        assert journal.flush()
        entries = camera.restore()
    assert len({id(entry.pair.context) for entry in entries}) == 2
    assert len({id(entry.pair.motion) for entry in entries}) == 1 + len(range(0, 200, 7))


def test_what_grew_before_it_was_written_is_one_row(tmp_path: Path) -> None:
    entry = Source(1).entry(5.0, new_context=True, still=True)
    with Journal(tmp_path, flush_s=SLOW) as journal:
        camera = journal.camera("front")
        camera.append(entry)
        for second in range(7, 3600):
            camera.extend(replace(entry, end=float(second), frames=second - 5))
        assert journal.state.waiting == 1
        assert journal.flush()
        assert [(kept.start, kept.end, kept.frames) for kept in camera.restore()] == [(5.0, 3599.0, 3594)]


def test_an_entry_that_was_never_written_is_written_when_it_grows(tmp_path: Path) -> None:
    entry = Source(1).entry(5.0, new_context=True, still=True)
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        camera.extend(replace(entry, end=9.0, frames=4))
        assert journal.flush()
        assert_same_bank(camera.restore(), [replace(entry, end=9.0, frames=4)])


def test_a_recording_that_is_watched_anew_begins_a_new_bank(tmp_path: Path) -> None:
    source = Source(2)
    first = [source.entry(float(second), new_context=True, still=False) for second in range(10)]
    again = [source.entry(float(second), new_context=True, still=False) for second in range(4)]
    with Journal(tmp_path) as journal:
        camera = journal.camera("film")
        for entry in first[:6]:
            camera.append(entry)
        camera.consolidate(first[:3], [merged(first[:3])])
        for entry in (*first[6:], *again):
            camera.append(entry)
        assert journal.flush()
        assert_same_bank(camera.restore(), again)
        # In detail there is what was seen last of each second, once.
        assert_same_bank(camera.entries(0.0, 100.0), [*again, *first[4:]])


def test_a_recording_that_is_watched_anew_at_another_rate_leaves_no_overlaps(
    tmp_path: Path,
) -> None:
    source = Source(2)
    with Journal(tmp_path) as journal:
        camera = journal.camera("film")
        still = source.entry(0.0, new_context=True, still=True)
        camera.append(replace(still, end=100.0, frames=100))
        camera.append(source.entry(0.5, new_context=True, still=False))  # it reaches to 1.5
        camera.append(replace(source.entry(1.5, new_context=True, still=False), end=30.0))
        camera.append(source.entry(0.25, new_context=True, still=False))
        assert journal.flush()
        spans = [(entry.start, entry.end) for entry in camera.entries(0.0, 100.0)]
        assert spans == [(0.0, 0.25), (0.25, 0.5), (0.5, 1.5), (1.5, 30.0)]
        assert [entry.start for entry in camera.restore()] == [0.0, 0.25]


def test_tokens_of_another_model_are_kept_but_not_given_back(tmp_path: Path) -> None:
    source = Source(4)
    old = [source.entry(float(second), new_context=True, still=False) for second in range(5)]
    new = [source.entry(float(second), new_context=True, still=False) for second in range(10, 13)]
    with Journal(tmp_path, model="mini 1") as journal:
        for entry in old:
            journal.camera("front").append(entry)
        journal.camera("front").picture(3.0, b"jpeg")
    with Journal(tmp_path, model="mini 2") as journal:
        camera = journal.camera("front")
        assert camera.restore() == []
        for entry in new:
            camera.append(entry)
        assert journal.flush()
        assert_same_bank(camera.restore(), new)
        assert_same_bank(camera.entries(0.0, 100.0), new)
        assert [starts for starts, _, _ in camera.embeddings()] == [[10.0, 11.0, 12.0]]
        assert camera.jpeg(0.0) == b"jpeg"
        assert journal.state.rows == 8
    with Journal(tmp_path, model="mini 1") as journal:
        assert_same_bank(journal.camera("front").entries(0.0, 100.0), old)


def test_an_entry_of_any_device_number_format_and_size_is_kept_finite(tmp_path: Path) -> None:
    entry = Source(4).entry(0.0, new_context=True, still=False)
    context = torch.tensor([1e6, -1e6, 1.0, 0.0], dtype=torch.bfloat16)
    with Journal(tmp_path) as journal, torch.inference_mode():
        camera = journal.camera("front")
        camera.append(replace(entry, pair=replace(entry.pair, context=context)))
        assert journal.flush()
        assert camera.restore()[0].pair.context.tolist() == [65504.0, -65504.0, 1.0, 0.0]
