"""The photos of data sets that a recipe names: any format of `training/data/` that has photos with captions."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from llama_vid.errors import ConfigError
from training.data.example import Summary
from training.data.spec import DatasetSpec, opened_specs
from training.flickr8k import Caption, CaptionedPhoto

DATA_FILE: Final = "data.json"


def captioned_photos(
    specs: Sequence[DatasetSpec], folder: Path, first_row: int, summaries: list[Summary] | None = None
) -> tuple[list[CaptionedPhoto], list[Caption]]:
    """The photos with their captions, and these captions, whose rows count on from `first_row`.

    Photos of one data set come in its order, those that are held out for evaluation left out; videos and photos without
    captions are left out too, and counted on stderr. What each data set held and what was skipped
    is added to `summaries`. Raises ConfigError if nothing is left.
    """
    photos, captions, left = list[CaptionedPhoto](), list[Caption](), 0
    for data in opened_specs(specs, folder):
        if summaries is not None:
            summaries.append(data.summary)
        for example in data:
            if example.kind != "image" or example.media is None or not example.captions:
                left += 1
                continue
            own = tuple(
                Caption(first_row + len(captions) + number, example.name, "train", number, text)
                for number, text in enumerate(example.captions)
            )
            captions += own
            photos.append(CaptionedPhoto(example.media, own))
    if left:
        print(f"data: {left} records are no photos with captions and were left out", file=sys.stderr, flush=True)
    if not photos:
        raise ConfigError("the recipe's data sets hold no photos with captions; `tokens` are learned from those first")
    return photos, captions


def check_data(cache: Path, photos: Sequence[CaptionedPhoto], *, named: bool, write: bool = False) -> None:
    """That a cache folder holds features of these training photos. `write` notes them there if none are yet.

    Nothing is noted for the photos that come without being named. Raises ConfigError for another list.
    """
    file = cache / DATA_FILE
    told = "flickr8k"
    if named:
        digest = hashlib.sha256()
        for photo in photos:
            digest.update(json.dumps([photo.path.name, photo.texts]).encode())
        told = digest.hexdigest()
    if file.is_file():
        found = json.loads(file.read_text("utf-8"))
    elif named and write and not any(cache.glob("*.npy")):
        cache.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(told), "utf-8")
        return
    else:
        found = "flickr8k"
    if found != told:
        raise ConfigError(f"{cache} holds features of other training photos; give the recipe a `cache` of its own")
