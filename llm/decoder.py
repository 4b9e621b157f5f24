"""A Llama decoder's forward over the weights of a transformers `LlamaForCausalLM`.

The module keeps its parameters; here the query, key and value projections of a layer run as one product, and so do
gate and up: the module's parameters become views of the joined weights, so nothing is held twice. What it computes is
what the module computes (a test), with a KV cache of our own layout. Quantised weights are made layer by layer; the
module then keeps none of them. Layers may lie on several devices; keys and values stay where the embeddings are.
Source: Touvron et al. 2023, LLaMA, https://arxiv.org/abs/2302.13971; transformers `models/llama/modeling_llama.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad, rms_norm, silu

from llama_vid.errors import LlamaVidError
from llama_vid.llm.attention import causal
from llama_vid.llm.cache import AttentionCache
from llama_vid.llm.pages import KVShape
from llama_vid.llm.quantized import Quantised

#: Up to so many tokens at once, reading the weights takes longer than computing with them.
FEW_TOKENS: Final = 32

Weight = Tensor | Quantised


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer's weights: `qkv` ((H + 2G) d, D), `out` (D, H d), `gate_up` (2F, D), `down` (D, F), with biases."""

    input_norm: Tensor
    qkv: Weight
    qkv_bias: Tensor | None
    out: Weight
    out_bias: Tensor | None
    middle_norm: Tensor
    gate_up: Weight
    gate_up_bias: Tensor | None
    down: Weight
    down_bias: Tensor | None


class Decoder:
    """The forward of a Llama-family module: embeddings in, final hidden states out."""

    def __init__(
        self,
        module: Any,
        *,
        ready: Callable[[int, Any], None] = lambda _index, _layer: None,
        quantise: Callable[[Tensor], Quantised] | None = None,
        compiled: bool = False,
    ) -> None:
        """`ready` is called for each layer before its weights are joined, `quantise` makes the joined ones small.

        `compiled` has torch fuse what stands around attention (norms, rotary positions, the gate): one kernel for
        several on a GPU, where a decoding step of one token waits for launches. The first calls take a minute.
        """
        self._before: Callable[..., tuple[Tensor, Tensor, Tensor]] = _before
        self._after: Callable[..., Tensor] = _after
        if compiled and quantise is None:  # quantised products are calls into libraries, which it cannot look into
            self._before = cast(Any, torch.compile(_before, dynamic=True))
            self._after = cast(Any, torch.compile(_after, dynamic=True))
        config = module.config
        self.heads: int = config.num_attention_heads
        self.groups: int = config.num_key_value_heads
        self.width: int = config.hidden_size
        self.head_width: int = getattr(config, "head_dim", None) or self.width // self.heads
        self.context: int = config.max_position_embeddings
        self._epsilon: float = config.rms_norm_eps
        self._norm: Tensor = module.model.norm.weight
        self._home: torch.device = module.model.embed_tokens.weight.device
        self._layers = []
        for index, layer in enumerate(module.model.layers):
            ready(index, layer)
            self._layers.append(_fused(layer, quantise))
        positions = torch.arange(self.context, device=self._home)[None]
        cos, sin = module.model.rotary_emb(
            self._norm.to(self._home), positions
        )  # (1, context, d): both halves hold the same angles
        half = self.head_width // 2
        self._angles = {self._home: (cos[0, :, :half].contiguous(), sin[0, :, :half].contiguous())}
        for layer in self._layers:  # those of every device
            where = layer.input_norm.device
            if where not in self._angles:
                self._angles[where] = (self._angles[self._home][0].to(where), self._angles[self._home][1].to(where))

    @property
    def kv_shape(self) -> KVShape:
        """What a token's keys and values take."""
        return KVShape(len(self._layers), self.groups, self.head_width, self._home, self._norm.dtype)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the layers' matrices, quantised or not."""
        return sum(each.nbytes for layer in self._layers for each in (layer.qkv, layer.out, layer.gate_up, layer.down))

    def forward(self, x: Tensor, cache: AttentionCache | None = None, positions: Tensor | None = None) -> Tensor:
        """Hidden states (b, n, D) of embeddings x (b, n, D), which follow the cache's tokens (b = 1) and join them.

        `positions` (n,) are the tokens' places in their texts if they do not simply follow: a cache may pack tokens of
        several texts into one row. Raises LlamaVidError if cache and new tokens together exceed the context window.
        """
        n = x.shape[1]
        past = 0 if cache is None else cache.length
        if positions is None and past + n > self.context:
            raise LlamaVidError(
                f"{past + n} tokens exceed the language model's context of {self.context}; "
                "shorten the question or lower the memory's budget"
            )
        where = slice(past, past + n) if positions is None else positions
        angles = {device: (cos[where], sin[where]) for device, (cos, sin) in self._angles.items()}
        for index, layer in enumerate(self._layers):
            x = x.to(layer.input_norm.device)  # as it is, unless layers lie apart
            q, k, v = self._before(x, layer, *angles[x.device], self.heads, self.groups, self._epsilon)
            home = self._home
            if cache is None:
                seen = causal(q, k, v)
            else:
                seen = cache.attend(index, q.to(home), k.to(home), v.to(home)).to(x.device)
            x = self._after(x, seen, layer, self._epsilon)
        if cache is not None:
            cache.advance(n)
        return rms_norm(x.to(self._norm.device), (self.width,), self._norm, self._epsilon).to(self._home)


