"""Synthetic films: the pixels show what the truth says, and the questions answer from it."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from llama_vid.errors import ConfigError
from llama_vid.tokenizer.change import change_energy, luma_grid
from training.synthetic.icons import Icons
from training.synthetic.plan import Mix, draw_plan
from training.synthetic.questions import difference, questions
from training.synthetic.render import Painter, render
from training.synthetic.shards import balanced
from training.synthetic.sprites import COLOURS, SHAPES, draw, drawn_things
from training.synthetic.truth import Event, Instant, Thing, Truth

BALL, BOX = Thing("red ball", "ball", "red"), Thing("blue box", "box", "blue")


def photo(seed: int) -> np.ndarray:
    """A smooth coloured picture (64, 64, 3) unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC))


PHOTOS = [photo(i) for i in range(6)]


def energies(frames: list[np.ndarray]) -> list[float]:
    luma = luma_grid(torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2))
    return [0.0, *change_energy(luma[1:], luma[:-1]).tolist()]


def test_a_film_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    one, same, other = render(3, PHOTOS), render(3, PHOTOS), render(4, PHOTOS)
    assert all(np.array_equal(a, b) for a, b in zip(one.frames, same.frames, strict=True))
    assert one.truth == same.truth
    assert one.truth != other.truth
    assert len(one.frames) == len(one.truth.instants)
    assert one.frames[0].shape == (260, 260, 3)
    assert one.frames[0].dtype == np.uint8


def test_what_moves_in_the_truth_moves_in_the_pixels_and_nothing_else_does() -> None:
    painter = Painter()
    mix = Mix(light=0.0)
    moving: list[float] = []
    still: list[float] = []
    for seed in range(20):
        plan = draw_plan(seed, len(PHOTOS), painter.cast, mix)
        clip = painter.film(plan, PHOTOS)
        edges = {event.start for event in clip.truth.events if event.kind in ("enters", "leaves", "cut")}
        for instant, energy in zip(clip.truth.instants[1:], energies(clip.frames)[1:], strict=True):
            if instant.second not in edges:
                (moving if instant.camera != "still" or instant.moving else still).append(energy)
    assert np.mean(np.array(moving) > 0.12) > 0.95
    assert np.mean(np.array(still) < 0.12) > 0.95  # a thing may still slide by less than counts as in sight


def test_every_shape_and_colour_is_drawn_and_can_be_told_apart() -> None:
    sprites = [draw(shape, "red") for shape in SHAPES] + [draw("ball", colour) for colour in COLOURS]
    for sprite in sprites:
        assert 0.02 < (sprite[..., 3] > 0.5).mean() < 0.95
        assert sprite[0, 0, 3] < 0.5
    flat = [(sprite[..., :3] * sprite[..., 3:]).ravel() for sprite in sprites]
    for i, a in enumerate(flat):
        assert all(np.abs(a - b).mean() > 3 for j, b in enumerate(flat) if j != i and {i, j} != {0, len(SHAPES)})


def film() -> Truth:
    """Two scenes: a ball comes in at 2 s and stops at 3 s, a box is there; a cut at 5 s, the camera pans from 6 s."""
    rows = [
        Instant(0.0, 0, 0, seen=(1,)),
        Instant(1.0, 0, 0, seen=(1,)),
        Instant(2.0, 0, 0, seen=(0, 1), moving=(0,)),
        Instant(3.0, 0, 0, seen=(0, 1), moving=(0,)),
        Instant(4.0, 0, 0, seen=(0, 1)),
        Instant(5.0, 1, 3),
        Instant(6.0, 1, 3, "left"),
        Instant(7.0, 1, 3),
    ]
    return Truth(tuple(rows), (BALL, BOX))


def test_events_follow_from_the_instants() -> None:
    assert film().events == (
        Event("enters", 2.0, 2.0, 0),
        Event("starts", 2.0, 3.0, 0),
        Event("stops", 3.0, 3.0, 0),
        Event("cut", 5.0, 5.0),
        Event("camera starts", 6.0, 6.0, None, "left"),
        Event("camera stops", 6.0, 6.0, None, "left"),
    )
    lights = Truth(tuple(Instant(float(t), 0, 0, light=gain) for t, gain in enumerate((1.0, 0.9, 0.8, 0.8))))
    assert lights.events == (Event("light", 1.0, 2.0, None, "darker"),)
    assert Truth.from_json(film().to_json()) == film()


def test_questions_have_the_answers_that_the_truth_gives() -> None:
    asked = {(qa.kind, qa.answer) for qa in questions(film(), random.Random(0))}
    for wanted in (
        ("moving", "Yes."), ("moving now", "No."), ("camera", "Yes."), ("camera or object", "Both."),
        ("camera way", "It pans left."), ("mover", "A red ball."), ("what enters", "A red ball."),
        ("scenes", "Two."), ("cuts", "Once."), ("when", "After 5 seconds."), ("order", "The blue box."),
        ("how long", "3 seconds."), ("light", "No."), ("changed", "The scene changed."),
    ):  # fmt: skip
        assert wanted in asked, wanted
    quiet = {(qa.kind, qa.answer) for qa in questions(film().window(0, 2), random.Random(0))}
    assert {("moving", "No."), ("camera or object", "Neither."), ("changed", "Nothing changed.")} <= quiet
    assert difference(film().window(0, 4)) == "A red ball came in."


def test_absent_things_are_denied_never_one_that_is_there() -> None:
    cast = drawn_things()
    for seed in range(60):
        truth = draw_plan(seed, 6, cast).truth
        names = {truth.things[n].phrase for i in truth.instants for n in i.seen}
        for qa in questions(truth, random.Random(seed)):
            if qa.kind == "there":
                assert (qa.answer == "Yes.") == any(name in qa.question for name in names), qa


def test_kept_questions_say_yes_as_often_as_no() -> None:
    cast = drawn_things()
    asked = balanced([questions(draw_plan(seed, 6, cast).truth, random.Random(seed)) for seed in range(300)])
    for kind in ("moving", "there", "leaves", "cut"):
        answers = [qa.answer for found in asked for qa in found if qa.kind == kind]
        assert 0.4 < np.mean([answer == "Yes." for answer in answers]) < 0.6, kind


def test_icons_are_named_by_code_point_or_file_name(tmp_path: Path) -> None:
    for name in ("1f697.png", "red-kite.png", "1f600.png", "a9-fe0f.png", "bed.png"):
        Image.new("RGBA", (32, 32), (250, 0, 0, 255)).save(tmp_path / name)
    icons = Icons(tmp_path)
    assert [thing.name for thing in icons.things] == ["bed", "red car", "red kite"]
    assert icons.sprite("red kite")[64, 64].tolist() == [250.0, 0.0, 0.0, 1.0]
    painter = Painter(icons, share=1.0)
    assert {thing.name for thing in painter.cast} == {"bed", "red car", "red kite"}
    with pytest.raises(ConfigError, match="no named icons"):
        Icons(tmp_path / "nowhere")
