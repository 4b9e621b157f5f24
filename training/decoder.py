"""The language model as training sees it: frozen weights, LoRA deltas, packed rows, a vocabulary cut to what occurs.

The forward is written with plain matrix products, so that `torch.compile` fuses everything between them: on CPUs with
AMX the products run at over 1 TFLOP/s and unfused element-wise work would be most of the step.
Source: Hu et al. 2021, LoRA, https://arxiv.org/abs/2106.09685.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llama_vid.errors import ConfigError

PROJECTIONS = {
    "q_proj": "self_attn",
    "k_proj": "self_attn",
    "v_proj": "self_attn",
    "o_proj": "self_attn",
    "gate_proj": "mlp",
    "up_proj": "mlp",
    "down_proj": "mlp",
}


GROUPS = {
    "qkv": ("q_proj", "k_proj", "v_proj"),
    "o": ("o_proj",),
    "gate_up": ("gate_proj", "up_proj"),
    "down": ("down_proj",),
}


class LoraLinear(nn.Module):
    """Several frozen projections of one input side by side, each with its own low-rank delta."""

    def __init__(self, projections: list[nn.Linear], rank: int) -> None:
        super().__init__()
        self.rank = rank
        weights = [projection.weight.detach() for projection in projections]
        self.register_buffer("weight", _joined(weights), persistent=False)
        biases = [projection.bias.detach() for projection in projections if projection.bias is not None]
        self.register_buffer("bias", torch.cat(biases) if biases else None, persistent=False)
        width = weights[0].shape[1]
        self.a = nn.Parameter(torch.randn(rank * len(weights), width) * width**-0.5)
        self.b = nn.ParameterList(nn.Parameter(torch.zeros(len(weight), rank)) for weight in weights)

    def forward(self, x: Tensor) -> Tensor:
        low = F.linear(x, self.a.to(x.dtype))
        delta = [F.linear(part, b.to(x.dtype)) for part, b in zip(torch.split(low, self.rank, -1), self.b, strict=True)]
        return F.linear(x, self.get_buffer("weight"), self._buffers["bias"]) + torch.cat(delta, -1)


def _joined(weights: list[Tensor]) -> Tensor:
    """Weights below each other: without a copy where they are neighbours already, as `LanguageModel` leaves them."""
    first = weights[0]
    expected = first.storage_offset()
    for weight in weights:
        neighbour = weight.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        if not (neighbour and weight.is_contiguous() and weight.storage_offset() == expected):
            return torch.cat(weights)
        expected += weight.numel()
    return first.as_strided((sum(len(weight) for weight in weights), first.shape[1]), first.stride())


class Layer(nn.Module):
    """One decoder layer."""

    def __init__(self, layer: Any, heads: int, groups: int, rank: int, epsilon: float) -> None:
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        self.heads, self.groups, self.epsilon = heads, groups, epsilon
        self.register_buffer("norm1", layer.input_layernorm.weight.detach(), persistent=False)
        self.register_buffer("norm2", layer.post_attention_layernorm.weight.detach(), persistent=False)
        self.qkv = LoraLinear([attention.q_proj, attention.k_proj, attention.v_proj], rank)
        self.o = LoraLinear([attention.o_proj], rank)
        self.gate_up = LoraLinear([mlp.gate_proj, mlp.up_proj], rank)
        self.down = LoraLinear([mlp.down_proj], rank)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """x (R, N, D), cos and sin (R, 1, N, d), additive mask (R, 1, 1, N, N)."""
        rows, n, width = x.shape
        d, share = cos.shape[-1], self.heads // self.groups
        h = F.rms_norm(x, (width,), self.get_buffer("norm1"), self.epsilon)
        q, k, v = self.qkv(h).split([self.heads * d, self.groups * d, self.groups * d], -1)
        q = _rotated(q.view(rows, n, self.heads, d).transpose(1, 2), cos, sin).view(rows, self.groups, share, n, d)
        k = _rotated(k.view(rows, n, self.groups, d).transpose(1, 2), cos, sin)
        v = v.view(rows, n, self.groups, d).transpose(1, 2)
        scores = (q * d**-0.5) @ k.unsqueeze(2).transpose(-1, -2) + mask
        mixed = scores.float().softmax(-1).to(x.dtype) @ v.unsqueeze(2)
        x = x + self.o(mixed.reshape(rows, self.heads, n, d).transpose(1, 2).reshape(rows, n, width))
        gate, up = self.gate_up(F.rms_norm(x, (width,), self.get_buffer("norm2"), self.epsilon)).chunk(2, -1)
        out: Tensor = x + self.down(F.silu(gate) * up)
        return out


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    low, high = x.chunk(2, -1)
    return x * cos + torch.cat([-high, low], -1) * sin


class TrainableDecoder(nn.Module):
    """A transformers `LlamaForCausalLM` with LoRA on every projection; everything else frozen."""

    def __init__(self, module: Any, rank: int) -> None:
        super().__init__()
        config = module.config
        module.requires_grad_(False)
        self.rank = rank
        self.layers = nn.ModuleList(
            Layer(layer, config.num_attention_heads, config.num_key_value_heads, rank, config.rms_norm_eps)
            for layer in module.model.layers
        )
        self.register_buffer("norm", module.model.norm.weight.detach(), persistent=False)
        self.register_buffer("embedding", module.model.embed_tokens.weight.detach(), persistent=False)
        # What scores the next token: the embeddings themselves where they are tied (SmolLM2), else weights of its own.
        self.register_buffer("output", module.lm_head.weight.detach(), persistent=False)
        positions = torch.arange(config.max_position_embeddings)[None]
        cos, sin = module.model.rotary_emb(module.model.norm.weight, positions)
        self.register_buffer("cos", cos[0], persistent=False)
        self.register_buffer("sin", sin[0], persistent=False)
        self.epsilon = config.rms_norm_eps

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Hidden states (R, N, D) of embeddings (R, N, D) at `positions` (R, N); additive mask (R, 1, 1, N, N)."""
        cos = self.get_buffer("cos")[positions].unsqueeze(1)
        sin = self.get_buffer("sin")[positions].unsqueeze(1)
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        return F.rms_norm(x, (x.shape[-1],), self.get_buffer("norm"), self.epsilon)

    def lora_tensors(self) -> dict[str, Tensor]:
        """The deltas by the names that `LanguageModel.apply_lora` takes; the scale is 1."""
        return named_deltas(self.state_dict())

    def load_lora(self, tensors: Mapping[str, Tensor]) -> None:
        """Start from deltas as `lora_tensors` gives them. Raises ConfigError if they are of another shape."""
        own = self.lora_tensors()
        wrong = [key for key, value in own.items() if key not in tensors or tensors[key].shape != value.shape]
        if wrong:
            raise ConfigError(f"the deltas to start from do not fit this recipe's rank or model ({wrong[0]})")
        with torch.no_grad():
            for index, layer in enumerate(self.layers):
                for attribute, names in GROUPS.items():
                    linear = getattr(layer, attribute)
                    for row, name in enumerate(names):
                        stem = f"layers.{index}.{PROJECTIONS[name]}.{name}"
                        linear.a[row * self.rank : (row + 1) * self.rank] = tensors[f"{stem}.lora_A"]
                        linear.b[row].copy_(tensors[f"{stem}.lora_B"])


def named_deltas(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A decoder's state by the names that `LanguageModel.apply_lora` takes; the scale is 1."""
    out: dict[str, Tensor] = {}
    for key in (key for key in state if key.endswith(".a")):
        layer, attribute = key.removesuffix(".a").rsplit(".", 1)
        names = GROUPS[attribute]
        rank = len(state[key]) // len(names)
        for row, name in enumerate(names):
            stem = f"{layer}.{PROJECTIONS[name]}.{name}"
            out[f"{stem}.lora_A"] = state[key].detach()[row * rank : (row + 1) * rank].clone()
            out[f"{stem}.lora_B"] = state[f"{layer}.{attribute}.b.{row}"].detach().clone()
    return out
