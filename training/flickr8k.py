"""The training photos: Flickr8k with five captions each, and photos without captions.

Flickr8k: Hodosh, Young, Hockenmaier 2013, https://doi.org/10.1613/jair.3994 (non-commercial research use). The data lie
in the folder that LLAMA_VID_DATA names, else in `../shared/data` beside the checkout.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llama_vid.errors import ConfigError

COLUMNS: Final = ("image", "split", "caption_no", "caption")


@dataclass(frozen=True, slots=True)
class Caption:
    """One line of `captions.tsv`; `row` counts captions from 0 in the order of the file."""

    row: int
    image: str
    split: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class CaptionedPhoto:
    """A photo with its captions in the order of their numbers."""

    path: Path
    captions: tuple[Caption, ...]

    @property
    def texts(self) -> list[str]:
        """The captions' texts."""
        return [caption.text for caption in self.captions]


def data_folder() -> Path:
    """The folder of all data sets. Raises ConfigError if it is not there."""
    named = os.environ.get("LLAMA_VID_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        raise ConfigError(
            f"training data not found: {folder} is not a folder; set LLAMA_VID_DATA to the one that holds flickr8k/ "
            "and coco/ (docs/training.md says where to get them)"
        )
    return folder


def read_captions(folder: Path) -> list[Caption]:
    """All captions of `folder/captions.tsv`, whatever their split. Raises ConfigError with the file and line."""
    source = folder / "captions.tsv"
    found: list[Caption] = []
    try:
        with source.open(encoding="utf-8", newline="") as file:
            # Captions hold single quotation marks, so the file is read without quoting.
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise ConfigError(
                    f"{source}:1: the column {missing[0]!r} is missing; the columns are {', '.join(COLUMNS)}"
                )
            for line, row in enumerate(reader, 2):
                number, text = row["caption_no"] or "", (row["caption"] or "").strip()
                if not row["image"] or not text or not number.isdigit():
                    raise ConfigError(f"{source}:{line}: needs an image, a caption number and a caption; mend it")
                found.append(Caption(len(found), row["image"], row["split"] or "none", int(number), text))
    except OSError as problem:
        raise ConfigError(f"{source} cannot be read ({problem.strerror}); LLAMA_VID_DATA must hold flickr8k/") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{source} is not UTF-8 text; fetch it again") from None
    if not found:
        raise ConfigError(f"{source} holds no captions; fetch it again")
    return found


def photos_of(captions: list[Caption], split: str, folder: Path) -> list[CaptionedPhoto]:
    """The photos of a split in the order of their names. Raises ConfigError if one is missing."""
    by_image: dict[str, list[Caption]] = {}
    for caption in captions:
        if caption.split == split:
            by_image.setdefault(caption.image, []).append(caption)
    if not by_image:
        raise ConfigError(f"{folder / 'captions.tsv'} has no photos of the split {split!r}")
    photos = []
    for image, own in sorted(by_image.items()):
        path = folder / "photos" / image
        if not path.is_file():
            raise ConfigError(f"the photo {path} of captions.tsv is missing; fetch the data set again")
        photos.append(CaptionedPhoto(path, tuple(sorted(own, key=lambda caption: caption.number))))
    return photos


def photos_in(folder: Path) -> list[Path]:
    """The JPEG photos of a folder in the order of their names. Raises ConfigError if there are none."""
    photos = sorted(folder.glob("*.jpg")) if folder.is_dir() else []
    if not photos:
        raise ConfigError(f"{folder} holds no photos (*.jpg); LLAMA_VID_DATA must hold coco/unlabelled/")
    return photos
