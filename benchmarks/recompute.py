"""The way LLaMA-VID does it, everything encoded again for every question, beside ours: a film taken in once.

    llama-vid bench recompute           (or: python -m benchmarks.recompute)

LLaMA-VID computes a frame's context token from the question (Li et al. 2023, https://arxiv.org/abs/2311.17043), so each
question begins with decoding and encoding the film. Measured for films of 1, 10 and 60 minutes (the sample clip looped,
all of it moving, taken in at one frame a second): `recompute_s`, from opening the film to the whole answer, anew for
every question; and `ours_s`, the same questions put to the film that stays open. Both are the same program with the
same tower, compressor and language model, on the same machine, turn about, so the ratio says what remembering is worth
and nothing else. A question is put to the open film first: what the program has learnt of its text then helps the other
side. `first_s` is the open film's very first question, for which the language model reads all of memory; it is not
among ours.

Nothing is extrapolated. An hour is measured once unless `runs` asks for more, as each recomputation takes minutes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.questions import open_questions
from benchmarks.samples import loop_film, sample_film
from llama_vid.llm.answer import Answer
from llama_vid.model import LLaMAVID

RUNS: Final = 3
MINUTES: Final = (1.0, 10.0, 60.0)
FIRST: Final = "What is in the video?"
LONG: Final = 60.0  # minutes from which one question is enough by default


@dataclass(frozen=True, slots=True)
class Pair:
    """Seconds of each question, both ways, for one film of `frames` frames."""

    frames: int
    open_s: float
    first_s: float
    ours_s: tuple[float, ...]
    ours_first_token_s: tuple[float, ...]
    recompute_s: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Median of theirs over median of ours."""
        return median(self.recompute_s) / median(self.ours_s)

    def to_json(self) -> dict[str, Any]:
        return {
            "n": len(self.ours_s),
            "frames": self.frames,
            "ours_s": median(self.ours_s),
            "ours_first_token_s": median(self.ours_first_token_s),
            "recompute_s": median(self.recompute_s),
            "ratio": self.ratio,
            "open_s": self.open_s,
            "first_s": self.first_s,
        }


@dataclass(frozen=True, slots=True)
class Recompute:
    """By the film's minutes."""

    pairs: dict[float, Pair]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": "recompute",
            "n": sum(len(pair.ours_s) for pair in self.pairs.values()),
            "minutes": {f"{minutes:g}": pair.to_json() for minutes, pair in self.pairs.items()},
            "baselines": {f"recompute_{minutes:g}_min_s": median(p.recompute_s) for minutes, p in self.pairs.items()},
        }


def compare(model: LLaMAVID, film: Path, questions: Sequence[str]) -> Pair:
    """Open a film and put the questions to it, opening it anew beside each."""
    began = time.perf_counter()
    opened = model.open(film)
    open_s = time.perf_counter() - began
    first_s = _timed(lambda: opened.ask(FIRST))[0]
    ours: list[tuple[float, float]] = []
    theirs: list[float] = []
    for question in questions:
        ours.append(_timed(partial(opened.ask, question)))
        theirs.append(_timed(partial(model.ask, film, question))[0])
    return Pair(
        opened.tokens.frames,
        open_s,
        first_s,
        tuple(whole for whole, _ in ours),
        tuple(first for _, first in ours),
        tuple(theirs),
    )


def _timed(ask: Callable[[], Answer]) -> tuple[float, float]:
    """Seconds to the whole answer, and the answer's own to the first token."""
    began = time.perf_counter()
    answer = ask()
    return time.perf_counter() - began, answer.timing.first_token_s


def measure(runs: int | None = None, *, minutes: Sequence[float] = MINUTES, model: LLaMAVID | None = None) -> Recompute:
    """`runs` questions (3 by default, 1 for an hour) to films of `minutes`."""
    model = model or LLaMAVID.from_pretrained("mini")
    questions = open_questions()
    pairs: dict[float, Pair] = {}
    with tempfile.TemporaryDirectory(prefix="llama-vid-recompute-") as place:
        model.ask(sample_film(), FIRST)  # uncounted: what the program does once, on its first question ever
        for each in minutes:
            film = loop_film(sample_film(), Path(place) / f"{each:g}.mp4", round(60 * each))
            number = runs or (1 if each >= LONG else RUNS)
            pairs[each] = compare(model, film, list(islice(questions, number)))
    return Recompute(pairs)


if __name__ == "__main__":
    from evaluation.report import print_table

    print_table(measure())
