"""Text on slides: RapidOCR (PP-OCR models, which ship in its package), an extra: pip install "llama-vid-live[ocr]"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from llama_vid.errors import BundleError

#: Lines that are read less surely are patterns, not text.
SUREST: Final = 0.8


@dataclass(frozen=True, slots=True)
class SlideLine:
    """A line of text; `top`, `left` and `height` are parts of the picture's height and width (0…1)."""

    text: str
    top: float
    left: float
    height: float


class SlideReader:
    """Reads the text of a picture; half a second for a slide, so only where the picture has changed."""

    def __init__(self, engine: Any) -> None:
        """Use `load`."""
        self._engine = engine

    @classmethod
    def load(cls, threads: int = 1) -> Self:
        """Raises BundleError where the extra is not installed."""
        try:
            from rapidocr import RapidOCR
        except ImportError as missing:
            raise BundleError(
                f'reading slides needs RapidOCR ({missing}); run: pip install "llama-vid-live[ocr]"'
            ) from None
        engine = "EngineConfig.onnxruntime"
        return cls(
            RapidOCR(
                params={
                    "Global.log_level": "error",
                    f"{engine}.intra_op_num_threads": threads,
                    f"{engine}.inter_op_num_threads": 1,
                }
            )
        )

    def read(self, image: npt.NDArray[np.uint8]) -> tuple[SlideLine, ...]:
        """The lines of an RGB picture (H, W, 3), from the top down."""
        found = self._engine(np.ascontiguousarray(image[:, :, ::-1]))
        if found.txts is None:
            return ()
        high, wide = image.shape[:2]
        lines = []
        for text, score, box in zip(found.txts, found.scores, found.boxes, strict=True):
            corners = np.asarray(box, dtype=float)
            top, left = float(corners[:, 1].min()), float(corners[:, 0].min())
            if score >= SUREST and text.strip():
                height = float(corners[:, 1].max()) - top
                lines.append(SlideLine(" ".join(text.split()), top / high, left / wide, height / high))
        return tuple(sorted(lines, key=lambda line: (round(line.top, 2), line.left)))


def slide_title(lines: Sequence[SlideLine]) -> str | None:
    """The title of a slide: the largest line of its upper half, the uppermost if several are; None without one."""
    upper = [line for line in lines if line.top < 0.5 and len(line.text) > 2]
    tallest = max((line.height for line in upper), default=0.0)
    return next((line.text for line in upper if line.height > 0.85 * tallest), None)
