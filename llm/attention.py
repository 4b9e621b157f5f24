"""Attention of new tokens over keys that lie in several places, without copying any of them together.

A question reads the video's keys, which other questions share, and its own. Softmax over both equals the softmax over
each, mixed by their log-sum-exps (Dao et al. 2022, FlashAttention, section 3.1, https://arxiv.org/abs/2205.14135; for
a prefix that many share: Ye et al. 2024, cascade inference, https://flashinfer.ai/2024/02/02/cascade-inference.html),
so no key is moved, and no mask as wide as the memory is built. Shapes: q (1, H, n, d); keys and values (1, G, m, d)
with H a multiple of G (grouped-query attention: heads of one group share keys). A *part* is the attention over some of
the keys alone: output (b, H, n, d) and log-sum-exp (b, H, n, 1) in float32.

How a part is computed was chosen by measurement: SmolLM2-135M (30 layers, H = 9, G = 3, d = 64) in bf16 over 7,168
keys, two cores (AMD EPYC, avx512_bf16), ms for all layers, the best of several taken in turns in one run:

    queries                              1      2      8     16     32     64    256   1344
    flash kernel, all keys at once      19     23     43     70    126    222    815   3768
    flash kernel, split in 512s         14     18     34     63    112    204    729      -
    two products and a softmax          17     21     28     40     57     92    352   1728

The flash kernel multiplies in tiles too small for this CPU's bf16 units; whole products reach twice its speed, at
the price of a buffer for the scores (`Scratch`; without one the fresh memory of each call costs more than is won).
Scores are rounded to the model's dtype there, as in transformers' eager attention; in float32 nothing is lost. Measured
on SmolLM2 behind 2,400 tokens of text, the distance to the float32 model (KL divergence) is that of the flash kernel.
For one or two queries, kernel calls count as much as keys (one softmax over past and own keys won nothing); on a busy
machine the two ways change places there, so one way serves all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

#: The keys and values of some tokens, each (1, G, m, d).
KeysValues = tuple[Tensor, Tensor]
#: The attention over some of the keys: output (b, H, n, d), log-sum-exp (b, H, n, 1) in float32.
Part = tuple[Tensor, Tensor]

#: Scores that are kept at once: 32 MB in bf16, 256 queries of SmolLM2 over an hour.
SCRATCH_SCORES: Final = 2**24
#: Columns that a log-sum-exp is read off from, see `whole`.
PROBES: Final = 16
#: Products are made over multiples of so many keys, and of so many rows of queries, see `over_past`.
KEYS: Final = 512
ROWS: Final = 48


class Scratch:
    """Memory for scores, used again by each call: one for a model, whose calls come one after another."""

    def __init__(self) -> None:
        self._flat: Tensor | None = None

    def take(self, like: Tensor, *shape: int) -> Tensor:
        """An uninitialised tensor of that shape and of the kind of `like`, valid until the next call."""
        count = torch.Size(shape).numel()
        flat = self._flat
        if flat is None or len(flat) < count or (flat.dtype, flat.device) != (like.dtype, like.device):
            self._flat = flat = None  # free the old one first
            self._flat = flat = torch.empty(count, dtype=like.dtype, device=like.device)
        return flat[:count].view(shape)


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of tokens over themselves and those before them; any batch size, differentiable. -> (b, H, n, d)."""
    return scaled_dot_product_attention(q, k, v, is_causal=q.shape[2] > 1, enable_gqa=q.shape[1] != k.shape[1])


def over_parts(q: Tensor, past: Sequence[KeysValues], new: KeysValues, scratch: Scratch | None = None) -> Tensor:
    """Attention of n new tokens over all `past` tokens and, causally, themselves (`new`, m = n). -> (1, H, n, d)."""
    past = [part for part in past if part[0].shape[2]]
    if not past:
        return causal(q, *new)
    if q.device.type != "cpu":  # a copy costs little there, and the fused kernels are fast
        return over_joined(q, past, new)
    scratch = scratch or Scratch()
    n = q.shape[2]
    # A token alone sees its own key only: the softmax of one score.
    parts = [own(q, *new, None if n == 1 else lower(n, n, q))]
    return mixed(parts + [part for strip in past for part in over_past(q, *strip, scratch)])


def over_joined(q: Tensor, past: Sequence[KeysValues], new: KeysValues) -> Tensor:
    """What `over_parts` gives, by copying all keys together first: for devices where copies are cheap."""
    k = torch.cat([keys for keys, _ in past] + [new[0]], dim=2)
    v = torch.cat([values for _, values in past] + [new[1]], dim=2)
    n, total = q.shape[2], k.shape[2]
    mask = None
    if n > 1:
        mask = torch.ones(n, total, dtype=torch.bool, device=q.device).tril(total - n)
    return scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1])


def lower(n: int, m: int, like: Tensor) -> Tensor:
    """The mask (1, 1, n, m) of n tokens that are the last of m, each of which sees those up to itself."""
    return bias(torch.ones(n, m, dtype=torch.bool, device=like.device).tril(m - n), like)[None, None]


