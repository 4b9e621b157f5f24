"""An EfficientNet as a row of fused convolutions: normalisation folded into the weights, activation and residual sum
done while a convolution writes its result, weights laid out once the way the processor wants them.

torch carries oneDNN's fused operators for its compiler; called directly they need neither a compiler nor a cache, and
are ready in a tenth of a second. Sources: oneDNN's post-ops,
https://uxlfoundation.github.io/oneDNN/dev_guide_attributes_post_ops.html; Jacob et al. 2018, folding of batch
normalisation, https://arxiv.org/abs/1712.05877 (section 3.2).

bf16 costs precision where few channels carry the picture: nearly all of its error arises in the first stages, whose
bottlenecks have 16 and 24 channels. Those run in float32, two frames at a time so that their large maps stay in the
cache; the rest, most of the arithmetic, in bf16. The features so made are closer to the float32 modules' (mean cosine
of a patch 0.9994) than those of the modules under autocast (0.989).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

#: Stages, counted from the picture, that run in float32 where the others run in bf16.
EXACT_STAGES: Final = 3
#: Frames at a time in those stages, whose maps are the largest.
EXACT_FRAMES: Final = 2
#: Batches are taken in pieces of these sizes: kernels are made once for each (30 ms), whatever sizes come.
PIECES: Final = (4, 2, 1)


class UnfitTrunk(Exception):
    """The trunk has a part that the fused engine does not know. Never leaves `engine.py`."""


@dataclass(frozen=True, slots=True)
class _Convolution:
    """Convolution, normalisation and activation in one; `weight` is packed for oneDNN."""

    weight: Tensor
    bias: Tensor
    padding: list[int]
    stride: list[int]
    groups: int
    activation: str
    limits: list[float]

    def __call__(self, x: Tensor) -> Tensor:
        operators: Any = torch.ops.mkldnn
        out: Tensor = operators._convolution_pointwise(
            x, self.weight, self.bias, self.padding, self.stride, [1, 1], self.groups, self.activation, self.limits, ""
        )
        return out

    def added_to(self, x: Tensor, residual: Tensor) -> Tensor:
        """The result added to `residual`, in its memory."""
        operators: Any = torch.ops.mkldnn
        out: Tensor = operators._convolution_pointwise_.binary(
            residual, x, self.weight, self.bias, self.padding, self.stride, [1, 1], self.groups,
            "add", 1.0, None, [], "",
        )  # fmt: skip
        return out


@dataclass(frozen=True, slots=True)
class _Block:
    """Convolutions one after another; `skip` adds the block's input to their result."""

    convolutions: tuple[_Convolution, ...]
    skip: bool

    def __call__(self, x: Tensor) -> Tensor:
        y = x
        for convolution in self.convolutions[:-1]:
            y = convolution(y)
        last = self.convolutions[-1]
        return last.added_to(y, x) if self.skip else last(y)


