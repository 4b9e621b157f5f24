"""Which frames are encoded: the first, those that changed, and now and then one that did not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from llama_vid.tokenizer.change import GRID
from llama_vid.tokenizer.stillness import HABIT_FRAMES, LONGEST_SKIP, StillGate


def scene(seed: int = 0) -> Tensor:
    return torch.rand(GRID, GRID, generator=torch.Generator().manual_seed(seed)) * 150 + 50


def noise(seed: int, deviation: float = 0.6) -> Tensor:
    """What 3 grey levels of sensor noise a pixel leave in cells of 5×5 pixels."""
    return torch.randn(GRID, GRID, generator=torch.Generator().manual_seed(seed)) * deviation


def test_the_first_frame_and_every_gap_is_encoded() -> None:
    gate = StillGate()
    assert gate.needed(scene())
    assert not gate.needed(scene())
    assert gate.needed(scene(), gap=True)
    assert not gate.needed(scene())


def test_a_still_scene_is_encoded_now_and_then() -> None:
    gate = StillGate()
    found = [gate.needed(scene() + noise(second)) for second in range(1, 10 * (LONGEST_SKIP + 1) + 1)]
    assert sum(found) == 10


def test_a_small_thing_that_comes_is_seen_at_once() -> None:
    gate = StillGate()
    gate.needed(scene() + noise(1))
    there = scene() + noise(2)
    there[20:22, 30:32] += 40  # ten by ten pixels of a 260-pixel frame
    assert not gate.needed(scene() + noise(3))
    assert gate.needed(there)


def test_slow_change_adds_up() -> None:
    gate = StillGate()
    picture = scene()
    encoded = 0
    for step in range(60):
        shadow = picture.clone()
        shadow[:, :20] -= 0.5 * step  # half a grey level a second: never much from one frame to the next
        encoded += gate.needed(shadow + noise(step))
    assert 60 / 16 < encoded < 20


@pytest.mark.parametrize(("rows", "is_habit"), [(2, True), (30, False)])
def test_what_always_changes_is_passed_over_if_it_is_small(rows: int, is_habit: bool) -> None:
    gate = StillGate()
    picture = scene()

    def ticking(second: int) -> Tensor:
        now = picture + noise(second)
        now[:rows, :20] = 220.0 if second % 2 else 20.0
        return now

    first = [gate.needed(ticking(second)) for second in range(100)]
    assert sum(first) >= 99  # nothing is known yet
    for second in range(100, 2 * HABIT_FRAMES):
        gate.needed(ticking(second))
    later = [gate.needed(ticking(second)) for second in range(2 * HABIT_FRAMES, 2 * HABIT_FRAMES + 160)]
    assert (gate.ignored is not None) is is_habit
    assert sum(later) <= 11 if is_habit else sum(later) == 160
    if is_habit:  # something else still counts
        walker = ticking(0)
        walker[25:35, 25:30] = 250
        assert gate.needed(walker)
