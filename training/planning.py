"""One stage's plan: what it does, how much of it is finished, and what the rest takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llama_vid.errors import LlamaVidError
from llama_vid.needs import free_bytes, parameters, refuse_if_too_large
from llama_vid.tokenizer.open_clip_tower import random_tower
from llama_vid.tokenizer.tower import ImageTower
from training.films import films_folder
from training.head_stages import labels_file
from training.prepare import DEV, TEXTS, TRAIN, UNLABELLED, Photographs, locked_tower
from training.probe import RATES, layer_seconds, photo_seconds
from training.recipe import Align, Export, Head, Labels, Prepare, Render, Single, Tower
from training.sizes import BFLOAT16, LlamaSize, compressor_parameters, tower_shape
from training.synthetic.shards import FEATURES
from training.towers import language_source, own_tower, weights_of

TEXT_BYTES = 384 * 4  # a caption's state
FILM_FRAMES, FRAME_SECONDS = 8, 0.003  # frames of a rendered film, and the time to draw one


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A stage in figures: expected `seconds` of what is left and `how` they are known, `memory` and `disk` in bytes."""

    name: str
    stage: str
    does: str
    finished: bool = False
    seconds: float | None = None
    how: str = ""
    memory: int = 0
    disk: int = 0


class Planner:
    """Plans stages one after another; what stands in the way of a run gathers in `problems`, the rest in `warnings`."""

    def __init__(self, photos: Photographs | None) -> None:
        self.photos = photos
        self.warnings: list[str] = []
        self.problems: list[str] = []

    def stage(self, name: str, recipe: Single) -> StagePlan:
        """The plan of one stage."""
        match recipe:
            case Prepare():
                return self._prepare(name, recipe)
            case Head():
                return self._head(name, recipe)
            case Labels():
                known = all(labels_file(recipe.out, each).is_file() for each in (TRAIN, UNLABELLED))
                does = "which concepts each photo shows" + (", anew" if known else "")
                return StagePlan(name, "labels", does, seconds=RATES["labels"], how="time: from the table of rates")
            case Render():
                return self._render(name, recipe)
            case Align():
                return self._align(name, recipe)
            case Export():
                how = "time: from the table of rates"
                return StagePlan(name, "export", f"the bundle {recipe.bundle}", seconds=RATES["export"], how=how)

    def _prepare(self, name: str, recipe: Prepare) -> StagePlan:
        shape = tower_shape(recipe.tower)
        sizes = self._sets(recipe)
        left = sum(rows - done_rows(recipe.cache / f"{each}.npy") for each, rows in sizes.items())
        texts = len(self.photos.captions) if self.photos is not None else 0
        own = isinstance(recipe.tower, Tower)
        texts_left = 0 if own else texts - done_rows(recipe.cache / f"{TEXTS}.npy")
        who = recipe.tower.name if isinstance(recipe.tower, Tower) else "EfficientNet-Lite2"
        does = f"{who} over {left:,} of {sum(sizes.values()):,} views of photos"
        if not own:
            does += f", MiniLM over {texts_left:,} of {texts:,} captions"
        if self.photos is not None and not left and not texts_left:
            return StagePlan(name, "prepare", does, finished=True, seconds=0.0)
        new = sum(rows for each, rows in sizes.items() if not (recipe.cache / f"{each}.npy").is_file())
        disk = new * shape[0] * shape[1] * BFLOAT16 if shape else 0
        disk += 0 if own or done_rows(recipe.cache / f"{TEXTS}.npy") else texts * TEXT_BYTES
        if self.photos is None:
            return StagePlan(name, "prepare", does, how="time: unknown without the photos")
        tower = self._opened(recipe.tower)
        if tower is None:
            return StagePlan(name, "prepare", does, how="time: unknown without the tower", disk=disk)
        each_s = photo_seconds(tower)
        how = f"time: {each_s * 1000:.0f} ms a photo, measured just now"
        if texts_left:
            how += f"; {RATES['captions']:.0f} captions a second, from the table of rates"
        memory = 4 * sum(value.numel() for value in tower.parameters()) + 10**9
        return StagePlan(
            name, "prepare", does, seconds=left * each_s + texts_left / RATES["captions"], how=how, memory=memory,
            disk=disk,
        )  # fmt: skip

    def _head(self, name: str, recipe: Head) -> StagePlan:
        if isinstance(recipe.tower, Tower):
            does = f"nothing: {recipe.tower.name} has a text side of its own"
            return StagePlan(name, "head", does, finished=True, seconds=0.0)
        left = [seed for seed in recipe.seeds if not (recipe.out / f"head-{seed}.pt").is_file()]
        does = f"{len(left)} of {len(recipe.seeds)} members of the image-text head, {recipe.epochs} epochs each"
        photos = len(self.photos.train) if self.photos is not None else 0
        shape = tower_shape(recipe.tower)
        features = self._sets(recipe)[TRAIN] * shape[0] * shape[1] * BFLOAT16 if shape else 0
        batch = 3 * 4 * recipe.batch * shape[0] * shape[1] if shape else 0
        seconds = len(left) * recipe.epochs * RATES["head_epoch"] * photos / 6000
        how = "time: from the table of rates; memory: all training features and three times a batch's"
        return StagePlan(
            name, "head", does, finished=not left, seconds=seconds, how=how, memory=features + batch
        )  # fmt: skip

    def _render(self, name: str, recipe: Render) -> StagePlan:
        shape, frames = tower_shape(recipe.tower), recipe.clips * FILM_FRAMES
        features = films_folder(recipe.cache) / FEATURES
        known = len(np.load(features, mmap_mode="r")) if features.is_file() else frames
        left = known - done_rows(features)
        does = f"{recipe.clips:,} films of about {FILM_FRAMES} frames, {left:,} of {known:,} frames left"
        if not left:
            return StagePlan(name, "render", does, finished=True, seconds=0.0)
        disk = left * shape[0] * shape[1] * BFLOAT16 if shape else 0
        tower = self._opened(recipe.tower)
        if tower is None:
            return StagePlan(name, "render", does, how="time: unknown without the tower", disk=disk)
        each_s = photo_seconds(tower) + FRAME_SECONDS
        how = f"time: {each_s * 1000:.0f} ms a frame, the tower's share measured just now"
        return StagePlan(name, "render", does, seconds=left * each_s, how=how, disk=disk)

    def _align(self, name: str, recipe: Align) -> StagePlan:
        size, shape = LlamaSize.of(recipe.language), tower_shape(recipe.tower)
        warm, elapsed = _progress(recipe.out / f"{recipe.name}.pt")
        left = max(0.0, recipe.seconds - elapsed)
        does = f"compressor and LoRA, {recipe.seconds - left:.0f} of {recipe.seconds:.0f} s of steps done"
        if not left and warm >= recipe.warm_seconds:
            return StagePlan(name, "align", does, finished=True, seconds=0.0)
        seconds = max(0.0, recipe.warm_seconds - warm) + left + (RATES["compiling"] if recipe.compiled else 0.0)
        how = "time: as the recipe gives it"
        memory = 0
        self._find_language(recipe, size)
        if size is not None and self.photos is not None:
            step_s = layer_seconds(size.shape, recipe.rows, recipe.length, recipe.rank) * size.shape.layers
            if recipe.compiled:
                step_s /= RATES["compiled"]
            steps, gain = left / step_s, " and what compiling gains, from the table of rates" if recipe.compiled else ""
            how += f"; about {steps:,.0f} steps of {step_s:.1f} s, by one layer measured just now{gain}"
            if steps < 200:
                self.warnings.append(
                    f"{name}: {recipe.seconds:.0f} s are about {steps:.0f} steps on this machine, too few to learn; "
                    "`mini` had 1,085 steps of 2,304 tokens"
                )
        if size is not None and shape is not None:
            trained = compressor_parameters(shape[0], shape[1], shape[2], size.shape.width)
            memory = size.step_bytes(recipe, trained)
            how += (
                f"; {size.parameters / 1e9:.2f}e9 weights, {(trained + size.deltas(recipe.rank)) / 1e6:.0f}e6 trained"
            )
        return StagePlan(name, "align", does, seconds=seconds, how=how, memory=memory)

    def _find_language(self, recipe: Align, size: LlamaSize | None) -> None:
        """That the language model is here and fits memory; if not, that is a problem."""
        try:
            source = language_source(recipe.language)
            if size is not None:
                name = source.name if isinstance(source, Path) else "SmolLM2-135M"
                refuse_if_too_large(f"the language model {name}", size.parameters * BFLOAT16, free_bytes())
        except LlamaVidError as problem:
            self.problems.append(str(problem))

    def _opened(self, tower: str | Tower) -> ImageTower | None:
        """The tower, whose speed is to be measured: with random weights where its own are not here, which is a problem.

        None where memory does not hold it or it cannot be made.
        """
        try:
            if not isinstance(tower, Tower):
                return locked_tower()
            if tower.weights.is_file():
                count = parameters([tower.weights]) if tower.weights.suffix == ".safetensors" else 0
                refuse_if_too_large(f"the tower {tower.name}", count * 4, free_bytes())
                return own_tower(tower)
        except LlamaVidError as problem:
            self.problems.append(str(problem))
            return None
        try:
            weights_of(tower)
        except LlamaVidError as problem:
            self.problems.append(str(problem))
        try:
            return random_tower(tower.name)
        except LlamaVidError as problem:
            self.problems.append(str(problem))
            return None

    def _sets(self, recipe: Prepare | Head) -> dict[str, int]:
        """Rows of features by set."""
        if self.photos is None:
            return {TRAIN: 0, DEV: 0, UNLABELLED: 0}
        views = recipe.views if isinstance(recipe, Prepare) else 4
        return {
            TRAIN: views * len(self.photos.train),
            DEV: len(self.photos.dev),
            UNLABELLED: len(self.photos.unlabelled),
        }


def done_rows(out: Path) -> int:
    """Rows of a cached array that are finished; see `rowcache.py`."""
    try:
        return int(out.with_suffix(".done").read_text()) if out.is_file() else 0
    except (OSError, ValueError):
        return 0


def _progress(checkpoint: Path) -> tuple[float, float]:
    """Seconds of warm start and of steps that a checkpoint has behind it."""
    if not checkpoint.is_file():
        return 0.0, 0.0
    state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    return float(state["warm"]), float(state["elapsed"])
