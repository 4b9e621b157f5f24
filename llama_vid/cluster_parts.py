"""Which parts of a model each part of a cluster loads: the tower alone, what a camera's worker needs, what answers.

A worker and the language model's host have a `DistantTower`: pixels are made and compared here, but the network that
reads them is the pool's. A worker has no language model: text is embedded (for alert rules) and tokens are made, both
small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from llama_vid.bundle import Bundle, find_bundle, load_bundle, load_compressor, load_scoring
from llama_vid.cluster_wire import Features, Pixels
from llama_vid.errors import ConfigError
from llama_vid.llm.language import LanguageModel, chosen_dtype
from llama_vid.memory.budget import Budget
from llama_vid.published_config import is_published
from llama_vid.tokenizer.tower import Encoded, ImageTower

#: Encodes pixels (B, 3, S, S) somewhere else, and waits for it.
DistantEncode = Callable[[Pixels], Features]
#: Frames a forward, as in one process (`recorder.BATCH`).
BATCH: Final = 8


class Parts(Protocol):
    """Loads what each process needs. Travels to it pickled; every method is called in the process that needs it."""

    def tower(self) -> ImageTower:
        """The whole tower, for the pool."""

    def eyes(self, encode: DistantEncode, budget: Budget) -> Bundle:
        """What a worker's recorder needs; its language model is absent."""

    def whole(self, encode: DistantEncode) -> Bundle:
        """What answers: everything but the tower's network."""


@dataclass(frozen=True, slots=True)
class BundleParts:
    """A bundle's parts, by its name or folder. Raises BundleError as `load_bundle` does."""

    name: str = "mini"
    device: str = "auto"
    dtype: str = "auto"

    def tower(self) -> ImageTower:
        found = load_scoring(find_bundle(self.name)).tower
        where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device)
        found.trunk_bfloat16 = chosen_dtype(self.dtype, where) is torch.bfloat16
        return found.to(where)

    def eyes(self, encode: DistantEncode, budget: Budget) -> Bundle:
        folder = find_bundle(self.name)
        scoring = load_scoring(folder)
        tower = DistantTower(scoring.tower, encode)
        scorer = type(scoring.scorer)(tower, scoring.scorer.background)
        return WorkerBundle(
            folder.name, tower, load_compressor(folder), absent_language(), scorer, scoring.calibration, str(folder),
            shared=budget,
        )  # fmt: skip

    def whole(self, encode: DistantEncode) -> Bundle:
        found = load_bundle(self.name, device=self.device, dtype=self.dtype)
        tower = DistantTower(found.tower, encode)
        return replace(found, tower=tower, scorer=type(found.scorer)(tower, found.scorer.background))


def bundle_parts(name: str, device: str, dtype: str) -> BundleParts:
    """The parts of the configured model. Raises ConfigError for a published checkpoint, BundleError for none."""
    if is_published(find_bundle(name)):
        raise ConfigError(
            "a published LLaMA-VID checkpoint reads each frame with the question in mind, which a cluster's tower pool "
            "cannot; use a bundle there, or: llama-vid serve"
        )
    return BundleParts(name, device, dtype)


@dataclass(frozen=True, slots=True)
class WorkerBundle(Bundle):
    """A bundle without a language model; how much memory that one can read, its host has said."""

    shared: Budget | None = None

    def budget(self, context_tokens: int | None = None) -> Budget:
        """The budget that the language model's host has told."""
        assert self.shared is not None
        return self.shared


class _Absent:
    """A language model that is elsewhere."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a camera's worker has no language model ({name} was asked for)")


def absent_language() -> LanguageModel:
    """Stands for the language model in a process that must not load one."""
    return cast(LanguageModel, _Absent())


class DistantTower(ImageTower):
    """A tower whose image network runs elsewhere; its text side, its heads and its preprocessing are here."""

    def __init__(self, tower: ImageTower, encode: DistantEncode) -> None:
        """Takes the parts of `tower`, which is of no use afterwards: the network's weights are let go."""
        nn.Module.__init__(self)
        self.clip = tower.clip
        self.size, self.patches, self.channels, self.width = tower.size, tower.patches, tower.channels, tower.width
        self.people, self._tokenize = tower.people, tower._tokenize
        self._bfloat16, self._engine, self._classes, self._classes_known = False, None, None, False
        for name in ("mean", "std"):
            self.register_buffer(name, tower.get_buffer(name), persistent=False)
        self._encode_there = encode
        visual: Any = self.clip.visual
        if hasattr(visual, "trunk"):
            visual.trunk = nn.Identity()  # the head beside it embeds regions
        else:
            cast(Any, self.clip).visual = nn.Identity()
        tower._engine = None

    def encode_pixels(self, pixels: Tensor) -> Encoded:
        """As a tower does, through the pool."""
        return self.joined(pixels, self._encode_there(pixels.cpu().numpy()))

    def joined(self, pixels: Tensor, features: Features) -> Encoded:
        """Features that came back, with what is computed here of the pixels (B, 3, S, S)."""
        return Encoded(_tensor(features.patches).to(self.device), _tensor(features.embedding).to(self.device),
                       self.luma(pixels.to(self.device)))  # fmt: skip


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array)).float()  # what Ray hands over cannot be written to


def encoded_features(tower: ImageTower, pixels: Pixels) -> Features:
    """What a tower sees in (B, 3, S, S) uint8 pixels, ready to travel; BATCH frames a forward."""
    patches, embeddings = [], []
    with torch.inference_mode():
        for at in range(0, len(pixels), BATCH):
            found = tower.encode_pixels(torch.from_numpy(np.array(pixels[at : at + BATCH])))
            patches.append(found.patches.half().cpu().numpy())
            embeddings.append(found.embedding.half().cpu().numpy())
    return Features(np.concatenate(patches), np.concatenate(embeddings))
