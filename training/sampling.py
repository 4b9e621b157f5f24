"""What one training step shows: photos as memories of one frame, and synthetic clips of several scenes made of photos.

A clip is a list of shots: frames (photo, view, how much changed), some held still, some shaken between crops of the
photo, with cuts between scenes. Questions about it have exact answers, because it was made from known parts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.concepts import CONCEPTS
from training.labels import ABSENT, PRESENT
from training.packing import Item, Segment
from training.qa import WHAT, open_questions, tidy, yes_no

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
NUMBERS = ("One", "Two", "Three", "Four")


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame of a training memory: `photo` and `view` name its features; `anchor` is the shot whose context token it
    keeps; `previous` the shot before it in the same scene (None: the scene begins); `energy` how much moved."""

    photo: int
    view: int
    anchor: int
    previous: int | None
    energy: float


@dataclass(frozen=True, slots=True)
class Photos:
    """Training photos: captions (may be empty) and concept labels (N, concepts); `views` cached views of each."""

    captions: Sequence[Sequence[str]]
    labels: npt.NDArray[np.int8]
    views: Sequence[int]


class Sampler:
    """Draws items; `encode` turns text into token ids, `end` is the id that ends an answer."""

    def __init__(self, photos: Photos, encode: Callable[[str], list[int]], end: int, seed: int) -> None:
        self.photos, self.encode, self.end = photos, encode, end
        self.rng = random.Random(seed)
        self.captioned = [i for i, captions in enumerate(photos.captions) if captions]
        present = photos.labels == PRESENT
        share = 1.0 / np.sqrt(present.sum(0) + 30.0)
        self.weight = share / share.max()
        # "No" is drawn for each concept as often as "yes" is, so that the question alone says nothing.
        self.negative = (present * self.weight).sum(0) / np.maximum((photos.labels == ABSENT).sum(0), 1)
        self.negative /= self.negative.max()

    def segment(self, question: str | None, answer: str, weight: float = 1.0) -> Segment:
        """A question (None: a caption) with its answer."""
        suffix = "\nCaption:" if question is None else f"\nQuestion: {question}\nAnswer:"
        return Segment(self.encode(suffix), [*self.encode(" " + answer), self.end], weight)

    def mark(self) -> list[int]:
        """A time mark: mostly the first minute of a recording, at times a later one or a clock."""
        draw = self.rng.random()
        if draw < 0.5:
            return self.encode("[0 min]")
        if draw < 0.75:
            return self.encode(f"[{self.rng.randrange(0, 180)} min]")
        return self.encode(f"[{self.rng.randrange(24):02}:{self.rng.randrange(60):02}]")

    def photo(self, shots: list[Shot], *, captions: int, checks: int, others: int) -> Item:
        """A memory of one frame."""
        index = (
            self.rng.choice(self.captioned)
            if self.rng.random() < 0.8
            else self.rng.randrange(len(self.photos.captions))
        )
        number = len(shots)
        shots.append(Shot(index, self._view(index), number, None, 1.0))
        segments = [self.segment(None, tidy(c)) for c in self._captions(index, captions)]
        segments += self._checks([index], checks)
        found = [pair for c in self.photos.captions[index] for pair in open_questions(c)]
        self.rng.shuffle(found)
        segments += [self.segment(q, a) for q, a in found[:others]]
        if self.photos.captions[index] and self.rng.random() < 0.3:
            segments.append(self.segment(self.rng.choice(WHAT), tidy(self.rng.choice(self.photos.captions[index]))))
        return Item([*self.mark(), ~number], segments)

    def clip(self, shots: list[Shot], *, checks: int) -> Item:
        """A memory of 2–12 frames in 1–4 scenes."""
        scenes = self.rng.choices((1, 2, 3, 4), (4, 4, 2, 1))[0]
        chosen = [
            self.rng.choice(self.captioned)
            if self.rng.random() < 0.85
            else self.rng.randrange(len(self.photos.captions))
            for _ in range(scenes)
        ]
        prefix, moved = self.mark(), False
        for index in chosen:
            moving = self.photos.views[index] > 2 and self.rng.random() < 0.5
            moved |= moving
            previous: int | None = None
            view, anchor = self._view(index), len(shots)
            for _ in range(self.rng.randint(1, 4)):
                number = len(shots)
                if previous is not None and moving:
                    view, anchor = self.rng.choice([v for v in (0, 2, 3) if v != view]), number
                energy = (
                    1.0 if previous is None else self.rng.uniform(0.4, 1.0) if moving else self.rng.uniform(0.0, 0.05)
                )
                shots.append(Shot(index, view, anchor, previous, energy))
                prefix.append(~number)
                previous = number
        segments = self._checks(chosen, checks)
        told = [self.photos.captions[i] for i in chosen]
        if all(told):
            lines = [tidy(self.rng.choice(captions)) for captions in told]
            segments.append(self.segment(self.rng.choice(FIRST), lines[0]))
            segments.append(self.segment(self.rng.choice(LAST), lines[-1]))
            if scenes <= 3:
                segments.append(self.segment(self.rng.choice(SUMMARY), in_order(lines)))
        extra = [
            (self.rng.choice(CHANGES), "Yes." if scenes > 1 else "No."),
            (self.rng.choice(COUNT), NUMBERS[scenes - 1] + "."),
            (self.rng.choice(MOVING), "Yes." if moved else "No."),
        ]
        segments += [self.segment(q, a, 2.0) for q, a in self.rng.sample(extra, 2)]
        return Item(prefix, segments)

    def _checks(self, photos: Sequence[int], count: int) -> list[Segment]:
        labels = self.photos.labels[list(photos)]
        present, absent = (labels == PRESENT).any(0), (labels == ABSENT).all(0)
        out = []
        for answer, allowed, weight in ((True, present, self.weight), (False, absent, self.negative)):
            chance = allowed * weight
            for _ in range(count // 2):
                if chance.sum() <= 0:
                    break
                concept = CONCEPTS[self.rng.choices(range(len(CONCEPTS)), chance)[0]]
                question, text = yes_no(concept, answer, self.rng)
                out.append(self.segment(question, text, 2.0))
        return out

    def _captions(self, index: int, count: int) -> list[str]:
        captions = list(self.photos.captions[index])
        return self.rng.sample(captions, min(count, len(captions)))

    def _view(self, index: int) -> int:
        return self.rng.randrange(self.photos.views[index])


def in_order(lines: Sequence[str]) -> str:
    """Captions told one after another: "First, a dog runs. Then, a man climbs." """
    if len(lines) == 1:
        return lines[0]
    words = ["First,", *["Then,"] * (len(lines) - 1)]
    return " ".join(f"{word} {line[:1].lower()}{line[1:]}" for word, line in zip(words, lines, strict=True))
