"""What one training step shows: photos as memories of one frame, and what is asked about them.

`clips.py` makes memories of several scenes out of photos, `films.py` out of rendered films. Questions have exact
answers, because everything is made from known parts.
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
from training.qa import WHAT, not_there, open_questions, tidy, yes_no


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
        shots.append(Shot(index, self.view(index), number, None, 1.0))
        segments = [self.segment(None, tidy(c)) for c in self.told(index, captions)]
        segments += self.checks([index], checks)
        found = [pair for c in self.photos.captions[index] for pair in open_questions(c)]
        self.rng.shuffle(found)
        segments += [self.segment(q, a) for q, a in found[:others]]
        if self.rng.random() < 0.4:
            segments += self.missing([index], 1)
        if self.photos.captions[index] and self.rng.random() < 0.3:
            segments.append(self.segment(self.rng.choice(WHAT), tidy(self.rng.choice(self.photos.captions[index]))))
        return Item([*self.mark(), ~number], segments)

    def missing(self, photos: Sequence[int], count: int) -> list[Segment]:
        """Questions that take for granted what none of the photos shows, and answers that say so."""
        chance = (self.photos.labels[list(photos)] == ABSENT).all(0) * self.weight
        out: list[Segment] = []
        while chance.sum() > 0 and len(out) < count:
            concept = CONCEPTS[self.rng.choices(range(len(CONCEPTS)), chance)[0]]
            found = not_there(concept, self.rng)
            if found is None:
                chance = chance * [other.kind != concept.kind for other in CONCEPTS]
                continue
            out.append(self.segment(*found))
        return out

    def checks(self, photos: Sequence[int], count: int) -> list[Segment]:
        """Yes/no questions, half of them with either answer."""
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

    def told(self, index: int, count: int) -> list[str]:
        """Some of a photo's captions."""
        captions = list(self.photos.captions[index])
        return self.rng.sample(captions, min(count, len(captions)))

    def view(self, index: int) -> int:
        """One of a photo's views."""
        return self.rng.randrange(self.photos.views[index])
