"""Tensors as fp16 bytes and back, many at once; and which tensor is stored already."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

#: The largest fp16 number: what is larger is stored as this, so that what comes back is finite.
_LARGEST: Final = 65504.0
#: Tensors of one camera that are known by identity: the newest, and those that were met again (an anchor, the still
#: motion token). A scene has one anchor at a time, so eight would do; each is some 2 KB.
_RECENT, _SHARED = 16, 64


def packed(vector: Tensor) -> bytes:
    """A (N,) tensor of any device and dtype as N little-endian fp16 numbers."""
    half = vector.detach().reshape(-1).float().clamp(-_LARGEST, _LARGEST).to("cpu", torch.float16)
    return half.numpy().astype("<f2", copy=False).tobytes()


def unpacked(blobs: Sequence[bytes]) -> list[Tensor]:
    """The float32 tensors (N,) of many blobs, each its own memory; lengths may differ."""
    return [torch.from_numpy(_numbers(blob)) for blob in blobs]


def stacked(blobs: Sequence[bytes]) -> Tensor:
    """The float32 tensor (n, N) of n blobs of one length."""
    return torch.from_numpy(_numbers(b"".join(blobs))).reshape(len(blobs), -1)


def _numbers(blob: bytes) -> npt.NDArray[np.float32]:
    numbers = np.frombuffer(blob, dtype="<f2").astype(np.float32)
    if not np.isfinite(numbers).all():  # only a damaged file has such: they must not spread
        numbers = np.nan_to_num(numbers, nan=0.0, posinf=_LARGEST, neginf=-_LARGEST)
    return numbers


class StoredVectors:
    """Which row of `vectors` holds a tensor object, for the tensors that one camera used lately."""

    def __init__(self) -> None:
        self._recent: OrderedDict[int, tuple[Tensor, int]] = OrderedDict()
        self._shared: OrderedDict[int, tuple[Tensor, int]] = OrderedDict()

    def find(self, vector: Tensor) -> int | None:
        """The row of this very object, or None."""
        key = id(vector)  # of a live object: the dictionaries hold it
        for known in (self._shared, self._recent):
            found = known.get(key)
            if found is not None:
                _put(self._shared, key, found, _SHARED)
                return found[1]
        return None

    def add(self, vector: Tensor, row: int) -> None:
        """Remember that a tensor is stored."""
        _put(self._recent, id(vector), (vector, row), _RECENT)

    def forget(self, rows: set[int]) -> None:
        """These rows are deleted."""
        for known in (self._shared, self._recent):
            for key in [key for key, (_, row) in known.items() if row in rows]:
                del known[key]


def _put(known: OrderedDict[int, tuple[Tensor, int]], key: int, item: tuple[Tensor, int], most: int) -> None:
    known[key] = item
    known.move_to_end(key)
    while len(known) > most:
        known.popitem(last=False)
