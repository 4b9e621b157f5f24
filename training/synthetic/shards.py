"""Synthetic clips as training data on disk: tower features of every frame, and what the memory's own rules make of it.

A folder holds `features.npy` (F, P, C) float16 and `luma.npy` (F, 52, 52) float16 of all frames of all clips one after
another, `rules.npz` (for every frame: energy, held, cut, and the frame numbers of its anchor and of the frame before it
in its scene, -1 where a scene begins), `clips.jsonl` (a line a clip: seed, first frame, frames, truth, questions) and
`photos.txt` (the photos that the truth numbers, a file a line). An interrupted run goes on where it stopped.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from llama_vid.errors import ConfigError
from llama_vid.tokenizer.change import GRID
from llama_vid.tokenizer.compressor import Compressor
from llama_vid.tokenizer.tower import Encoded, ImageTower
from training.features import load_photo
from training.rowcache import filled
from training.synthetic.plan import Mix, Plan, draw_plan
from training.synthetic.questions import QA, questions
from training.synthetic.render import Painter
from training.synthetic.truth import Truth

BATCH: Final = 16
YES_NO: Final = ("Yes.", "No.")
FEATURES, LUMA, RULES, CLIPS, PHOTOS = "features.npy", "luma.npy", "rules.npz", "clips.jsonl", "photos.txt"


@dataclass(frozen=True, slots=True)
class SyntheticClip:
    """One clip of the folder: its frames are the rows first … first + frames - 1."""

    seed: int
    first: int
    frames: int
    truth: Truth
    questions: tuple[QA, ...]


@dataclass(frozen=True, slots=True)
class SyntheticClips:
    """A folder of clips, memory-mapped. `features` (F, P, C), `luma` (F, 52, 52); the rest (F,): see the module."""

    clips: tuple[SyntheticClip, ...]
    features: npt.NDArray[np.float16]
    luma: npt.NDArray[np.float16]
    energy: npt.NDArray[np.float32]
    held: npt.NDArray[np.bool_]
    cut: npt.NDArray[np.bool_]
    anchor: npt.NDArray[np.int64]
    previous: npt.NDArray[np.int64]
    photos: tuple[Path, ...]


def draw_plans(count: int, seed: int, photos: int, painter: Painter, mix: Mix | None = None) -> list[Plan]:
    """The plans of `count` clips: the same for the same arguments."""
    return [draw_plan(seed * 1_000_003 + i, photos, painter.cast, mix) for i in range(count)]


def write_shards(
    out: Path,
    tower: ImageTower,
    compressor: Compressor,
    photos: Sequence[Path],
    plans: Sequence[Plan],
    painter: Painter,
) -> SyntheticClips:
    """Fill the folder `out` with the clips of `plans`, or what of them is missing, and load it.

    Raises ConfigError if the folder holds other clips, SourceError for a damaged photo.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = "\n".join(map(str, photos)) + "\n"
    lines = "".join(json.dumps(line) + "\n" for line in _lines(plans))
    for file, text in ((PHOTOS, names), (CLIPS, lines)):
        if (out / file).is_file() and (out / file).read_text("utf-8") != text:
            raise ConfigError(f"{out / file} is of other clips; delete {out} or give another folder")
        (out / file).write_text(text, "utf-8")
    shown = [(plan, number) for plan in plans for number in range(plan.frames)]
    luma = _luma(out / LUMA, len(shown))
    load = lru_cache(maxsize=64)(load_photo)

    def rows(start: int, stop: int) -> npt.NDArray[np.float16]:
        images = []
        for plan, number in shown[start:stop]:
            photo = next(scene.photo for scene in plan.scenes if scene.first <= number < scene.last)
            images.append(painter.frame(plan, number, load(photos[photo])))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            encoded = tower.encode(images)
        luma[start:stop] = encoded.luma.to(torch.float16).numpy()
        patches: npt.NDArray[np.float16] = encoded.patches.to(torch.float16).numpy()
        return patches

    features = filled(out / FEATURES, (len(shown), tower.patches, tower.channels), np.float16, rows, batch=BATCH)
    luma.flush()
    if not (out / RULES).is_file():
        energy, held, cut, anchor, previous = _rules(compressor, features, luma, [plan.frames for plan in plans])
        np.savez(out / RULES, energy=energy, held=held, cut=cut, anchor=anchor, previous=previous)
    return load_shards(out)


