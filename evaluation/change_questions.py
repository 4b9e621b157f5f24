"""What `eval change` asks: questions about a few seconds of a film, with answers that follow from its truth."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from evaluation.synthetic import SEED, TrueFilm
from evaluation.yesno import first_word
from training.synthetic.questions import difference
from training.synthetic.truth import Truth

EACH: Final = 24  # questions of a kind: half of them yes, or an equal share of each answer
SHORT, LONG = 3, 7  # frames of a window
YES_NO: Final = {
    "moving": "Is anything moving",
    "camera": "Is the camera moving",
    "object": "Does an object move",
    "cut": "Does the scene change",
    "enters": "Does something come into view",
    "leaves": "Does something leave",
    "light": "Does the light change",
}
WHICH: Final = "Does the camera or an object move"
#: Answers to "What moves?" with the yes/no question that stands for each, and words that say it.
MOVERS: Final = {
    "The camera.": ("Is the camera moving?", r"\bcamera\b"),
    "An object.": ("Does an object move?", r"\b(?:object|thing)\b"),
}
CHANGED: Final = "What changed"
#: Kinds of change with the yes/no question that stands for each, and words that say it.
CHANGES: Final = {
    "scene": ("Does the scene change?", r"\bscene (?:has )?changed?s?\b|\bcut\b|\bnew scene\b"),
    "came": (
        "Does something come into view?",
        r"\bcame in(?:to view)?\b|\bcomes? in(?:to view)?\b|\bappear|\bentere?d?s?\b",
    ),
    "left": ("Does something leave?", r"\bleft\b|\bleaves?\b|\bwent out\b|\bgone\b|\bdisappear"),
    "camera": ("Is the camera moving?", r"\bcamera\b"),
    "moved": ("Does an object move?", r"\bmove[sd]?\b|\bmoving\b|\bmovement\b"),
    "light": ("Does the light change?", r"\bdarker\b|\bbrighter\b|\blight\b"),
    "nothing": ("Is everything still?", r"\bnothing\b"),
}
#: How a system that only weighs yes against no says which it was.
WORDS: Final = {
    "scene": "The scene changed.",
    "came": "Something came in.",
    "left": "Something left.",
    "camera": "The camera moved.",
    "moved": "Something moved.",
    "light": "The light changed.",
    "nothing": "Nothing changed.",
}


@dataclass(frozen=True, slots=True)
class Changed:
    """A question about the frames first … last - 1 of a film, and its answer."""

    film: TrueFilm
    first: int
    last: int
    kind: str
    question: str
    wanted: str

    @property
    def seconds(self) -> tuple[float, ...]:
        """The window's first and last frame."""
        return (float(self.first), float(self.last - 1))

    @property
    def asked(self) -> str:
        """The question about the whole film: the window named by the clock."""
        return f"{self.question} between {_clock(self.first)} and {_clock(self.last)}?"


def questions_about(film: TrueFilm) -> list[Changed]:
    """Every question about every window of a film that leaves no doubt."""
    out = []
    count = len(film.truth.instants)
    for first in range(count - SHORT + 1):
        for last in range(first + SHORT, min(first + LONG, count) + 1):
            for kind, question, wanted in _of_window(film.truth.window(first, last)):
                out.append(Changed(film, first, last, kind, question, wanted))
    return out


def chosen(films: Sequence[TrueFilm], seed: int = SEED) -> list[Changed]:
    """EACH questions of every kind, their answers in equal shares, over as many films as can be."""
    rng, pool = random.Random(seed), defaultdict[tuple[str, str], list[Changed]](list)
    for film in films:
        for item in questions_about(film):
            pool[item.kind, item.wanted].append(item)
    out: list[Changed] = []
    for kind in sorted({kind for kind, _ in pool}):
        answers = sorted(answer for other, answer in pool if other == kind)
        for answer in answers:
            out += _spread(pool[kind, answer], max(1, EACH // len(answers)), rng)
    return out


def is_right(item: Changed, text: str) -> bool:
    """Whether an answer says what is wanted; of several kinds of change the one that it names first counts."""
    if item.kind in YES_NO:
        return first_word(text) == (item.wanted == "Yes.")
    kinds = MOVERS if item.kind == "which" else CHANGES
    places = {name: match.start() for name, (_, words) in kinds.items() if (match := re.search(words, text.lower()))}
    return bool(places) and min(places, key=lambda name: places[name]) == item.wanted


def _of_window(truth: Truth) -> list[tuple[str, str, str]]:
    """Kind, question and answer of what a window shows for certain."""
    first, found = truth.instants[0], []
    kinds = {event.kind for event in truth.events}
    moving, camera = any(i.moving for i in truth.instants), any(i.camera != "still" for i in truth.instants)
    edges = bool(kinds & {"enters", "leaves"})

    def yes(kind: str, flag: bool) -> None:
        found.append((kind, YES_NO[kind], "Yes." if flag else "No."))

    if moving or camera or not edges:
        yes("moving", moving or camera)
    yes("camera", camera)
    if moving or not edges:
        yes("object", moving)
    yes("cut", "cut" in kinds)
    if not first.moving:
        yes("enters", "enters" in kinds)
        yes("leaves", "leaves" in kinds)
    steps = [abs(b.light / a.light - 1) for a, b in pairwise(truth.instants) if a.scene == b.scene]
    if "light" in kinds or max(steps, default=0.0) < 0.02:
        yes("light", "light" in kinds)
    if moving != camera and not edges:
        found.append(("which", WHICH, "The camera." if camera else "An object."))
    told = difference(truth) if first.camera == "still" and not first.moving else ""
    if told and (what := _what(told)):
        found.append(("changed", CHANGED, what))
    return found


def _what(told: str) -> str:
    """The kind of change that a sentence of `difference` tells of."""
    endings = {
        "came in.": "came",
        "left.": "left",
        "camera moved.": "camera",
        "moved.": "moved",
        "scene changed.": "scene",
    }
    endings |= {"brighter.": "light", "darker.": "light", "Nothing changed.": "nothing"}
    return next((kind for ending, kind in endings.items() if told.endswith(ending)), "")


def _spread(items: Sequence[Changed], count: int, rng: random.Random) -> list[Changed]:
    """`count` of the items, from as many films as can be."""
    by_film = defaultdict[Path, list[Changed]](list)
    for item in items:
        by_film[item.film.path].append(item)
    for own in by_film.values():
        rng.shuffle(own)
    films = list(by_film)
    rng.shuffle(films)
    out: list[Changed] = []
    while len(out) < count and any(by_film.values()):
        for path in films:
            if by_film[path] and len(out) < count:
                out.append(by_film[path].pop())
    return out


def _clock(second: int) -> str:
    return f"{second // 60}:{second % 60:02}"
