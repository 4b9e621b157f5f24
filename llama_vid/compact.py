"""Weights at one byte each: int8 rows with a float32 scale per row, for the parts of a bundle that bear it.

A row's largest weight maps to 127; the rounding error is at most 0.4 % of it, far below what the head's own seeds
differ by. Small tensors and vectors stay as they are. Source: Jacob et al. 2018 (symmetric, per-channel),
https://arxiv.org/abs/1712.05877.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from llama_vid.errors import BundleError

SMALLEST: Final = 1 << 14  # elements: below that a tensor is not worth compacting
ROWS, SCALE = ".int8", ".scale"


def compacted(tensors: Mapping[str, Tensor], *, smallest: int = SMALLEST) -> dict[str, Tensor]:
    """Matrices of at least `smallest` elements as `name.int8` and `name.scale`, everything else in float16."""
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.dim() < 2 or tensor.numel() < smallest:
            out[name] = tensor.to(torch.float16).contiguous()
            continue
        scale = tensor.float().abs().amax(-1, keepdim=True).clamp(min=1e-8) / 127
        out[name + ROWS] = (tensor.float() / scale).round().clamp(-127, 127).to(torch.int8).contiguous()
        out[name + SCALE] = scale.contiguous()
    return out


def expanded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The float32 tensors that were compacted. Raises BundleError if a scale is missing."""
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(ROWS):
            stem = name.removesuffix(ROWS)
            if stem + SCALE not in tensors:
                raise BundleError(f"the weights {stem!r} lack their scale; install the bundle again")
            out[stem] = tensor.float() * tensors[stem + SCALE].float()
        elif not name.endswith(SCALE):
            out[name] = tensor.float()
    return out


def thin_deltas(lora: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """LoRA deltas at one byte each: A (rank, in) as it is, B (out, rank) on its side, so that rows are long."""
    sides = {name: tensor.T if name.endswith("lora_B") else tensor for name, tensor in lora.items()}
    return compacted(sides, smallest=1)


def thick_deltas(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The deltas that `thin_deltas` compacted, float32."""
    return {name: (t.T if name.endswith("lora_B") else t).contiguous() for name, t in expanded(tensors).items()}
