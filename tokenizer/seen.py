"""All that was computed of one frame as it entered memory, for whoever watches along (alert rules)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from llama_vid.tokenizer.pair import TokenPair


@dataclass(frozen=True, slots=True)
class Seen:
    """A remembered frame, on the one clock: [seconds, end) is what it stands for.

    `embedding` (E,) is its unit-length image embedding in 16 bits, `patches` (P, C) its patch features, None where the
    frame was still and nothing new was computed (`embedding` then repeats the last one's). `gap` says that time is
    missing before it. The tensors are the recorder's: read them, keep `patches` no longer than the call.
    """

    seconds: float
    end: float
    embedding: Tensor
    patches: Tensor | None
    pair: TokenPair
    gap: bool = False
