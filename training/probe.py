"""How fast this machine is, in seconds: the real tower on a few pictures, one layer of the language model's shape.

What cannot be tried in a moment comes from RATES, measured on two cores while other work went on. A layer is tried as
it is; how much torch.compile gains is a rate, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from llama_vid.llm.language import chosen_dtype
from llama_vid.tokenizer.tower import ImageTower
from training.decoder import Layer
from training.features import BATCH
from training.recipe import LlamaShape

#: Captions that MiniLM encodes in a second; seconds of an epoch of a head's member over 6,000 photos, of the labels, of
#: an export, and that torch.compile takes before the first step; how many times less CPU time a compiled step of `mini`
#: takes than its layers one by one.
RATES: Final = {
    "captions": 136.0, "head_epoch": 9.5, "labels": 60.0, "export": 15.0, "compiling": 90.0, "compiled": 2.7,
}  # fmt: skip
REPEATS: Final = 3
ENOUGH_S: Final = 2.0  # seconds that one call of a probe may take and still be repeated


def photo_seconds(tower: ImageTower) -> float:
    """Seconds of one photo in a batch, encoded as `cache_features` does."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (tower.size, tower.size, 3), dtype=np.uint8) for _ in range(BATCH)]

    def encode(count: int) -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            tower.encode(pictures[:count])

    one = _best(lambda: encode(1))
    return one if one > ENOUGH_S / BATCH else _best(lambda: encode(BATCH)) / BATCH


def layer_seconds(shape: LlamaShape, rows: int, length: int, rank: int) -> float:
    """Seconds of one layer's forward and backward in a step of so many rows, before torch.compile fuses anything."""
    dtype = chosen_dtype("auto", torch.device("cpu"))
    d = shape.head_width or shape.width // shape.heads
    inner, outer = shape.width, shape.heads * d

    def linear(wide: int, out: int) -> nn.Linear:
        return nn.Linear(wide, out, bias=False, dtype=dtype).requires_grad_(False)

    norm: Any = SimpleNamespace(weight=torch.ones(inner, dtype=dtype))
    attention = SimpleNamespace(
        q_proj=linear(inner, outer), k_proj=linear(inner, shape.groups * d), v_proj=linear(inner, shape.groups * d),
        o_proj=linear(outer, inner),
    )  # fmt: skip
    mlp = SimpleNamespace(
        gate_proj=linear(inner, shape.inner), up_proj=linear(inner, shape.inner), down_proj=linear(shape.inner, inner)
    )
    source = SimpleNamespace(self_attn=attention, mlp=mlp, input_layernorm=norm, post_attention_layernorm=norm)
    layer = Layer(source, shape.heads, shape.groups, rank, 1e-5)
    x = torch.randn(rows, length, inner, dtype=dtype, requires_grad=True)
    angles = torch.rand(rows, 1, length, d).to(dtype)
    mask = torch.zeros(rows, 1, 1, length, length, dtype=dtype)

    def step() -> None:
        layer(x, angles, angles, mask).sum().backward()

    return _best(step)


def _best(call: Callable[[], None]) -> float:
    """The fastest of REPEATS after one for which memory and kernels are made; a call that takes long is made once."""
    taken = []
    for _ in range(1 + REPEATS):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
        if taken[0] > ENOUGH_S:
            return taken[0]
    return min(taken[1:])
