"""Memories of several scenes made of photos: clips with cuts, still and shaken scenes, and evidence blocks behind them.

A clip is a list of shots: frames (photo, view, how much changed), some held still, some shaken between crops of the
photo, with cuts between scenes. What is asked about it is known exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from training.packing import Item
from training.qa import open_questions, tidy
from training.sampling import Sampler, Shot

SUMMARY = (
    "What has happened so far?",
    "What happened in the video?",
    "Summarise the video.",
    "What happens in which order?",
)
FIRST = ("What happens first?", "What is shown at the start?", "What can be seen at the beginning?")
LAST = ("What happens at the end?", "What is shown last?", "What can be seen at the end?")
MOVING = ("Is anything moving?", "Does anything move?", "Is there any movement?")
CHANGES = ("Does the scene change?", "Is there a cut to another scene?")
COUNT = ("How many scenes are there?", "How many different scenes are shown?")
NUMBERS = ("One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight")
LONG: Final = 0.15  # share of clips with many scenes
CAPTIONED: Final = 0.85  # share of scenes whose photo has captions


def scene_clip(sampler: Sampler, shots: list[Shot], *, checks: int) -> Item:
    """A memory of 1–4 scenes of 1–4 frames, at times of 5–8 scenes of up to 6."""
    rng = sampler.rng
    long = rng.random() < LONG
    scenes = rng.randint(5, 8) if long else rng.choices((1, 2, 3, 4), (4, 4, 2, 1))[0]
    chosen = _photos(sampler, scenes)
    prefix, moved = sampler.mark(), False
    for index in chosen:
        frames, moving = _scene(sampler, shots, index, rng.randint(1, 6 if long else 4))
        prefix += frames
        moved |= moving
    segments = sampler.checks(chosen, checks)
    if rng.random() < 0.3:
        segments += sampler.missing(chosen, 1)
    told = [sampler.photos.captions[i] for i in chosen]
    if all(told):
        lines = [tidy(rng.choice(captions)) for captions in told]
        segments.append(sampler.segment(rng.choice(FIRST), lines[0]))
        segments.append(sampler.segment(rng.choice(LAST), lines[-1]))
        if scenes <= 3:
            segments.append(sampler.segment(rng.choice(SUMMARY), in_order(lines)))
    extra = [
        (rng.choice(CHANGES), "Yes." if scenes > 1 else "No."),
        (rng.choice(COUNT), NUMBERS[scenes - 1] + "."),
        (rng.choice(MOVING), "Yes." if moved else "No."),
    ]
    segments += [sampler.segment(q, a, 2.0) for q, a in rng.sample(extra, 2)]
    return Item(prefix, segments)


def recalled_clip(sampler: Sampler, shots: list[Shot]) -> Item:
    """A memory of 1–5 scenes, and behind it the evidence block of one of them, which the questions are about."""
    rng = sampler.rng
    chosen = _photos(sampler, rng.randint(1, 5))
    prefix = sampler.mark()
    for index in chosen:
        prefix += _scene(sampler, shots, index, rng.randint(1, 3))[0]
    captioned = [index for index in chosen if sampler.photos.captions[index]]
    shown = rng.choice(captioned or chosen)
    prefix += sampler.mark() + _scene(sampler, shots, shown, rng.randint(1, 4))[0]
    found = [pair for caption in sampler.photos.captions[shown] for pair in open_questions(caption)]
    rng.shuffle(found)
    segments = [sampler.segment(q, a) for q, a in found[:4]]
    segments += sampler.missing([*chosen, shown], 1) + sampler.checks([shown], 2)
    return Item(prefix, segments)


def _photos(sampler: Sampler, count: int) -> list[int]:
    rng = sampler.rng
    return [
        rng.choice(sampler.captioned) if rng.random() < CAPTIONED else rng.randrange(len(sampler.photos.captions))
        for _ in range(count)
    ]


def _scene(sampler: Sampler, shots: list[Shot], index: int, length: int) -> tuple[list[int], bool]:
    """Frames of one photo added to `shots`: their places in a prefix, and whether anything moves in them."""
    rng = sampler.rng
    moving = length > 1 and sampler.photos.views[index] > 2 and rng.random() < 0.5
    previous: int | None = None
    view, anchor, prefix = sampler.view(index), len(shots), list[int]()
    for _ in range(length):
        number = len(shots)
        if previous is not None and moving:
            view, anchor = rng.choice([v for v in (0, 2, 3) if v != view]), number
        energy = 1.0 if previous is None else rng.uniform(0.4, 1.0) if moving else rng.uniform(0.0, 0.05)
        shots.append(Shot(index, view, anchor, previous, energy))
        prefix.append(~number)
        previous = number
    return prefix, moving


def in_order(lines: Sequence[str]) -> str:
    """Captions told one after another: "First, a dog runs. Then, a man climbs." """
    if len(lines) == 1:
        return lines[0]
    words = ["First,", *["Then,"] * (len(lines) - 1)]
    return " ".join(f"{word} {line[:1].lower()}{line[1:]}" for word, line in zip(words, lines, strict=True))
