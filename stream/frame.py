"""The unit that flows out of `stream/`: one sampled picture with its media time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Frame:
    """One sampled picture.

    `seconds` is media time: from 0 for files, UTC epoch seconds for live cameras (DESIGN section 5, "One clock").
    `image` is RGB, (height, width, 3) uint8, upright (rotation metadata already applied) and not to be written to.
    `gap` says that time is missing before this frame (a reconnect or a jump), so that nothing carries over it.
    """

    seconds: float
    image: npt.NDArray[np.uint8]
    gap: bool = False
