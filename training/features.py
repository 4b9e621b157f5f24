"""Cached tower features of training photos: computed once, memory-mapped afterwards.

One array per set of photos, `(views, photos, P, C)` float16. View 0 is the photo as it is (squashed to the tower's
square), view 1 its mirror image, further views random crops of 70–100 % of the area, every second one mirrored. A
finished row is recorded, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from rich.progress import track

from llama_vid.tokenizer.tower import ImageTower, squash

BATCH = 16  # photos a forward: larger gains nothing on two cores


def view(photo: npt.NDArray[np.uint8], number: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """View `number` of an RGB photo (H, W, 3); views from 2 on draw a crop from `rng`."""
    height, width = photo.shape[:2]
    if number >= 2:
        area, aspect = rng.uniform(0.7, 1.0), np.exp(rng.uniform(-0.15, 0.15))
        h, w = min(1.0, float(np.sqrt(area * aspect))), min(1.0, float(np.sqrt(area / aspect)))
        top, left = int(rng.uniform(0, 1 - h) * height), int(rng.uniform(0, 1 - w) * width)
        photo = photo[top : top + int(h * height), left : left + int(w * width)]
    return photo[:, ::-1] if number % 2 else photo


def cache_features(tower: ImageTower, photos: Sequence[Path], out: Path, *, views: int, seed: int = 0) -> npt.NDArray[np.float16]:
    """The features of `photos`, computed where `out` lacks them; a memory map `(views, photos, P, C)`."""
    shape = (views, len(photos), tower.patches, tower.channels)
    done_file = out.with_suffix(".done")
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = not out.exists()
    array = np.lib.format.open_memmap(out, mode="w+" if fresh else "r+", dtype=np.float16, shape=shape if fresh else None)
    if array.shape != shape:
        raise ValueError(f"{out} holds {array.shape}, expected {shape}: delete it and run again")
    done = int(done_file.read_text()) if done_file.exists() and not fresh else 0
    rows = [(v, i) for v in range(views) for i in range(len(photos))]
    rng = np.random.default_rng(seed + done)
    for start in track(range(done, len(rows), BATCH), description=out.name):
        batch = rows[start : start + BATCH]
        images = []
        for number, index in batch:
            photo = np.asarray(Image.open(photos[index]).convert("RGB"))
            images.append(squash(np.ascontiguousarray(view(photo, number, rng)), tower.size))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            patches = tower.encode(images).patches.to(torch.float16).numpy()
        for (number, index), row in zip(batch, patches, strict=True):
            array[number, index] = row
        done_file.write_text(str(start + len(batch)))
    array.flush()
    return array
