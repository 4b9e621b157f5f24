"""Cached features of several photo sets behind one numbering."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class FeatureSets:
    """Arrays `(views, photos, P, C)` of several photo sets behind one index: (photo, view) to (P, C)."""

    def __init__(self, arrays: Sequence[npt.NDArray[np.float16]]) -> None:
        self.arrays = arrays
        self.offsets = np.cumsum([0, *(a.shape[1] for a in arrays)])

    def get(self, shots: Sequence[tuple[int, int]]) -> Tensor:
        """Features (B, P, C) float16 of (photo, view) pairs."""
        out = torch.empty(len(shots), *self.arrays[0].shape[2:], dtype=torch.float16)
        for row, (photo, view) in enumerate(shots):
            which = int(np.searchsorted(self.offsets, photo, side="right")) - 1
            # A copy: torch warns of read-only memory maps.
            out[row] = torch.from_numpy(np.array(self.arrays[which][view, photo - int(self.offsets[which])]))
        return out
