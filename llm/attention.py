"""Attention of new tokens over keys that lie in several places, without copying any of them together.

A question reads the video's keys, which other questions share, and its own. Softmax over both equals the softmax over
each, mixed by their log-sum-exps (Dao et al. 2022, FlashAttention, section 3.1, https://arxiv.org/abs/2205.14135), so
no key is moved, and no mask as wide as the memory is built. Shapes: q (1, H, n, d); keys and values (1, G, m, d) with
H a multiple of G (grouped-query attention: heads of one group share keys).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

#: The keys and values of some tokens, each (1, G, m, d).
KeysValues = tuple[Tensor, Tensor]


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of tokens over themselves and those before them; any batch size, differentiable. -> (b, H, n, d)."""
    return scaled_dot_product_attention(q, k, v, is_causal=q.shape[2] > 1, enable_gqa=q.shape[1] != k.shape[1])


def over_parts(q: Tensor, past: Sequence[KeysValues], new: KeysValues) -> Tensor:
    """Attention of n new tokens over all `past` tokens and, causally, themselves (`new`, m = n). -> (1, H, n, d)."""
    past = [part for part in past if part[0].shape[2]]
    if not past:
        return causal(q, *new)
    if q.device.type != "cpu":  # a copy costs little there, and the kernels below are the CPU's
        return over_joined(q, past, new)
    parts = [_whole(q, *part) for part in past]
    parts.append(_whole(q, *new) if q.shape[2] == 1 else _causal_part(q, *new))
    return _mixed(parts)


def over_joined(q: Tensor, past: Sequence[KeysValues], new: KeysValues) -> Tensor:
    """What `over_parts` gives, by copying all keys together first: for devices where copies are cheap."""
    k = torch.cat([keys for keys, _ in past] + [new[0]], dim=2)
    v = torch.cat([values for _, values in past] + [new[1]], dim=2)
    n, total = q.shape[2], k.shape[2]
    mask = None
    if n > 1:
        mask = torch.ones(n, total, dtype=torch.bool, device=q.device).tril(total - n)
    return scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1])


def _whole(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Every query over every key: output (1, H, n, d) and log-sum-exp (1, H, n, 1)."""
    _, heads, n, d = q.shape
    # Heads of one group become more queries of one head: the keys are read once for the group instead of once a head.
    folded = q.reshape(1, k.shape[1], -1, d)
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(folded, k, v)
    return out.reshape(1, heads, n, d), lse.reshape(1, heads, n, 1)


def _causal_part(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """New tokens over themselves, causally: output (1, H, n, d) and log-sum-exp (1, H, n, 1)."""
    repeats = q.shape[1] // k.shape[1]
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q, k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1), is_causal=True
    )
    return out, lse.reshape(1, q.shape[1], -1, 1)


def _mixed(parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    lses = torch.stack([lse for _, lse in parts])
    shares = torch.softmax(lses.float(), dim=0)
    total = parts[0][0] * shares[0]
    for (out, _), share in zip(parts[1:], shares[1:], strict=True):
        total = total + out * share
    return total.to(parts[0][0].dtype)
