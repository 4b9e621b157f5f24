"""Flickr8k as a folder: `captions.tsv` (image, split, caption_no, caption) and the pictures in `photos/`.

Source: Hodosh, Young, Hockenmaier 2013, https://doi.org/10.1613/jair.3994; non-commercial research use.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from evaluation.model import Photo
from llama_vid.errors import ConfigError, SourceError


@dataclass(frozen=True, slots=True)
class CaptionedPhoto:
    """A photo's file and its captions (five in Flickr8k)."""

    path: Path
    captions: tuple[str, ...]


def read_split(folder: Path, split: str) -> list[CaptionedPhoto]:
    """The photos of one split (train, dev, test), in the order of the file. Raises ConfigError."""
    source = folder / "captions.tsv"
    found: dict[str, list[str]] = {}
    try:
        with source.open(encoding="utf-8", newline="") as file:
            # Captions hold single quotation marks, so the file is read without quoting.
            for number, row in enumerate(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 2):
                if not row.get("image") or row.get("caption") is None:
                    raise ConfigError(f"{source}:{number}: needs the columns image, split, caption_no and caption")
                if row.get("split") == split:
                    found.setdefault(row["image"], []).append(row["caption"])
    except OSError as problem:
        raise ConfigError(
            f"{source} cannot be read ({problem.strerror}); give the folder that holds captions.tsv"
        ) from None
    if not found:
        raise ConfigError(f"{source} has no photos of the split {split!r}")
    return [CaptionedPhoto(folder / "photos" / name, tuple(captions)) for name, captions in found.items()]


def load_photo(path: Path) -> Photo:
    """A photo as RGB (height, width, 3) uint8. Raises SourceError."""
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"), dtype=np.uint8)
    except (OSError, UnidentifiedImageError):
        raise SourceError(f"the photo {path} is missing or damaged; restore it") from None


def batches(
    photos: Sequence[CaptionedPhoto], size: int, tick: Callable[[], None] = lambda: None
) -> Iterator[list[Photo]]:
    """The photos' pictures, `size` at a time; `tick` is called when a batch was worked on."""
    for start in range(0, len(photos), size):
        yield [load_photo(photo.path) for photo in photos[start : start + size]]
        tick()
