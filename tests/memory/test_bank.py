from __future__ import annotations

from dataclasses import replace
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


# What a frame may be: (seconds since the last one, new scene, motion energy, pinned, just as the one before).
FRAMES = st.lists(
    st.tuples(
        st.sampled_from([1.0, 0.5, 1.5]), st.booleans(), st.floats(0, 1, width=16), st.integers(0, 19), st.booleans()
    ),
    min_size=1,
    max_size=150,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pairs=st.integers(2, 40), frames=FRAMES, seed=st.integers(0, 1000), scenes=st.integers(1, 60))
def test_the_bank_keeps_its_promises(
    pairs: int, frames: list[tuple[float, bool, float, int, bool]], seed: int, scenes: int
) -> None:
    bank = MemoryBank(small_budget(pairs))
    generator = torch.Generator().manual_seed(seed)
    now, scene, pins = 0.0, 0, set[float]()
    mirror: list[MemoryEntry] = []
    last: MemoryEntry | None = None
    for count, (step, cut, energy, luck, again) in enumerate(frames, start=1):
        cut = cut and scene < scenes
        scene += cut
        pin = luck == 0 and len(pins) < pairs // 4
        # Every scene has a direction of its own, so that tokens that were mixed over a cut would show.
        motion, embedding = torch.randn(2, 64, generator=generator).unbind()
        context = torch.zeros(64)
        context[scene] = 1.0 + float(torch.rand(1, generator=generator))
        pair = TokenPair(context, motion, energy, held=False, cut=cut)
        if again and last is not None and not cut:
            pair, embedding, energy = last.pair, last.embedding, last.energy
        entry = MemoryEntry(now, now + step, pair, embedding / embedding.norm(), 1, energy, scene, pin)
        change = bank.append(entry)
        if pin:
            pins.add(now)
        now += step

        entries = bank.entries
        assert bank.tokens == 2 * len(entries) <= bank.budget.frames_tokens
        assert bank.frames == count == sum(entry.frames for entry in entries)
        assert entries[0].start == 0.0
        assert entries[-1].end == now
        assert all(a.end == b.start for a, b in pairwise(entries))
        for kept in entries:
            assert torch.nonzero(kept.pair.context).flatten().tolist() == [kept.scene]
        if pins:
            # A pinned entry may take a neighbour's time over where nothing else stands beside it, no more.
            assert sum(kept.pinned for kept in entries) == len(pins)
        # Who follows the changes has the same memory.
        if change.trimmed is not None:
            mirror[-1] = change.trimmed
        gone = {id(old) for old in change.gone}
        mirror = sorted([*(old for old in mirror if id(old) not in gone), *change.come], key=lambda kept: kept.start)
        mirror = [*(mirror[:-1] if change.extended else mirror), change.entry]
        assert tuple(mirror) == entries
        last = entries[-1]


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


def test_a_still_frame_costs_no_token(make_entry: MakeEntry) -> None:
    bank = MemoryBank(small_budget(10))
    first = make_entry(0.0)
    bank.append(first)
    for second in range(1, 100_000):
        again = replace(first, start=float(second), end=second + 1.0)
        assert bank.append(again).extended
    assert (len(bank), bank.tokens, bank.version) == (1, 2, 0)
    assert bank.entries[0].pair is first.pair
    assert (bank.entries[0].start, bank.entries[0].end, bank.entries[0].frames) == (0.0, 100_000.0, 100_000)


@pytest.mark.parametrize("other", ["context", "motion", "scene", "pinned", "late"])
def test_what_says_something_new_is_an_entry_of_its_own(make_entry: MakeEntry, other: str) -> None:
    first = make_entry(0.0)
    entry = replace(first, start=1.0, end=2.0)
    match other:
        case "context" | "motion":
            entry = replace(entry, pair=replace(entry.pair, **{other: getattr(entry.pair, other).clone()}))
        case "scene":
            entry = replace(entry, scene=1)
        case "pinned":
            entry = replace(entry, pinned=True)
        case "late":  # nobody watched in between
            entry = replace(entry, start=60.0, end=61.0)
    bank = MemoryBank(small_budget(10))
    bank.append(first)
    change = bank.append(entry)
    assert not change.extended
    assert bank.entries == (first, entry)


def test_a_memory_is_restored_and_goes_on(make_entry: MakeEntry) -> None:
    bank = MemoryBank(small_budget(10))
    bank.restore([make_entry(second) for second in range(8)])
    assert (len(bank), bank.frames) == (8, 8)
    bank.append(make_entry(8))
    assert bank.entries[-1].start == 8
    with pytest.raises(LlamaVidError, match="before anything new was watched"):
        bank.restore([make_entry(20)])
    smaller = MemoryBank(small_budget(5))
    smaller.restore([make_entry(second) for second in range(20)])
    assert (len(smaller) <= 5, smaller.frames) == (True, 20)


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
        model = pool[second % 97]
        bank.append(
            MemoryEntry(second, second + 1, model.pair, model.embedding, 1, (second % 50) / 50, scene=second // 3600)
        )
        assert bank.tokens <= bank.budget.frames_tokens
    assert bank.frames == sum(entry.frames for entry in bank.entries) == 86_400
    assert {entry.scene for entry in bank.entries} == set(range(24))  # every hour is still there
    assert all(entry.frames == 1 for entry in bank.entries[-250:])


def test_what_an_alert_rests_on_is_pinned_once_and_consolidated_last(make_entry: MakeEntry) -> None:
    bank = MemoryBank(small_budget(24))
    for second in range(6):
        bank.append(replace(make_entry(second), scene=0))
    before = bank.entries
    pinned = bank.pin(1.5, 3.0)
    assert [entry.start for entry in pinned] == [1.0, 2.0]
    assert [entry.pinned for entry in bank.entries] == [False, True, True, False, False, False]
    assert not any(entry.pinned for entry in before), "what was handed out stays as it was"
    assert bank.pin(1.5, 3.0) == ()
    assert bank.pin(100, 200) == ()
    for second in range(6, 60):
        bank.append(replace(make_entry(second), scene=0))
    assert {1.0, 2.0} <= {entry.start for entry in bank.entries if entry.pinned and entry.frames == 1}