def load_shards(folder: Path) -> SyntheticClips:
    """The clips that `write_shards` put into a folder. Raises ConfigError if it is missing or unfinished."""
    missing = [name for name in (FEATURES, LUMA, RULES, CLIPS, PHOTOS) if not (folder / name).is_file()]
    if missing:
        raise ConfigError(f"{folder} lacks {missing[0]}; run: llama-vid train render")
    clips = []
    with (folder / CLIPS).open(encoding="utf-8") as file:
        for line in map(json.loads, file):
            asked = tuple(QA(**{**qa, "seconds": tuple(qa["seconds"])}) for qa in line["questions"])
            clips.append(
                SyntheticClip(line["seed"], line["first"], line["frames"], Truth.from_json(line["truth"]), asked)
            )
    rules = np.load(folder / RULES)
    return SyntheticClips(
        tuple(clips), np.load(folder / FEATURES, mmap_mode="r"), np.load(folder / LUMA, mmap_mode="r"),
        rules["energy"], rules["held"], rules["cut"], rules["anchor"], rules["previous"],
        tuple(Path(line) for line in (folder / PHOTOS).read_text("utf-8").splitlines()),
    )  # fmt: skip


def _lines(plans: Sequence[Plan]) -> Iterator[dict[str, Any]]:
    first = 0
    for plan, asked in zip(
        plans, balanced([questions(plan.truth, random.Random(plan.seed)) for plan in plans]), strict=True
    ):
        truth = plan.truth
        yield {
            "seed": plan.seed,
            "first": first,
            "frames": plan.frames,
            "truth": truth.to_json(),
            "questions": [
                {"kind": qa.kind, "question": qa.question, "answer": qa.answer, "seconds": qa.seconds} for qa in asked
            ],
        }
        first += plan.frames


def balanced(asked: Sequence[Sequence[QA]]) -> list[list[QA]]:
    """Each clip's questions without those that would make "yes" or "no" the likelier answer of their kind."""
    counts = Counter((qa.kind, qa.answer) for found in asked for qa in found)
    rng = random.Random(0)

    def kept(qa: QA) -> bool:
        if qa.answer not in YES_NO:
            return True
        fewer = min(counts[qa.kind, answer] for answer in YES_NO)
        return rng.random() * counts[qa.kind, qa.answer] < fewer

    return [[qa for qa in found if kept(qa)] for found in asked]


def _luma(path: Path, frames: int) -> np.memmap[Any, np.dtype[np.float16]]:
    shape = (frames, GRID, GRID)
    if path.is_file() and np.load(path, mmap_mode="r").shape == shape:
        return np.lib.format.open_memmap(path, mode="r+")
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)


def _rules(
    compressor: Compressor, features: npt.NDArray[Any], luma: npt.NDArray[Any], lengths: Sequence[int]
) -> tuple[npt.NDArray[Any], ...]:
    """What the compressor decides about every frame of clips of these lengths, each a stream of its own.

    Returns energy, held, cut, anchor and previous, (F,) each.
    """
    frames = sum(lengths)
    energy, held, cut = np.zeros(frames, np.float32), np.zeros(frames, bool), np.zeros(frames, bool)
    anchor, previous = np.zeros(frames, np.int64), np.zeros(frames, np.int64)
    start = 0
    for length in lengths:
        part = slice(start, start + length)
        patches = torch.from_numpy(np.array(features[part])).float()
        encoded = Encoded(patches, torch.zeros(length, 1), torch.from_numpy(np.array(luma[part])).float())
        with torch.inference_mode():
            _, pairs = compressor.run(compressor.begin(), encoded)
        for t, pair in enumerate(pairs, start):
            energy[t], held[t], cut[t] = pair.energy, pair.held, pair.cut
            begins = t == start or pair.cut
            previous[t] = -1 if begins else t - 1
            anchor[t] = anchor[t - 1] if pair.held else t
        start += length
    return energy, held, cut, anchor, previous
