"""Cached tower features of training photos: computed once, memory-mapped afterwards.

One array per set of photos, `(views, photos, P, C)` float16. View 0 is the photo as it is (squashed to the tower's
square), view 1 its mirror image, further views random crops of 70–100 % of the area, every second one mirrored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError

from llama_vid.errors import SourceError
from llama_vid.tokenizer.tower import Encoded, ImageTower, squash
from training.rowcache import filled

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


def load_photo(path: Path) -> npt.NDArray[np.uint8]:
    """A photo as RGB (H, W, 3). Raises SourceError."""
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"), dtype=np.uint8)
    except (OSError, UnidentifiedImageError):
        raise SourceError(f"the photo {path} is missing or damaged; restore it") from None


def cache_features(
    tower: ImageTower,
    photos: Sequence[Path],
    out: Path,
    *,
    views: int,
    seed: int = 0,
    also: Callable[[int, Encoded], None] | None = None,
) -> npt.NDArray[np.float16]:
    """The features of `photos`, computed where `out` lacks them; a memory map `(views, photos, P, C)`.

    Each row's crop is drawn from its own seed, so that an interrupted run gives what an uninterrupted one does. `also`
    is called with the first row of each batch and what the tower saw in it.
    """

    def rows(start: int, stop: int) -> npt.NDArray[np.float16]:
        images = []
        for row in range(start, stop):
            number, index = divmod(row, len(photos))
            shown = view(load_photo(photos[index]), number, np.random.default_rng([seed, row]))
            images.append(squash(np.ascontiguousarray(shown), tower.size))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            seen = tower.encode(images)
        if also is not None:
            also(start, seen)
        encoded: npt.NDArray[np.float16] = seen.patches.to(torch.float16).numpy()
        return encoded

    shape = (views, len(photos), tower.patches, tower.channels)
    return filled(out, shape, np.float16, rows, batch=BATCH, leading=2)
