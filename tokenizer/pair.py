"""The unit that flows out of `tokenizer/`: a frame as two tokens, with what was seen beside them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class TokenPair:
    """One frame in the language model's embedding space.

    `context` (D,) is the static scene, `motion` (D,) what changed since the state. `energy` in 0…1 is how much changed
    (0 still, 1 everything); `held` says that `context` is its scene's anchor unchanged; `cut` that a new scene begins
    here. Of a published LLaMA-VID checkpoint `motion` is the content token, and in an evidence block (n, D) where its
    content is more than one.
    """

    context: Tensor
    motion: Tensor
    energy: float
    held: bool
    cut: bool
