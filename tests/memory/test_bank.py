from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llama_vid.errors import LlamaVidError
from llama_vid.memory.bank import MemoryBank
from llama_vid.memory.budget import Budget
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair
from tests.memory.conftest import MakeEntry


def small_budget(pairs: int) -> Budget:
    return Budget(context=2 * pairs, prompt=0, marks=0, evidence=0, answer=0, frames_tokens=2 * pairs, mark_count=1)


# What a frame may be: (seconds since the last one, new scene, motion energy, pinned).
FRAMES = st.lists(
    st.tuples(st.sampled_from([1.0, 0.5, 1.5]), st.booleans(), st.floats(0, 1, width=16), st.integers(0, 19)),
    min_size=1,
    max_size=150,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pairs=st.integers(2, 40), frames=FRAMES, seed=st.integers(0, 1000))
def test_the_bank_keeps_its_promises(pairs: int, frames: list[tuple[float, bool, float, int]], seed: int) -> None:
    bank = MemoryBank(small_budget(pairs))
    generator = torch.Generator().manual_seed(seed)
    now, scene, pinned, version = 0.0, 0, 0, 0
    for count, (step, cut, energy, luck) in enumerate(frames, start=1):
        scene += cut
        pin = luck == 0 and pinned < pairs // 4
        pinned += pin
        context, motion, embedding = torch.randn(3, 4, generator=generator).unbind()
        pair = TokenPair(context, motion, energy, held=False, cut=cut)
        before = bank.entries
        bank.append(MemoryEntry(now, now + step, pair, embedding / embedding.norm(), 1, energy, scene, pin))
        now += step

        entries = bank.entries
        assert bank.tokens == 2 * len(entries) <= bank.budget.frames_tokens
        assert bank.frames == count == sum(entry.frames for entry in entries)
        assert entries[0].start == 0.0
        assert entries[-1].end == now
        assert all(a.end == b.start for a, b in pairwise(entries))
        assert bank.version in (version, version + 1)
        assert bank.version > version or entries[:-1] == before
        if sum(entry.pinned for entry in entries) < pinned:
            # Only where pinned ones (and what lies between them) fill the budget by themselves.
            assert 2 * pinned + 1 >= min(pairs - 1, int(pairs * 0.9))
        if scene + 1 + 2 * pinned <= int(pairs * 0.9) // 2:
            assert {entry.scene for entry in entries} == set(range(entries[0].scene, scene + 1))
        version = bank.version


def test_consolidation_is_rare(make_entry: MakeEntry) -> None:
    bank = MemoryBank(small_budget(100))
    for second in range(1000):
        bank.append(make_entry(second))
    assert bank.version <= 90  # once in ten frames at most
    assert bank.frames == 1000


def test_between_gives_what_shares_time(make_entry: MakeEntry) -> None:
    bank = MemoryBank(small_budget(100))
    for second in (0, 1, 2, 10, 11):
        bank.append(make_entry(second))
    assert [entry.start for entry in bank.between(1.5, 10.5)] == [1, 2, 10]
    assert [entry.start for entry in bank.between(2, 3)] == [2]
    assert [entry.start for entry in bank.between(1, 1)] == [1]
    assert bank.between(4, 9) == ()
    assert bank.between(9, 4) == ()
    assert bank.between(100, 200) == ()


def test_a_frame_lasts_until_the_next_one(make_entry: MakeEntry) -> None:
    bank = MemoryBank(small_budget(10))
    bank.append(make_entry(0.0))
    bank.append(make_entry(0.9))
    assert [(entry.start, entry.end) for entry in bank.entries] == [(0.0, 0.9), (0.9, 1.9)]
    assert bank.version == 0


def test_time_that_runs_backwards_is_refused(make_entry: MakeEntry) -> None:
    bank = MemoryBank(small_budget(10))
    bank.append(make_entry(5.0))
    with pytest.raises(LlamaVidError, match=r"starts at 5 s, not after the last one's 5 s"):
        bank.append(make_entry(5.0))
    with pytest.raises(LlamaVidError, match=r"ends .* before it starts"):
        bank.append(make_entry(7.0, 6.0))
    assert bank.frames == 1


def test_a_policy_that_makes_no_room_is_refused(make_entry: MakeEntry) -> None:
    bank = MemoryBank(small_budget(2), policy=lambda entries, wanted: tuple(entries))
    bank.append(make_entry(0))
    bank.append(make_entry(1))
    with pytest.raises(LlamaVidError, match="left 2 entries instead of at most 1"):
        bank.append(make_entry(2))


@pytest.mark.slow
def test_a_day_at_one_frame_a_second_stays_bounded(make_entry: MakeEntry) -> None:
    bank = MemoryBank(Budget.for_context(2048))
    pool = [make_entry(0, seed=seed) for seed in range(97)]
    for second in range(86_400):
        model = pool[second // 7 % 97]
        bank.append(
            MemoryEntry(second, second + 1, model.pair, model.embedding, 1, (second % 50) / 50, scene=second // 3600)
        )
        assert bank.tokens <= bank.budget.frames_tokens
    assert bank.frames == sum(entry.frames for entry in bank.entries) == 86_400
    assert {entry.scene for entry in bank.entries} == set(range(24))  # every hour is still there
    assert all(entry.frames == 1 for entry in bank.entries[-250:])
