"""How a convolutional trunk is run: one small interface, plain PyTorch always there behind it.

    engine = best_engine(trunk, size=260, bfloat16=True)
    grid = engine.forward(pixels)

On CPUs an EfficientNet runs through oneDNN's fused convolutions (`engine_onednn.py`), twice as fast as its modules one
after another; anything else, and any machine where that fails or disagrees with the modules, runs eagerly. What was
measured before choosing, on two cores of an AMD EPYC with avx512_bf16 and idle threads asleep, turn about in one
process: the fastest milliseconds a frame alone and in a batch of 8, and the mean cosine of a patch with the float32
modules.

    torch modules, bf16 autocast   17.6   9.7  0.989        ONNX Runtime 1.32, float32    7.3  8.1  1.000
    torch modules, float32         22.4  17.3  1.000        ONNX Runtime 1.32, int8       5.3  5.2  0.95
    fused, bf16 throughout          6.7   3.2  0.985        OpenVINO 2026.4, float32      5.4  5.3  1.000
    fused, bf16 behind float32      7.9   5.0  0.9994       OpenVINO 2026.4, bf16         2.9  2.9  0.985

OpenVINO is faster, most of all for one frame alone. It would cost 180 MB, a model converted once and kept in a cache
beside the weights, and a second pool of threads beside torch's; what is here is torch alone, ready in 0.1 s.
"""

from __future__ import annotations

import logging
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from llama_vid.tokenizer.engine_onednn import FusedEngine, UnfitTrunk

logger = logging.getLogger(__name__)

#: Mean cosine of a patch with the float32 modules, below which a fused engine is not trusted.
AGREEMENT: Final = 0.98


class TrunkEngine(Protocol):
    """Runs a trunk: normalised pixels (B, 3, S, S) float32, any B, to its last feature map (B, C, H, W) float32."""

    @property
    def name(self) -> str:
        """What runs, for people: benches and logs."""
        ...

    def forward(self, pixels: Tensor) -> Tensor: ...


class EagerEngine:
    """The trunk's own modules, on whatever device they lie; `bfloat16` runs them under autocast."""

    def __init__(self, trunk: nn.Module, *, bfloat16: bool = False) -> None:
        self._trunk: Any = trunk
        self._bfloat16 = bfloat16

    @property
    def name(self) -> str:
        return f"torch modules, {'bf16' if self._bfloat16 else 'float32'}"

    def forward(self, pixels: Tensor) -> Tensor:
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self._bfloat16):
            grid: Tensor = self._trunk.forward_features(pixels)
        return grid.float()


def best_engine(trunk: nn.Module, *, size: int, bfloat16: bool = False) -> TrunkEngine:
    """The fastest engine that gives this trunk's features, for square pictures of `size` pixels.

    The trunk's weights are copied: change them, and a new engine is needed. A fused engine is compared with the modules
    on one picture before it is handed out (50 ms).
    """
    eager = EagerEngine(trunk, bfloat16=bfloat16)
    if next(trunk.parameters()).device.type != "cpu":
        return eager
    try:
        fused = FusedEngine(trunk, size=size, bfloat16=bfloat16)
        likeness = _likeness(fused, EagerEngine(trunk), size)
    except UnfitTrunk as problem:
        logger.debug("the image tower runs eagerly: %s", problem)
        return eager
    except (RuntimeError, AttributeError, TypeError) as problem:  # this torch lacks the operators or they refuse
        logger.info("the image tower runs eagerly: %s", str(problem).splitlines()[0] if str(problem) else problem)
        return eager
    if likeness < AGREEMENT:
        logger.warning("the image tower runs eagerly: fused convolutions agree with it by only %.3f here", likeness)
        return eager
    return fused


def _likeness(one: TrunkEngine, other: TrunkEngine, size: int) -> float:
    """Mean cosine of the patches that two engines give for one picture of waves and blocks."""
    with torch.inference_mode():
        at = torch.arange(size, dtype=torch.float32)
        waves = torch.stack([torch.sin(at[:, None] / 7 + shift) * torch.cos(at / 11) for shift in (0.0, 1.0, 2.0)])
        blocks = ((at[:, None] // 40 + at // 40) % 2) - 0.5
        picture = (0.5 * waves + blocks)[None].clamp(-1, 1).contiguous(memory_format=torch.channels_last)
        a, b = (engine.forward(picture).flatten(2) for engine in (one, other))
        alive = b.norm(dim=1) > 0  # a patch may have no feature at all
        return float(torch.nn.functional.cosine_similarity(a, b, dim=1)[alive].mean())
