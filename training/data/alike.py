"""Photos that look alike: fingerprints of brightness steps, compared by how many differ.

A photo is scaled to 17×16 grey pixels; each of the 256 bits says whether a pixel is darker than its right neighbour.
Scaling and compressing again change few bits, another photo about half.

Source: the difference hash, http://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html, with 16
rows for 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from llama_vid.errors import SourceError

SIDE: Final = 16
#: Bits in which copies of a photo differ at most; the nearest two that are not copies differ in 41.
ALIKE: Final = 24


def fingerprints(files: Sequence[Path]) -> npt.NDArray[np.uint8]:
    """Fingerprints (N, 32) of photos, 8 bits a byte. Raises SourceError for a photo that cannot be read."""
    rows = []
    for file in files:
        try:
            with Image.open(file) as image:
                image.draft("L", (4 * SIDE, 4 * SIDE))
                small = np.asarray(image.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX), dtype=np.int16)
        except (OSError, UnidentifiedImageError):
            raise SourceError(f"the photo {file} is missing or damaged; restore it") from None
        rows.append(np.packbits(small[:, :-1] < small[:, 1:]))
    return np.array(rows, dtype=np.uint8).reshape(len(rows), SIDE * SIDE // 8)


def alike(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], most: int = ALIKE) -> list[tuple[int, int, int]]:
    """Pairs of fingerprints (row of `one`, row of `other`) that differ in at most `most` bits, and in how many."""
    found = []
    for row, bits in enumerate(one):
        apart = np.bitwise_count(other ^ bits).sum(1, dtype=np.int64)
        found += [(row, int(column), int(apart[column])) for column in np.flatnonzero(apart <= most)]
    return found
