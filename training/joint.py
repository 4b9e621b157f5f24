"""The space that pictures and texts share: the trained image-text head's, or that of a tower with a text side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.tokenizer.compressor import CompressorConfig
from training.members import Members
from training.prepare import require
from training.recipe import Align, Export, Labels, Tower
from training.texts import TextStates, concept_texts
from training.towers import CONCEPTS_FILE, check_cache, embeddings_file


@dataclass(frozen=True, slots=True)
class JointSpace:
    """Photos and texts by unit-length embeddings. `members` is None where the tower has a text side of its own.

    `guide` is the width of the compressor's guide: the leading dimensions of a text's embedding.
    """

    cache: Path
    members: Members | None
    guide: int

    @classmethod
    def of(cls, recipe: Labels | Align | Export) -> JointSpace:
        """The space of a recipe's tower. Raises ConfigError for what is missing or of another tower."""
        check_cache(recipe.cache, recipe.tower)
        if isinstance(recipe.tower, Tower):
            width = np.load(require(recipe.cache / CONCEPTS_FILE), mmap_mode="r").shape[1]
            return cls(recipe.cache, None, int(width))
        members = Members.load([recipe.out / f"head-{seed}.pt" for seed in recipe.seeds])
        return cls(recipe.cache, members, CompressorConfig().guide)

    def concepts(self) -> Tensor:
        """The concepts' text embeddings (concepts, E)."""
        if self.members is not None:
            members, states = self.members, TextStates()
            return concept_texts(lambda texts: members.texts(states(texts)))
        return torch.from_numpy(np.load(self.cache / CONCEPTS_FILE))

    def guides(self) -> Tensor:
        """The concepts as guides (concepts, G)."""
        return F.normalize(self.concepts()[:, : self.guide], dim=-1)

    def photos(self, name: str, rows: npt.NDArray[np.intp] | None = None) -> Tensor:
        """Image embeddings (N, E) of a set's photos as they are, or of some `rows` of it."""
        if self.members is None:
            kept = np.load(require(embeddings_file(self.cache, name)), mmap_mode="r")
            found = torch.from_numpy(np.array(kept if rows is None else kept[rows])).float()
            return F.normalize(found, dim=-1)
        features = np.load(require(self.cache / f"{name}.npy"), mmap_mode="r")[0]
        return self.members.images(features if rows is None else features[rows])