class FusedEngine:
    """A timm EfficientNet without squeeze-and-excitation (the Lite ones) for pictures of `size` pixels, on the CPU.

    Raises UnfitTrunk for any other trunk, RuntimeError or AttributeError where this torch or processor cannot.
    """

    def __init__(self, trunk: nn.Module, *, size: int, bfloat16: bool = False) -> None:
        self._bfloat16 = bfloat16
        exact: list[_Block] = []
        fast: list[_Block] = []
        with torch.inference_mode():
            for stage, parts, skip in _layout(trunk):
                dtype = torch.bfloat16 if bfloat16 and stage >= EXACT_STAGES else torch.float32
                frames = PIECES[0] if stage >= EXACT_STAGES else EXACT_FRAMES
                convolutions = []
                for convolution, norm in parts:
                    fused, size = _fused(convolution, norm, size, dtype, frames)
                    convolutions.append(fused)
                (fast if stage >= EXACT_STAGES else exact).append(_Block(tuple(convolutions), skip))
        self._exact, self._fast = tuple(exact), tuple(fast)

    @property
    def name(self) -> str:
        return "oneDNN fused, bf16 behind float32" if self._bfloat16 else "oneDNN fused, float32"

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, S, S) float32 to the last feature map (B, C, H, W) float32, channels last."""
        x = pixels.contiguous(memory_format=torch.channels_last)
        grids, at = [], 0
        while at < len(x):
            piece = next(size for size in PIECES if size <= len(x) - at)
            grids.append(self._piece(x[at : at + piece]))
            at += piece
        grid = grids[0] if len(grids) == 1 else torch.cat(grids)
        return grid.float()

    def _piece(self, x: Tensor) -> Tensor:
        dtype = torch.bfloat16 if self._bfloat16 else torch.float32
        maps = []
        for at in range(0, len(x), EXACT_FRAMES):
            maps.append(_through(self._exact, x[at : at + EXACT_FRAMES]).to(dtype))
        return _through(self._fast, maps[0] if len(maps) == 1 else torch.cat(maps))


def _through(blocks: Iterable[_Block], x: Tensor) -> Tensor:
    for block in blocks:
        x = block(x)
    return x


def _layout(trunk: nn.Module) -> Iterator[tuple[int, list[tuple[Any, Any]], bool]]:
    """(stage, [(convolution, its normalisation and activation), …], whether the input is added) of each block."""
    from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
    from timm.models.efficientnet import EfficientNet

    if type(trunk) is not EfficientNet:
        raise UnfitTrunk(f"{type(trunk).__name__} is no EfficientNet")
    stages: Any = trunk.blocks
    yield 0, [(trunk.conv_stem, trunk.bn1)], False
    for stage, blocks in enumerate(stages):
        for block in blocks:
            if type(block) is InvertedResidual:
                parts = [(block.conv_pw, block.bn1), (block.conv_dw, block.bn2), (block.conv_pwl, block.bn3)]
            elif type(block) is DepthwiseSeparableConv and not getattr(block, "conv_s2d", None):
                parts = [(block.conv_dw, block.bn1), (block.conv_pw, block.bn2)]
            else:
                raise UnfitTrunk(f"a block is a {type(block).__name__}")
            for name in ("se", "aa"):
                if not isinstance(getattr(block, name, nn.Identity()), nn.Identity):
                    raise UnfitTrunk(f"a block has a part {name!r}")
            yield stage, parts, bool(block.has_skip)
    yield len(stages), [(trunk.conv_head, trunk.bn2)], False


def _fused(convolution: Any, norm: Any, size: int, dtype: torch.dtype, frames: int) -> tuple[_Convolution, int]:
    """A convolution with what follows it, for maps of `size` pixels, and the size of its result."""
    kinds: dict[type, tuple[str, list[float]]] = {
        nn.ReLU6: ("hardtanh", [0.0, 6.0]), nn.ReLU: ("relu", []), nn.Identity: ("none", []),
    }  # fmt: skip
    known = kinds.get(type(norm.act))
    if known is None or convolution.bias is not None or not norm.track_running_stats or convolution.dilation != (1, 1):
        raise UnfitTrunk(f"a convolution with {type(norm.act).__name__} behind it")
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = convolution.weight * scale[:, None, None, None]
    bias = norm.bias - norm.running_mean * scale
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    before, after = _padding(convolution, size)
    if after == before + 1:  # oneDNN's operator pads alike on both sides: a row and a column of zeros does the rest
        weight = nn.functional.pad(weight, (1, 0, 1, 0))
        kernel, before = kernel + 1, after
    elif after != before:
        raise UnfitTrunk(f"a convolution padded by {before} and {after}")
    padding, strides = [before, before], [stride, stride]
    operators: Any = torch.ops.mkldnn
    packed = operators._reorder_convolution_weight(
        weight.to(dtype).contiguous(), padding, strides, [1, 1], convolution.groups,
        [frames, convolution.in_channels, size, size],
    )  # fmt: skip
    fused = _Convolution(packed, bias.to(dtype), padding, strides, convolution.groups, *known)
    return fused, (size + 2 * before - kernel) // stride + 1


def _padding(convolution: Any, size: int) -> tuple[int, int]:
    """Zeros before and after; TensorFlow's `SAME`, which the Lite models keep, depends on the map's size."""
    if type(convolution) is nn.Conv2d:
        edge = int(convolution.padding[0])
        return edge, edge
    if type(convolution).__name__ != "Conv2dSame":
        raise UnfitTrunk(f"a convolution is a {type(convolution).__name__}")
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2
