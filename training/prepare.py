"""Everything that is computed once before training: tower features, text states, ImageNet classes of all photos.

In the cache folder: `SET.npy` features (views, photos, P, C) and `SET-imagenet.npy` class probabilities of the sets
`flickr8k-train`, `flickr8k-dev` and `coco-unlabelled`; `flickr8k-text.npy` states of all captions in the order of their
file; `imagenet-text.npy` states of the class names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from llama_vid.errors import ConfigError
from llama_vid.tokenizer.tower import MINI_SIZE, ImageTower, mini_clip
from training.data.example import Summary
from training.data.spec import DatasetSpec, report
from training.features import cache_features
from training.flickr8k import Caption, CaptionedPhoto, data_folder, photos_in, photos_of, read_captions
from training.imagenet import cache_class_texts, cache_classes
from training.named import captioned_photos, check_data
from training.recipe import Prepare, Tower
from training.texts import TextStates, cache_texts
from training.towers import Embeddings, cache_concepts, check_cache, classify_own, embeddings_file, own_tower

TRAIN, DEV, UNLABELLED = "flickr8k-train", "flickr8k-dev", "coco-unlabelled"
FEWEST: Final = 5  # columns of captions that stage 0 draws from
TEXTS: Final = "flickr8k-text"


class Photographs:
    """The photos of all sets and all captions, as the data folder holds them.

    `data` are data sets whose captioned photos are trained on instead of Flickr8k's; their captions come last in
    `captions`, what they held and what was skipped is in `summaries`. Raises ConfigError.
    """

    def __init__(self, data: Sequence[DatasetSpec] = ()) -> None:
        folder = data_folder()
        self.named = bool(data)
        self.summaries: list[Summary] = []
        self.captions: list[Caption] = read_captions(folder / "flickr8k")
        self.dev: list[CaptionedPhoto] = photos_of(self.captions, "dev", folder / "flickr8k")
        self.unlabelled: list[Path] = photos_in(folder / "coco" / "unlabelled")
        self.train: list[CaptionedPhoto]
        if data:
            self.train, own = captioned_photos(data, folder, len(self.captions), self.summaries)
            self.captions += own
        else:
            self.train = photos_of(self.captions, "train", folder / "flickr8k")


def prepare(recipe: Prepare, photos: Photographs, tower: ImageTower | None = None) -> dict[str, object]:
    """Fill the cache; what is there is kept. Returns how many photos and captions it holds.

    A tower with a text side of its own needs no states of the captions; see `towers.py` for what it has instead.
    """
    cache = recipe.cache
    check_cache(cache, recipe.tower, write=True)
    check_data(cache, photos.train, named=photos.named, write=True)
    own = own_tower(recipe.tower) if isinstance(recipe.tower, Tower) else None
    tower = own or tower or locked_tower()
    sets = (
        (TRAIN, [photo.path for photo in photos.train], recipe.views),
        (DEV, [photo.path for photo in photos.dev], 1),
        (UNLABELLED, photos.unlabelled, 1),
    )
    for name, files, views in sets:
        out = cache / f"{name}.npy"
        if own is None:
            features = cache_features(tower, files, out, views=views, seed=recipe.seed)
            cache_classes(features[0], cache / f"{name}-imagenet.npy")
        else:
            kept = Embeddings(embeddings_file(cache, name), len(files), own.width)
            cache_features(own, files, out, views=views, seed=recipe.seed, also=kept.keep)
    if own is None:
        states = TextStates()
        cache_texts(states, [caption.text for caption in photos.captions], cache / f"{TEXTS}.npy")
        cache_class_texts(states, cache / "imagenet-text.npy")
    else:
        cache_concepts(own, cache)
        classify_own(own, cache, [name for name, _, _ in sets])
    return {
        "photos": {name: len(files) for name, files, _ in sets},
        "captions": len(photos.captions),
        "cache": str(cache),
        **(report(photos.summaries) if photos.summaries else {}),
    }


def locked_tower() -> ImageTower:
    """The `mini` tower before any head is trained: its patch features are what counts. Raises BundleError."""
    half = (0.5, 0.5, 0.5)
    return ImageTower(mini_clip(text=False), None, size=MINI_SIZE, mean=half, std=half)


def text_states(cache: Path, photos: list[CaptionedPhoto]) -> Tensor:
    """States (N, captions, 384) of the photos' captions; a photo with fewer captions than others repeats its own."""
    rows = np.load(require(cache / f"{TEXTS}.npy"), mmap_mode="r")
    most = max(FEWEST, *(len(photo.captions) for photo in photos))
    index = [[photo.captions[i % len(photo.captions)].row for i in range(most)] for photo in photos]
    return torch.from_numpy(np.array(rows[np.array(index)]))


def require(path: Path) -> Path:
    """The path of a cached or trained file. Raises ConfigError if it is missing or unfinished."""
    done = path.with_suffix(".done")
    if not path.is_file():
        raise ConfigError(f"{path} is not there yet; run the stages before this one, or all: llama-vid train all")
    if path.suffix == ".npy" and done.is_file():
        shape = np.load(path, mmap_mode="r").shape
        rows = shape[0] * shape[1] if len(shape) == 4 else shape[0]
        if int(done.read_text()) < rows:
            raise ConfigError(
                f"{path} is not finished ({done.read_text()} of {rows} rows); run: llama-vid train prepare"
            )
    return path
