"""LLaMA-VID written out from its formulas with torch alone, over weights by published key: what the program must equal.

Sources: https://arxiv.org/abs/2311.17043 and the papers of its parts (EVA/ViT, BERT, LLaMA); layouts as in the public
code. Nothing of the program or of transformers is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, gelu, layer_norm, linear, silu

from tests.model.published_tiny import BERT, BERT_LAYERS, BLOCKS, EYES, LLAMA_HEADS, LLAMA_LAYERS, READER, WIDTH, D

Weights = Mapping[str, Tensor]
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)


def dense(w: Weights, key: str, x: Tensor) -> Tensor:
    return linear(x, w[f"{key}.weight"], w[f"{key}.bias"])


def norm(w: Weights, key: str, x: Tensor, eps: float) -> Tensor:
    return layer_norm(x, x.shape[-1:], w[f"{key}.weight"], w[f"{key}.bias"], eps)


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Softmax attention of (B, n, C) over (B, m, C) in heads."""
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def features(w: Weights, pixels: Tensor) -> Tensor:
    """Raw features (B, 1 + P, C) of pixels (B, 3, S, S) uint8: no norm at the end."""
    x = conv2d((pixels / 255 - MEAN) / STD, w[f"{EYES}patch_embed.proj.weight"], w[f"{EYES}patch_embed.proj.bias"], 14)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([w[f"{EYES}cls_token"].expand(len(x), -1, -1), x], 1) + w[f"{EYES}pos_embed"]
    for n in range(BLOCKS):
        block = f"{EYES}blocks.{n}."
        bias = torch.cat([w[f"{block}attn.q_bias"], torch.zeros(WIDTH), w[f"{block}attn.v_bias"]])
        q, k, v = linear(norm(w, f"{block}norm1", x, 1e-6), w[f"{block}attn.qkv.weight"], bias).chunk(3, -1)
        x = x + dense(w, f"{block}attn.proj", attend(q, k, v, WIDTH // 88))
        h = gelu(dense(w, f"{block}mlp.fc1", norm(w, f"{block}norm2", x, 1e-6)))
        x = x + dense(w, f"{block}mlp.fc2", h)
    return x


def queries(w: Weights, x: Tensor, ids: Tensor) -> Tensor:
    """The Q-Former's queries (B, 32, H) over features (B, 1 + P, C) and a text's ids (L,)."""

    def bert(layer: str, kind: str, h: Tensor, seen: Tensor) -> Tensor:
        q, k, v = (
            dense(w, f"{layer}{kind}.self.{name}", part)
            for name, part in (("query", h), ("key", seen), ("value", seen))
        )
        out = dense(w, f"{layer}{kind}.output.dense", attend(q, k, v, BERT // 64))
        return norm(w, f"{layer}{kind}.output.LayerNorm", out + h, 1e-12)

    def feed(layer: str, which: str, h: Tensor) -> Tensor:
        out = dense(w, f"{layer}output{which}.dense", gelu(dense(w, f"{layer}intermediate{which}.dense", h)))
        return norm(w, f"{layer}output{which}.LayerNorm", out + h, 1e-12)

    picture = norm(w, "model.vlm_att_ln", x, 1e-5)
    words = w[f"{READER}embeddings.word_embeddings.weight"][ids]
    words = words + w[f"{READER}embeddings.position_embeddings.weight"][: len(ids)]
    count = w["model.vlm_att_query"].shape[1]
    h = torch.cat([w["model.vlm_att_query"].expand(len(x), -1, -1), words.expand(len(x), -1, -1)], 1)
    h = norm(w, f"{READER}embeddings.LayerNorm", h, 1e-12)
    for n in range(BERT_LAYERS):
        layer = f"{READER}encoder.layer.{n}."
        h = bert(layer, "attention", h, h)
        q, text = h[:, :count], h[:, count:]
        if n % 2 == 0:
            q = bert(layer, "crossattention", q, picture)
        h = torch.cat([feed(layer, "_query", q), feed(layer, "", text)], 1)
    return h[:, :count]


def frame_tokens(w: Weights, x: Tensor, ids: Tensor, pooling: str | None = "mean") -> Tensor:
    """A frame's tokens (B, 1 + n, D) of raw features (B, 1 + P, C): context, then content."""
    patches = x[:, 1:]
    q = dense(w, "model.vlm_att_projector", queries(w, x, ids))
    k = dense(w, "model.vlm_att_key_projector", patches)
    weights = (q @ k.transpose(1, 2) / math.sqrt(WIDTH)).softmax(-1)
    context = dense(w, "model.vlm_att_val_projector", (weights @ patches).mean(1))
    if pooling == "mean":
        pooled = patches.mean(1, keepdim=True)
    elif pooling is None:
        pooled = patches
    else:
        side = math.isqrt(patches.shape[1])
        step = side // int(pooling.removeprefix("grid:"))
        square = patches.unflatten(1, (side, side)).permute(0, 3, 1, 2)
        pooled = avg_pool2d(square, step, step).permute(0, 2, 3, 1).flatten(1, 2)
    content = dense(w, "model.mm_projector.2", gelu(dense(w, "model.mm_projector.0", pooled)))
    return torch.cat([context[:, None], content], 1)


def next_scores(w: Weights, x: Tensor, *, factor: float = 1.0) -> Tensor:
    """LLaMA: the scores (V,) of the token after embeddings (n, D), positions divided by `factor`."""

    def rms(key: str, x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[key]

    n, width = len(x), D // LLAMA_HEADS
    angles = torch.arange(n)[:, None] / factor / 10000 ** (torch.arange(0, width, 2) / width)
    cos, sin = (part(angles).repeat(1, 2) for part in (torch.cos, torch.sin))

    def turned(x: Tensor) -> Tensor:
        low, high = x.chunk(2, -1)
        return x * cos + torch.cat([-high, low], -1) * sin

    later = torch.full((n, n), float("-inf")).triu(1)
    for layer in (f"model.layers.{number}." for number in range(LLAMA_LAYERS)):
        h = rms(f"{layer}input_layernorm.weight", x)
        q, k, v = (
            linear(h, w[f"{layer}self_attn.{part}_proj.weight"]).unflatten(-1, (LLAMA_HEADS, -1)).transpose(0, 1)
            for part in "qkv"
        )
        seen = (turned(q) @ turned(k).transpose(1, 2) / math.sqrt(width) + later).softmax(-1) @ v
        x = x + linear(seen.transpose(0, 1).flatten(1), w[f"{layer}self_attn.o_proj.weight"])
        h = rms(f"{layer}post_attention_layernorm.weight", x)
        gated = silu(linear(h, w[f"{layer}mlp.gate_proj.weight"])) * linear(h, w[f"{layer}mlp.up_proj.weight"])
        x = x + linear(gated, w[f"{layer}mlp.down_proj.weight"])
    return linear(rms("model.norm.weight", x[-1]), w["lm_head.weight"])
