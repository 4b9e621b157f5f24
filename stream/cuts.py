"""Where the picture changes wholly: a new slide, another camera. Cheap enough to run beside anything else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from llama_vid.stream.frame import Frame

#: Pictures are compared as small grey ones: text on a slide still counts, noise and a moving hand hardly do.
_SIZE: Final = (48, 27)
#: A change is this large in the mean (of 0…1), and so many times what is usual in the film: films that move all the
#: time have no slides.
SMALLEST: Final = 0.02
TIMES_USUAL: Final = 5.0


def picture_changes(frames: Iterable[Frame]) -> list[float]:
    """The media seconds of the frames, in time order, that show something else than the frame before them."""
    seconds: list[float] = []
    changes: list[float] = []
    before: npt.NDArray[np.float32] | None = None
    for frame in frames:
        small = Image.fromarray(frame.image).convert("L").resize(_SIZE, Image.Resampling.BOX)
        grey = np.asarray(small, dtype=np.float32) / np.float32(255)
        if before is not None:
            seconds.append(frame.seconds)
            changes.append(float(np.abs(grey - before).mean()))
        before = grey
    usual = float(np.median(changes)) if changes else 0.0
    floor = max(SMALLEST, TIMES_USUAL * usual)
    return [second for second, change in zip(seconds, changes, strict=True) if change >= floor]
