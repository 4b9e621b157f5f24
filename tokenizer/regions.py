"""Regions of a frame: the image head on parts of the patch map, for things that are small in the picture.

A person across the street covers a ninth of a frame, and the whole frame's embedding says "street". The head pools
patches wherever they lie (in training it never saw all of them), so that it embeds a block of the map just as well: the
9×9 patches of `mini` give nine blocks of 3×3, each with its patches' own positions. Regions help words ("a person", "a
car"); a sentence about the whole picture is found better by the whole frame's embedding. Nothing of them is stored:
they are computed where patch features are at hand.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.tokenizer.head import ImageHeads
from llama_vid.tokenizer.tower import ImageTower

ACROSS: Final = 3  # regions across and down


def blocks(patches: int, across: int = ACROSS) -> Tensor | None:
    """The patch numbers (across², n) of the regions of a square map, row by row; None if it does not divide evenly."""
    side = math.isqrt(patches)
    if side * side != patches or side % across or side == across:
        return None
    numbers = torch.arange(patches).view(across, side // across, across, side // across)
    return numbers.transpose(1, 2).reshape(across * across, -1)


def region_embeddings(tower: ImageTower, patches: Tensor) -> Tensor | None:
    """Unit-length embeddings (B, R, E) of the regions of frames with patch features (B, P, C), on the CPU.

    None for a tower without our pooling heads, or whose map does not divide into regions.
    """
    heads = getattr(getattr(tower.clip, "visual", None), "head", None)
    places = blocks(patches.shape[1])
    if not isinstance(heads, ImageHeads) or places is None:
        return None
    count = len(places)
    found = _pooled(heads, patches, places)
    return found.view(len(patches), count, -1)


def chosen_region(tower: ImageTower, patches: Tensor, places: Tensor) -> Tensor | None:
    """The unit-length embeddings (B, E), on the CPU, of one region of frames (B, P, C): the patches numbered `places`
    (n,). None for a tower without our pooling heads.
    """
    heads = getattr(getattr(tower.clip, "visual", None), "head", None)
    return _pooled(heads, patches, places[None]) if isinstance(heads, ImageHeads) else None


def _pooled(heads: ImageHeads, patches: Tensor, places: Tensor) -> Tensor:
    """The embeddings (B · R, E) of regions, each the patches of a row of `places` (R, n)."""
    places = places.to(patches.device)
    parts = patches[:, places].reshape(-1, places.shape[1], patches.shape[2])
    keep = places.repeat(len(patches), 1)
    with torch.inference_mode():
        joined = torch.cat([member(parts, keep) for member in heads.members], -1)
        return F.normalize(joined.float(), dim=-1).cpu()
