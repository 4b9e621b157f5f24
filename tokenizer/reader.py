"""The learned-query transformer that reads a frame's patch features into one token.

Queries attend over the patches; because the queries are learned and not computed from the frame, their key projection
is folded into them and the value projection is applied after pooling, so that reading 81 patches costs about 60 MFLOP.
The pooled vectors become latents, which a small pre-norm transformer mixes; the first latent leaves as the token.
Idea: BLIP-2's Q-Former (Li et al. 2023, https://arxiv.org/abs/2301.12597) and Perceiver (Jaegle et al. 2021).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PatchPool(nn.Module):
    """`queries` learned queries over patches: scores (B, N, P) from one set of features, pooled values of the
    same set.
    """

    def __init__(self, patches: int, channels: int, queries: int, width: int, guide: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(queries, channels) * 2 * channels**-0.5)
        self.position = nn.Parameter(torch.zeros(queries, patches))
        self.value = nn.Parameter(torch.randn(queries, channels, width // 8) * channels**-0.5)
        self.out = nn.Parameter(torch.randn(queries, width // 8, width) * (width // 8) ** -0.5)
        self.guide = nn.Linear(guide, channels, bias=False)
        nn.init.zeros_(self.guide.weight)

    def forward(self, x: Tensor, guide: Tensor | None = None) -> Tensor:
        """Latents (B, queries, width) of features (B, P, C); `guide` (B, G) shifts every query."""
        if guide is None:
            scores = x @ self.query.T.to(x.dtype)
        else:
            queries = self.query.unsqueeze(0) + self.guide(guide).unsqueeze(1)
            scores = x @ queries.transpose(1, 2).to(x.dtype)
        attention = (scores.transpose(1, 2) + self.position).softmax(-1)
        pooled = attention.to(x.dtype) @ x
        values = torch.einsum("bqc,qcd->bqd", pooled, self.value.to(pooled.dtype))
        return torch.einsum("bqd,qdw->bqw", values, self.out.to(values.dtype))


class Block(nn.Module):
    """One pre-norm transformer layer over the latents."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) to the same shape."""
        b, n, w = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, w)
        x = x + self.proj(mixed)
        out: Tensor = x + self.down(F.gelu(self.up(self.norm2(x))))
        return out


class TokenReader(nn.Module):
    """Features from one or more sources (each (B, P, C)) to one token (B, D)."""

    def __init__(
        self,
        sources: int,
        patches: int,
        channels: int,
        *,
        queries: int,
        width: int,
        layers: int,
        heads: int,
        guide: int,
        out: int,
    ) -> None:
        super().__init__()
        self.pools = nn.ModuleList(PatchPool(patches, channels, queries, width, guide) for _ in range(sources))
        self.mean = nn.Linear(channels * sources, width)
        self.guide = nn.Linear(guide, width, bias=False)
        self.latent = nn.Parameter(torch.randn(sources * queries + 1, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, out)

    def forward(self, sources: list[Tensor], guide: Tensor | None = None) -> Tensor:
        """The token (B, D) of B frames; `guide` (B, G) is a unit-length text embedding."""
        query = self.mean(torch.cat([x.mean(1) for x in sources], -1)).unsqueeze(1)
        if guide is not None:
            query = query + self.guide(guide).unsqueeze(1)
        latents = [query, *(pool(x, guide) for pool, x in zip(self.pools, sources, strict=True))]
        h = torch.cat([x.to(query.dtype) for x in latents], 1) + self.latent
        for block in self.blocks:
            h = block(h)
        token: Tensor = self.out(self.norm(h[:, 0]))
        return token
