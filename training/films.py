"""Rendered films as training memories: features and compressor decisions from disk (`training/synthetic/shards.py`).

What a frame is compared with, whether its context token is held, and its motion energy were decided by the program's
own compressor when the films were made; the questions' answers follow from how each film was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.packing import Item
from training.sampling import Sampler, Shot
from training.synthetic.questions import QA
from training.synthetic.shards import load_shards

ASKED = 8  # questions of one film in an item


@dataclass(frozen=True, slots=True)
class FilmFrame:
    """A frame: the row of its features, the frame (of the same film) whose context token it keeps, whether a new scene
    begins with it, and its motion energy."""

    row: int
    anchor: int
    first: bool
    energy: float


@dataclass(frozen=True, slots=True)
class TrainingFilm:
    """A film's frames and its questions with their answers."""

    frames: Sequence[FilmFrame]
    questions: Sequence[QA]


class Films:
    """Films whose features stand behind those of the photos: `offset` is where their numbering begins."""

    def __init__(self, films: Sequence[TrainingFilm], offset: int) -> None:
        self.films, self.offset = films, offset

    def answers(self) -> set[str]:
        """Everything that is answered."""
        return {asked.answer for film in self.films for asked in film.questions}

    def item(self, sampler: Sampler, shots: list[Shot]) -> Item:
        """One film's memory with some of its questions."""
        rng = sampler.rng
        film = rng.choice(self.films)
        begin, prefix = len(shots), sampler.mark()
        for number, frame in enumerate(film.frames):
            previous = None if frame.first else begin + number - 1
            shots.append(Shot(self.offset + frame.row, 0, begin + frame.anchor, previous, frame.energy))
            prefix.append(~(begin + number))
        by_kind: dict[str, list[QA]] = {}
        for asked in film.questions:
            by_kind.setdefault(asked.kind, []).append(asked)
        # Each kind as often as any other: of some there are many questions, of others few.
        kinds = rng.sample(sorted(by_kind), min(ASKED, len(by_kind)))
        chosen = [rng.choice(by_kind[kind]) for kind in kinds]
        return Item(prefix, [sampler.segment(asked.question, asked.answer, 2.0) for asked in chosen])


def films_folder(cache: Path) -> Path:
    """Where the rendered films of a cache lie."""
    return cache / "films"


def read_films(folder: Path) -> tuple[npt.NDArray[np.float16], list[TrainingFilm]]:
    """Features (frames, P, C) and films of a folder. Raises ConfigError if it is missing or unfinished."""
    found = load_shards(folder)
    films = []
    for clip in found.clips:
        frames = [
            FilmFrame(row, int(found.anchor[row]) - clip.first, int(found.previous[row]) < 0, float(found.energy[row]))
            for row in range(clip.first, clip.first + clip.frames)
        ]
        if clip.questions:
            films.append(TrainingFilm(frames, clip.questions))
    return found.features, films
