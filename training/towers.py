"""The frozen parts that a recipe trains for: the image tower, the language model, and what a tower says of photos.

A tower with a text side of its own (any of open_clip) needs no image-text head: its own embeddings score concepts, are
the compressor's guides and the bundle's background. In the cache folder, beside the features:

    tower.json             which tower the features are of
    SET-embeddings.npy     unit-length image embeddings (photos, E) of the photos as they are
    concepts.npy           unit-length text embeddings (concepts, E)
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from llama_vid.errors import BundleError, ConfigError
from llama_vid.llm.language import SMOLLM2, LanguageModel, chosen_dtype
from llama_vid.needs import LanguageNeed, TowerNeed, free_bytes, language_bytes, refuse_if_too_large
from llama_vid.tokenizer.open_clip_tower import open_clip_tower
from llama_vid.tokenizer.parts import Part, sha256_of
from llama_vid.tokenizer.tower import Encoded, ImageTower
from training.imagenet import TEMPLATES, class_names
from training.recipe import MINI, Language, Stage, Tower
from training.texts import concept_texts

CONCEPTS_FILE: Final = "concepts.npy"
TOWER_FILE: Final = "tower.json"
BATCH: Final = 100  # texts at once


def own_tower(tower: Tower) -> ImageTower:
    """The open_clip tower of a recipe. Raises ConfigError for weights that are not here, BundleError for wrong ones."""
    return open_clip_tower(tower.name, weights_of(tower))


def weights_of(tower: Tower) -> Path:
    """The tower's weights file. Raises ConfigError if it is not here."""
    if not tower.weights.is_file():
        where = f"; it is to be had from: {tower.get}" if tower.get else ""
        raise ConfigError(f"the weights of {tower.name}, {tower.weights}, are not here{where}")
    return tower.weights


def language_source(language: str | Language) -> Path | Part:
    """What `LanguageModel.load` takes. Raises ConfigError if the recipe's folder is not here."""
    if not isinstance(language, Language):
        return SMOLLM2
    if not (language.folder / "config.json").is_file():
        where = f"; it is to be had from: {language.get}" if language.get else ""
        raise ConfigError(f"the language model's folder {language.folder} is not here or holds no config.json{where}")
    return language.folder


def load_language(language: str | Language) -> LanguageModel:
    """The recipe's language model. Raises ConfigError if it is not here, BundleError if memory does not hold it."""
    source = language_source(language)
    if isinstance(source, Path):
        needed = language_bytes(source, chosen_dtype("auto", torch.device("cpu")).itemsize)
        refuse_if_too_large(f"the language model {source.name}", needed, free_bytes())
    return LanguageModel.load(source, device="cpu")


def needs_of(recipe: Stage) -> dict[str, Any]:
    """What the manifest of a recipe's bundle says that it needs; nothing for the parts of `mini`."""
    needs: dict[str, Any] = {}
    if isinstance(recipe.tower, Tower):
        tower = recipe.tower
        digest = sha256_of(weights_of(tower))
        needs["tower"] = TowerNeed(tower.name, str(tower.weights), digest, tower.get).to_json()
    if isinstance(recipe.language, Language):
        language_source(recipe.language)
        needs["language"] = LanguageNeed.made(recipe.language.folder, recipe.language.get).to_json()
    return needs


def check_cache(cache: Path, tower: str | Tower, *, write: bool = False) -> None:
    """That the features in a cache folder are this tower's. `write` puts the tower's name there if none is yet.

    Raises ConfigError for another one's.
    """
    file = cache / TOWER_FILE
    told = {"name": tower.name, "sha256": sha256_of(weights_of(tower))} if isinstance(tower, Tower) else {"name": MINI}
    found = json.loads(file.read_text("utf-8")) if file.is_file() else {"name": MINI}
    if file.is_file() or not write:
        if found != told:
            raise ConfigError(
                f"{cache} holds features of the tower {found.get('name')}, the recipe names {told['name']}"
                f"{' with other weights' if found.get('name') == told['name'] else ''}; give the recipe a `cache` of "
                "its own"
            )
    elif told != found:
        if any(cache.glob("*.npy")):
            raise ConfigError(f"{cache} holds features of the tower {MINI}; give the recipe a `cache` of its own")
        cache.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(told), "utf-8")


class Embeddings:
    """Image embeddings that are written while features are computed; an interrupted file goes on."""

    def __init__(self, path: Path, photos: int, width: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._photos = photos
        if path.exists() and np.load(path, mmap_mode="r").shape == (photos, width):
            self._rows = np.lib.format.open_memmap(path, mode="r+")
        else:
            self._rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(photos, width))

    def keep(self, first: int, seen: Encoded) -> None:
        """Take the embeddings of rows from `first` on, of photos as they are (view 0) alone."""
        rows = seen.embedding[: max(0, self._photos - first)].to(torch.float16).cpu().numpy()
        self._rows[first : first + len(rows)] = rows
        self._rows.flush()


def embeddings_file(cache: Path, name: str) -> Path:
    """Where a set's image embeddings lie."""
    return cache / f"{name}-embeddings.npy"


def cache_concepts(tower: ImageTower, cache: Path) -> None:
    """The concepts' text embeddings, the mean over their prompts."""
    out = cache / CONCEPTS_FILE
    if out.is_file():
        return
    np.save(out, concept_texts(partial(_texts, tower)).numpy())


def classify_own(tower: ImageTower, cache: Path, sets: list[str]) -> None:
    """ImageNet class probabilities (photos, 1000) of sets by their embeddings: the tower's own zero-shot classifier.

    Source: Radford et al. 2021, CLIP, https://arxiv.org/abs/2103.00020, section 3.1.
    """
    missing = [name for name in sets if not (cache / f"{name}-imagenet.npy").is_file()]
    if not missing:
        return
    clip: Any = tower.clip
    classes = _texts(tower, [TEMPLATES[0].format(name) for name in class_names()])
    scale = float(clip.logit_scale.exp()) if hasattr(clip, "logit_scale") else 100.0
    for name in missing:
        seen = torch.from_numpy(np.load(embeddings_file(cache, name)).astype(np.float32))
        np.save(cache / f"{name}-imagenet.npy", (scale * seen @ classes.T).softmax(-1).numpy())


def _texts(tower: ImageTower, texts: list[str]) -> torch.Tensor:
    with torch.inference_mode():
        try:
            return torch.cat([tower.encode_text(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]).cpu()
        except (RuntimeError, AttributeError) as problem:
            raise BundleError(
                f"the tower's text side does not work ({problem}); take another open_clip model"
            ) from None