def _before(
    x: Tensor, layer: _Layer, cos: Tensor, sin: Tensor, heads: int, groups: int, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotated queries (b, H, n, d) and keys, and values (b, G, n, d), of hidden states x (b, n, D)."""
    h = rms_norm(x, (x.shape[-1],), layer.input_norm, epsilon)
    qkv = projected(h, layer.qkv, layer.qkv_bias)
    qkv = qkv.view(x.shape[0], x.shape[1], heads + 2 * groups, -1).transpose(1, 2)
    qk = _rotated(qkv[:, : heads + groups], cos, sin)
    return qk[:, :heads], qk[:, heads:], qkv[:, heads + groups :]


def _after(x: Tensor, seen: Tensor, layer: _Layer, epsilon: float) -> Tensor:
    """The layer's output (b, n, D) of its input x and what attention `seen` (b, H, n, d) gave."""
    x = x + projected(seen.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1), layer.out, layer.out_bias)
    h = rms_norm(x, (x.shape[-1],), layer.middle_norm, epsilon)
    gate, up = projected(h, layer.gate_up, layer.gate_up_bias).chunk(2, dim=-1)
    return x + projected(silu(gate) * up, layer.down, layer.down_bias)


def projected(x: Tensor, weight: Weight, bias: Tensor | None = None) -> Tensor:
    """`linear` of x (b, n, in) with weight (out, in), in the form that is fastest for few tokens in bf16 on a CPU."""
    if not isinstance(weight, Tensor):
        return weight.project(x, bias)
    rows = x.numel() // x.shape[-1]
    if x.dtype != torch.bfloat16 or x.device.type != "cpu" or x.requires_grad:
        return linear(x, weight, bias)
    if rows > 1:
        # oneDNN makes and keeps a kernel for every number of rows that it meets: let it meet few.
        flat = pad(x.reshape(rows, -1), (0, 0, 0, -rows % (8 if rows <= FEW_TOKENS else 16)))
    if rows > FEW_TOKENS:
        return linear(flat, weight, bias)[:rows].reshape(*x.shape[:-1], -1)
    # Few tokens are bound by reading the weights. oneDNN's product in this order reads them at the memory's full speed
    # (measured: 21 ms for all layers on one core, against 31 ms the other way round).
    out = torch.mv(weight, x.reshape(-1)) if rows == 1 else (weight @ flat.t()).t()[:rows]
    out = out.reshape(*x.shape[:-1], -1)
    return out if bias is None else out + bias


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021, https://arxiv.org/abs/2104.09864): x (b, H, n, d), cos and sin (n, d / 2)."""
    low, high = x.chunk(2, dim=-1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1)


def _fused(layer: Any, quantise: Callable[[Tensor], Quantised] | None) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    qkv, qkv_bias = _joined([attention.q_proj, attention.k_proj, attention.v_proj], quantise)
    gate_up, gate_up_bias = _joined([mlp.gate_proj, mlp.up_proj], quantise)
    out, out_bias = _joined([attention.o_proj], quantise)
    down, down_bias = _joined([mlp.down_proj], quantise)
    return _Layer(
        layer.input_layernorm.weight, qkv, qkv_bias, out, out_bias,
        layer.post_attention_layernorm.weight, gate_up, gate_up_bias, down, down_bias,
    )  # fmt: skip


def _joined(parts: list[nn.Linear], quantise: Callable[[Tensor], Quantised] | None) -> tuple[Weight, Tensor | None]:
    """The weights (and biases) of projections of the same input, joined by rows.

    The parts become views of them; where they are quantised, the parts keep nothing.
    """
    weight = parts[0].weight.detach() if len(parts) == 1 else torch.cat([part.weight.detach() for part in parts])
    biases = [part.bias.detach() for part in parts if part.bias is not None]
    bias = (biases[0] if len(parts) == 1 else torch.cat(biases)) if biases else None
    row = 0
    for part in parts:
        rows = slice(row, row + part.weight.shape[0])
        kept = weight[rows] if quantise is None else weight.new_empty(0)
        part.weight = nn.Parameter(kept, requires_grad=False)
        if bias is not None:
            part.bias = nn.Parameter(bias[rows], requires_grad=False)
        row = rows.stop
    return (weight if quantise is None else quantise(weight)), bias
