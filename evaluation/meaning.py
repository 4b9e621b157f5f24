"""How alike two sentences are in meaning: the cosine of MiniLM's own sentence states, untouched by our training.

Source: Reimers and Gurevych 2019, Sentence-BERT; the model is all-MiniLM-L6-v2, the pinned text tower of `mini`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


class Meaning:
    """Sentences to unit-length vectors; each text is encoded once. Raises BundleError if MiniLM is not installed.

    `encode` stands in for MiniLM in tests: texts to rows of any length.
    """

    def __init__(self, encode: Callable[[Sequence[str]], Vectors] | None = None) -> None:
        self._encode = encode or _minilm()
        self._known: dict[str, Vectors] = {}

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Unit-length rows (N, D) of texts."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            rows = self._encode(new)
            rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
            self._known.update(zip(new, rows, strict=True))
        return np.stack([self._known[text] for text in texts])

    def alike(self, one: str, other: str) -> float:
        """The cosine of two texts, in -1…1."""
        a, b = self.vectors([one, other])
        return float(a @ b)


def _minilm() -> Callable[[Sequence[str]], Vectors]:
    from training.texts import TextStates

    states = TextStates()

    def encode(texts: Sequence[str]) -> Vectors:
        rows: Vectors = states(texts).numpy()
        return rows

    return encode