def bias(visible: Tensor, like: Tensor) -> Tensor:
    """A boolean mask as what is added to scores: 0 where visible, else minus infinity."""
    return torch.zeros(visible.shape, dtype=like.dtype, device=like.device).masked_fill_(~visible, float("-inf"))


def over_past(q: Tensor, k: Tensor, v: Tensor, scratch: Scratch) -> list[Part]:
    """`whole`, with products of few different shapes: the last keys that fill no KEYS are left to the flash kernel.

    oneDNN makes a kernel for every shape that it meets and keeps it: 0.6 MB for each number of keys, which grows with
    every frame. A day of that was 1.7 GB.
    """
    even = k.shape[2] // KEYS * KEYS
    parts = [whole(q, k[:, :, :even], v[:, :, :even], scratch)] if even else []
    return parts if even == k.shape[2] else [*parts, own(q, k[:, :, even:], v[:, :, even:], None)]


def whole(q: Tensor, k: Tensor, v: Tensor, scratch: Scratch) -> Part:
    """Every query (1, H, n, d) over every key (1, G, m, d): the many keys of a shared prefix."""
    _, heads, n, width = q.shape
    groups, m = k.shape[1], k.shape[2]
    # Heads of one group become more queries of one head: the keys are read once for the group instead of once a head.
    folded = (q * width**-0.5).reshape(groups, -1, width)
    keys, values = k[0], v[0]
    asked = folded.shape[1]
    if asked > ROWS // 4:
        folded = pad(folded, (0, 0, 0, -asked % ROWS))
    rows = folded.shape[1]
    chunks = -(-rows * groups * m // SCRATCH_SCORES)
    outs, lses = [], []
    for some in folded.chunk(chunks, dim=1) if chunks > 1 else (folded,):
        scores = scratch.take(q, groups, some.shape[1], m)
        for query, key, score in zip(some, keys, scores, strict=True):
            torch.mm(query, key.t(), out=score)  # one group at a time: a batch of strided keys would be copied first
        # The log-sum-exp comes free: any column's score less the log of its share. The mean over some columns halves
        # the rounding of the shares several times; a share that is 0 (a score far below the rest) tells nothing.
        probes = scores[..., : min(PROBES, m)].to(torch.float32, copy=True)
        torch.softmax(scores, dim=-1, out=scores)
        shares = scores[..., : min(PROBES, m)].float()
        tells = shares > torch.finfo(torch.float32).tiny
        lse = torch.where(tells, probes - shares.log(), 0.0).sum(-1, keepdim=True) / tells.sum(-1, keepdim=True)
        if not bool(tells.any(-1).all()):
            exact = torch.logsumexp(torch.matmul(some.float(), keys.float().transpose(1, 2)), -1, keepdim=True)
            lse = torch.where(tells.any(-1, keepdim=True), lse, exact)
        outs.append(torch.bmm(scores, values))
        lses.append(lse)
    out, lse = (outs[0], lses[0]) if len(outs) == 1 else (torch.cat(outs, 1), torch.cat(lses, 1))
    return out[:, :asked].reshape(1, heads, n, width), lse[:, :asked].reshape(1, heads, n, 1)


def own(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Part:
    """As `seen`, where every query sees a key: itself. The flash kernel is the fastest for few keys on a CPU."""
    if q.device.type != "cpu":
        return seen(q, k, v, mask)
    batch, heads, n, width = q.shape
    groups = k.shape[1]
    repeats = heads // groups
    if mask is not None:
        mask = mask.expand(batch, 1, n, -1).repeat(1, 1, repeats, 1)
    folded = q.reshape(batch, groups, repeats * n, width)
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(folded, k, v, attn_mask=mask)
    return out.reshape(batch, heads, n, width), lse.float().reshape(batch, heads, n, 1)


def seen(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Part:
    """Queries (b, H, n, d) over keys (b, G, m, d) as far as the additive `mask` (b or 1, 1, n, m) shows them.

    For few keys, some queries of which may see none: those have a log-sum-exp of minus infinity.
    """
    batch, heads, n, width = q.shape
    groups, m = k.shape[1], k.shape[2]
    repeats = heads // groups
    folded = q.reshape(batch, groups, repeats * n, width)
    scores = torch.matmul(folded, k.transpose(2, 3)).float() * width**-0.5
    if mask is not None:
        scores = (scores.view(batch, groups, repeats, n, m) + mask[:, :, None]).view(scores.shape)
    lse = torch.logsumexp(scores, -1, keepdim=True)
    weights = torch.exp(scores - lse.clamp_min(torch.finfo(torch.float32).min)).to(v.dtype)
    return torch.matmul(weights, v).view(batch, heads, n, width), lse.view(batch, heads, n, 1)


def mixed(parts: Sequence[Part]) -> Tensor:
    """The attention over the keys of all parts together. -> (b, H, n, d)."""
    if len(parts) == 1:
        return parts[0][0]
    shares = torch.softmax(torch.cat([lse for _, lse in parts], -1), dim=-1)
    total = parts[0][0] * shares[..., :1]
    for at, (out, _) in enumerate(parts[1:], 1):
        total = torch.addcmul(total, out.to(total.dtype), shares[..., at : at + 1])
    return total.to(parts[0][0].dtype)
