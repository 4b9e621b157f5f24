"""Memory cut into stretches."""

from __future__ import annotations

import itertools
import random

import pytest

from llama_vid.llm.scenes import LONGEST, scenes
from tests.model.making import entry


def test_nothing_has_no_scenes() -> None:
    assert scenes([]) == []


def test_one_entry_is_one_scene() -> None:
    (scene,) = scenes([entry(7.0, energy=0.5)])
    assert (scene.start, scene.end, scene.first, scene.last, scene.told, scene.motion) == (7.0, 8.0, 0, 0, 0, 0.5)


def test_cuts_begin_scenes() -> None:
    found = scenes([entry(s, scene=s // 4) for s in range(12)])
    assert [(scene.first, scene.last) for scene in found] == [(0, 3), (4, 7), (8, 11)]


def test_drift_begins_a_scene_where_it_began() -> None:
    angles = [0.0] * 5 + [90.0] * 5
    found = scenes([entry(s, angle) for s, angle in enumerate(angles)])
    assert [(scene.first, scene.last) for scene in found] == [(0, 4), (5, 9)]


def test_a_single_odd_frame_is_a_gesture() -> None:
    angles = [0.0] * 5 + [90.0] + [0.0] * 5
    assert len(scenes([entry(s, angle) for s, angle in enumerate(angles)])) == 1


def test_long_stretches_are_told_in_parts() -> None:
    found = scenes([entry(float(s)) for s in range(700)])
    assert len(found) == 3
    assert max(scene.end - scene.start for scene in found) <= LONGEST + 1


def test_the_told_entry_looks_most_like_all() -> None:
    (scene,) = scenes([entry(0, 30), entry(1, 0), entry(2, -30)])
    assert scene.told == 1


def test_motion_is_weighed_by_frames() -> None:
    (scene,) = scenes([entry(0, energy=0.0, frames=3), entry(3, energy=1.0)])
    assert scene.motion == pytest.approx(0.25)


def test_scenes_that_are_over_never_change() -> None:
    """What a chronicle rests on: going on from a scene's end finds what going from the start finds."""
    dice = random.Random(5)
    angle, number, entries = 0.0, 0, []
    for second in range(400):
        if dice.random() < 0.03:
            number += 1
        if dice.random() < 0.1:
            angle = dice.uniform(0, 180)
        entries.append(entry(second, angle + dice.gauss(0, 15), scene=number))
    whole = scenes(entries)
    assert len(whole) > 20
    for before, after in itertools.pairwise(whole):
        assert after.first == before.last + 1
    for scene in whole:
        again = scenes(entries[scene.first :])[0]
        assert again.last + scene.first == scene.last
    for count in range(1, len(entries), 7):
        part = scenes(entries[:count])
        # The last scene may yet be found to have ended one entry ago.
        assert [s.last for s in part[:-2]] == [s.last for s in whole[: max(0, len(part) - 2)]]
