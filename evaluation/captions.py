"""`eval captions`: captions of Flickr8k test photos from the two tokens alone, by CIDEr and BLEU-4.

Beside them, in the same run: the same from all patch tokens (`full`), one constant caption for every photo, and what
people reach (each photo's first caption against the others), which also shows that the metric works.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluation.caption_scores import CaptionScores, score_captions, tokenize
from evaluation.case import Case
from evaluation.flickr import CaptionedPhoto, batches, read_split
from evaluation.model import Missing, VideoModel, full_of
from evaluation.retrieval import PHOTOS_A_BATCH, unit
from evaluation.scores import spread
from llama_vid.errors import ConfigError

CONSTANT = "A man in a blue shirt is standing."
SYSTEMS = ("llama-vid", "full", "constant", "people", "nearest")
#: Words that say nothing about a photo, and the share of a caption's other words, found in none of the photo's own
#: captions but for so many, from which it counts as wrong.
ARTICLES, MOSTLY_WRONG = frozenset({"a", "an", "the", "is", "are", "in", "on", "of", "and"}), 0.25
#: Captions to read beside the figures, and the worst ones shown as failures.
SAMPLES, WORST = 8, 48
#: Photos that are captioned unless a limit says otherwise, spread evenly: a thousand by two systems take twice as long.
PHOTOS = 300


@dataclass(frozen=True, slots=True)
class Sample:
    """A written caption beside one of the photo's own."""

    photo: str
    written: str
    reference: str


@dataclass(frozen=True, slots=True)
class CaptionResult:
    """The system's scores, the baselines', a few captions to read, and as cases those that share least with the
    photo's own.
    """

    n: int
    system: str
    scores: CaptionScores
    baselines: dict[str, CaptionScores | Missing] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    cases: tuple[Case, ...] = ()

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = {"name": "captions", "n": self.n, "system": self.system} | self.scores.to_json()
        result["baselines"] = {name: scores.to_json() for name, scores in self.baselines.items()}
        result["samples"] = {sample.photo: f"{sample.written} [{sample.reference}]" for sample in self.samples}
        return result


def nearest_captions(
    model: VideoModel, folder: Path, photos: Sequence[CaptionedPhoto], tick: Callable[[], None]
) -> list[str]:
    """For each photo the first caption of the training photo that looks most like it to the image tower."""
    known = read_split(folder, "train")
    tower = model.bundle.tower
    with torch.inference_mode():
        there = np.concatenate([unit(tower.encode(batch).embedding) for batch in batches(known, PHOTOS_A_BATCH, tick)])
        here = np.concatenate([unit(tower.encode(batch).embedding) for batch in batches(photos, PHOTOS_A_BATCH, tick)])
    return [known[int(best)].captions[0] for best in (here @ there.T).argmax(axis=1)]


def evaluate_captions(
    model: VideoModel,
    folder: Path,
    *,
    split: str = "test",
    system: str = "",
    limit: int | None = None,
    tick: Callable[[], None] = lambda: None,
) -> CaptionResult:
    """Run the evaluation over PHOTOS (or `limit`) photos of a split of a Flickr8k folder; `system` measures that system
    alone.
    """
    photos = spread(read_split(folder, split), PHOTOS if limit is None else limit)
    references = [photo.captions for photo in photos]
    first, others = [texts[0] for texts in references], [texts[1:] or texts for texts in references]

    def scores(name: str, written: Sequence[str] | Missing) -> CaptionScores | Missing:
        if isinstance(written, Missing):
            return written
        # People are scored against the other captions of the photo, everyone else against all of them.
        return score_captions(written, others if name == "people" else references)

    def write(name: str) -> Sequence[str] | Missing:
        if name == "constant":
            return [CONSTANT] * len(photos)
        if name == "people":
            return first
        if name == "nearest":
            return nearest_captions(model, folder, photos, tick)
        writer = full_of(model) if name == "full" else model
        if isinstance(writer, Missing):
            return writer
        return [text for batch in batches(photos, PHOTOS_A_BATCH, tick) for text in writer.caption_photos(batch)]

    chosen = system or "llama-vid"
    written = write(chosen)
    reached = scores(chosen, written)
    if isinstance(written, Missing) or isinstance(reached, Missing):
        raise ConfigError(f"{chosen} cannot be measured: {written.reason if isinstance(written, Missing) else ''}")
    beside = () if system else ("full", "constant", "people")
    samples = [
        Sample(photo.path.name, text, photo.captions[0])
        for photo, text in spread(list(zip(photos, written, strict=True)), SAMPLES)
    ]
    return CaptionResult(
        len(photos),
        chosen,
        reached,
        {name: scores(name, write(name)) for name in beside},
        tuple(samples),
        worst_captions(photos, written, chosen),
    )


def worst_captions(photos: Sequence[CaptionedPhoto], written: Sequence[str], system: str) -> tuple[Case, ...]:
    """The captions that share the smallest part of their words with any of the photo's own, worst first."""

    def shared(number: int) -> float:
        words = set(tokenize(written[number])) - ARTICLES
        return max(len(words & set(tokenize(text))) for text in photos[number].captions) / max(1, len(words))

    shares = [shared(number) for number in range(len(photos))]
    worst = sorted(range(len(photos)), key=shares.__getitem__)[:WORST]
    return tuple(
        Case("photo", photos[number].path, "Caption", photos[number].captions[0], written[number], False, (), system)
        for number in worst
        if shares[number] <= MOSTLY_WRONG
    )
