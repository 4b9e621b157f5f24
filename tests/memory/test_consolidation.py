from __future__ import annotations

import math
import time
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from llama_vid.memory.consolidation import merged, oldest_first, policy
from tests.memory.conftest import MakeEntry


def test_merging_averages_by_frames_and_keeps_the_length(make_entry: MakeEntry) -> None:
    a = make_entry(0, frames=3, energy=0.1)
    b = make_entry(1, energy=0.7)
    both = merged([a, b])
    assert (both.start, both.end, both.frames, both.energy, both.pair.energy) == (0, 2, 4, 0.7, 0.7)
    direction = 0.75 * a.pair.context + 0.25 * b.pair.context
    length = 0.75 * a.pair.context.norm() + 0.25 * b.pair.context.norm()
    torch.testing.assert_close(both.pair.context, direction / direction.norm() * length)
    torch.testing.assert_close(both.embedding.norm(), torch.tensor(1.0))


def test_merging_keeps_a_held_context_and_opposite_tokens_finite(make_entry: MakeEntry) -> None:
    a = make_entry(0)
    b = replace(make_entry(1), pair=replace(a.pair, motion=-a.pair.motion))
    both = merged([a, b])
    assert both.pair.context is a.pair.context
    assert torch.isfinite(both.pair.motion).all()


def test_alike_neighbours_go_first(make_entry: MakeEntry) -> None:
    entries = [make_entry(t, seed=t // 2, energy=0.3) for t in range(20)]  # 0 and 1 alike, 2 and 3 alike, …
    after = oldest_first(entries, 15, recent_seconds=0)
    assert len(after) == 15
    assert all(entry.frames == 1 or (entry.frames == 2 and entry.start % 2 == 0) for entry in after)


def test_older_ones_go_first_among_equals(make_entry: MakeEntry) -> None:
    entries = [make_entry(t * 60.0, t * 60.0 + 60, seed=t % 2) for t in range(40)]
    after = oldest_first(entries, 36, recent_seconds=0)
    assert [entry.frames for entry in after[-30:]] == [1] * 30


def test_moving_moments_outlast_still_ones(make_entry: MakeEntry) -> None:
    entries = [make_entry(t, seed=t % 2, energy=0.9 if 10 <= t < 20 else 0.0) for t in range(40)]
    after = oldest_first(entries, 30, recent_seconds=0)
    assert sum(entry.frames == 1 for entry in after if 10 <= entry.start < 20) == 10


def test_the_recent_minutes_stay_as_they_are(make_entry: MakeEntry) -> None:
    entries = [make_entry(t, seed=t if t < 100 else 0) for t in range(200)]
    after = policy(1.0)(entries, 150)
    assert list(after[-60:]) == entries[-60:]


def test_idle_stretches_become_one_pair_however_long(make_entry: MakeEntry) -> None:
    entries = [make_entry(t, seed=0, energy=0.1) for t in range(1000)]  # still, but not so still as to be folded
    entries[500:510] = [make_entry(t, seed=t, energy=0.8) for t in range(500, 510)]
    after = oldest_first(entries, 900, recent_seconds=60)
    assert [(entry.start, entry.end) for entry in after if entry.frames > 1] == [(0, 500), (510, 940)]
    assert all(entry.frames == 1 for entry in after if entry.energy > 0.5)
    assert list(after[-60:]) == entries[-60:]


def test_scenes_give_way_whole_and_unmixed(make_entry: MakeEntry) -> None:
    entries = [make_entry(t, scene=t // 4) for t in range(40)]
    kept = oldest_first(entries, 10, recent_seconds=0)
    assert [(entry.scene, entry.frames) for entry in kept] == [(scene, 4) for scene in range(10)]
    fewer = oldest_first(entries, 3, recent_seconds=0)
    assert len(fewer) == 3
    whole = {entry.scene: entry for entry in kept}
    assert all(entry.pair.context is not None for entry in fewer)
    for entry in fewer:
        torch.testing.assert_close(entry.pair.context, whole[entry.scene].pair.context)
    assert (fewer[0].start, fewer[-1].end, sum(entry.frames for entry in fewer)) == (0, 40, 40)


def test_the_short_and_quiet_scene_gives_way_first(make_entry: MakeEntry) -> None:
    entries = [
        make_entry(0, 100, seed=1, scene=0, frames=100),
        make_entry(100, 101, seed=2, scene=1, energy=0.01),
        make_entry(101, 200, seed=3, scene=2, frames=99),
        make_entry(200, 201, seed=4, scene=3, energy=0.9),
        make_entry(201, 300, seed=5, scene=4, frames=99),
    ]
    assert {entry.scene for entry in oldest_first(entries, 4, recent_seconds=0)} == {0, 2, 3, 4}


def test_pinned_entries_stay_as_they_are_while_anything_else_can_go(make_entry: MakeEntry) -> None:
    entries = [make_entry(t, pinned=t % 10 == 5) for t in range(100)]
    after = oldest_first(entries, 21, recent_seconds=0)
    assert len(after) == 21
    assert [entry for entry in after if entry.pinned] == [entry for entry in entries if entry.pinned]
    assert len(oldest_first(entries, 5, recent_seconds=0)) == 5  # the budget is the last word


def test_few_enough_entries_come_back_as_they_are(make_entry: MakeEntry) -> None:
    entries = [make_entry(t) for t in range(5)]
    assert oldest_first(entries, 5) == tuple(entries)
    assert oldest_first([], 3) == ()
    with pytest.raises(ValueError, match="1 is the least"):
        oldest_first(entries, 0)


def test_an_hour_is_consolidated_in_far_less_than_a_minute(make_entry: MakeEntry) -> None:
    entries = [make_entry(t, width=64, scene=t // 30) for t in range(3600)]
    started = time.process_time()
    after = oldest_first(entries, 3240)
    assert time.process_time() - started < 10
    assert len(after) == 3240
    assert sum(entry.frames for entry in after) == 3600
    assert all(a.end == b.start for a, b in pairwise(after))
    assert math.isclose(after[-1].end, 3600)
