"""Weights of a projection in 8 or 4 bits, and the product with them.

    int8   one scale a row (output), symmetric: half of bfloat16
    int4   groups of GROUP numbers along a row, each with a scale and a middle: 0.28 of bfloat16

On a CPU the products are torch's own kernels for such weights, which need no further package. They read the weights
once for each few tokens, which is what decoding waits for; for many tokens (a prefill) int8 weights are first turned
back into bfloat16. torchao's own int8 weights were tried and left out: on the CPU their product took ten times as long
as bfloat16's for one token (17 ms against 1.7, 8192 x 2048; torch's kernel: 0.4). On a GPU both are bitsandbytes'
(Dettmers et al. 2022, LLM.int8(), https://arxiv.org/abs/2208.07339; 2023, NF4, https://arxiv.org/abs/2305.14314).

Embeddings, norms and the scores of the next token stay as they are.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, Final, Protocol

import torch
from torch import Tensor
from torch.nn.functional import linear

from llama_vid.errors import BundleError

QUANTIZE: Final = ("none", "int8", "int4")
#: Numbers that share a scale in int4.
GROUP: Final = 64
#: Bytes of a weight: itself, and its share of the scales (int4: two bfloat16 a group, as much as NF4's float32).
BYTES: Final = {"int8": 1.0, "int4": 0.5 + 4 / GROUP}
#: Up to so many tokens the kernel that reads int8 weights beats turning them back (measured on two cores, avx512_bf16).
FEW: Final = 32
#: What both numbers of a shape must be multiples of for the kernels (int4: a row's length of GROUP).
BLOCK: Final = 16


class Quantised(Protocol):
    """A weight (out, in) that is no tensor any more."""

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes that it takes, scales included."""
        ...

    def project(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """`linear` of x (…, in). -> (…, out), of x's dtype."""
        ...


class Int8Rows:
    """int8 with a scale a row, for CPUs."""

    def __init__(self, weight: Tensor) -> None:
        scale = (weight.float().abs().amax(1, keepdim=True) / 127).clamp_min(1e-12)
        self._weight = (weight.float() / scale).round_().to(torch.int8)
        self._scale = scale[:, 0].to(torch.bfloat16)
        self.shape: tuple[int, int] = (weight.shape[0], weight.shape[1])

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self._weight.device

    @property
    def nbytes(self) -> int:
        """Bytes that it takes, scales included."""
        return self._weight.nbytes + self._scale.nbytes

    def project(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """See `Quantised`."""
        rows = x.numel() // x.shape[-1]
        flat = x.reshape(rows, -1).to(torch.bfloat16)
        even = not (self.shape[0] % BLOCK or self.shape[1] % BLOCK)
        if rows <= FEW and even and flat.device.type == "cpu":
            out = torch.ops.aten._weight_int8pack_mm(flat, self._weight, self._scale)
        else:
            out = linear(flat, self._weight.to(torch.bfloat16)) * self._scale
        return _finished(out, x, bias)


class Int4Groups:
    """Unsigned int4 in groups along a row, packed for torch's CPU kernel; a row's length is a multiple of GROUP."""

    def __init__(self, weight: Tensor) -> None:
        out, width = weight.shape
        groups = weight.float().view(out, width // GROUP, GROUP)
        low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
        scale = ((high - low) / 15).clamp_min(1e-12).to(torch.bfloat16).float()
        middle = (low + 8 * scale).to(torch.bfloat16).float()  # the number that 8 stands for
        codes = ((groups - middle) / scale + 8).round_().clamp_(0, 15).to(torch.int32).view(out, width)
        self._packed: Tensor = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
        pairs = torch.stack((scale[..., 0], middle[..., 0]), -1)  # (out, groups, 2)
        self._scales = pairs.transpose(0, 1).contiguous().to(torch.bfloat16)
        self.shape: tuple[int, int] = (out, width)

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self._packed.device

    @property
    def nbytes(self) -> int:
        """Bytes that it takes, scales included."""
        return self._packed.nbytes + self._scales.nbytes

    def project(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """See `Quantised`."""
        flat = x.reshape(-1, x.shape[-1]).to(torch.bfloat16)
        out = torch.ops.aten._weight_int4pack_mm_for_cpu(flat, self._packed, GROUP, self._scales)
        return _finished(out, x, bias)


class BitsAndBytes8:
    """bitsandbytes' LLM.int8() weights."""

    def __init__(self, weight: Tensor) -> None:
        self._bnb = _bitsandbytes()
        codes, scales, _ = self._bnb.functional.int8_vectorwise_quant(weight.to(torch.float16))
        self._state: Any = self._bnb.MatmulLtState()
        self._state.CB, self._state.SCB = codes, scales
        self._state.has_fp16_weights, self._state.threshold = False, 6.0
        self.shape: tuple[int, int] = (weight.shape[0], weight.shape[1])

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        device: torch.device = self._state.CB.device
        return device

    @property
    def nbytes(self) -> int:
        """Bytes that it takes, scales included."""
        return int(self._state.CB.nbytes + self._state.SCB.nbytes)

    def project(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """See `Quantised`."""
        flat = x.reshape(-1, x.shape[-1]).to(torch.float16)
        return _finished(self._bnb.matmul(flat, self._state.CB, state=self._state), x, bias)


class BitsAndBytes4:
    """bitsandbytes' NF4 weights."""

    def __init__(self, weight: Tensor) -> None:
        self._bnb = _bitsandbytes()
        self._packed, self._state = self._bnb.functional.quantize_4bit(
            weight.contiguous(), blocksize=GROUP, quant_type="nf4", compress_statistics=False
        )
        self.shape: tuple[int, int] = (weight.shape[0], weight.shape[1])

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        device: torch.device = self._packed.device
        return device

    @property
    def nbytes(self) -> int:
        """Bytes that it takes, scales included."""
        return int(self._packed.nbytes + self._state.absmax.nbytes)

    def project(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """See `Quantised`."""
        flat = x.reshape(-1, x.shape[-1])
        return _finished(self._bnb.matmul_4bit(flat, self._packed.t(), self._state), x, bias)


def quantiser(how: str, device: torch.device) -> Callable[[Tensor], Quantised] | None:
    """What makes weights (out, in) on a device small; None for `none`.

    Raises BundleError for an unknown name, and where a GPU's package is missing.
    """
    if how not in QUANTIZE:
        raise BundleError(f"unknown way to quantise {how!r}; use {', '.join(QUANTIZE)}")
    if how == "none":
        return None
    if device.type != "cpu":
        _bitsandbytes()
        return BitsAndBytes8 if how == "int8" else BitsAndBytes4
    return Int8Rows if how == "int8" else _int4


def _int4(weight: Tensor) -> Quantised:
    """int4 where the kernel takes the shape, else int8."""
    out, width = weight.shape
    return Int8Rows(weight) if width % GROUP or out % BLOCK else Int4Groups(weight)


def _finished(out: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
    out = out.to(x.dtype).reshape(*x.shape[:-1], -1)
    return out if bias is None else out + bias


def _bitsandbytes() -> Any:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise BundleError(
            "quantised weights on a GPU need the package bitsandbytes; install it (pip install "
            '"llama-vid-live[big]"), or set model.quantize: none'
        )
    return importlib.import_module("bitsandbytes")
