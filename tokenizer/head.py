"""Projections of the `mini` image-text model: locked towers, learned pooling (training stage 0).

The image head pools the 81 patches with learned queries (their key projection is folded in, their value projection
applied after pooling), beside the mean; the text head adds an MLP to a linear map of MiniLM's mean-pooled state.
Several independently seeded members are kept side by side: the cosine of the joined embeddings is the mean of the
members' cosines. Source: Radford et al. 2021, CLIP (attention pooling); Zhai et al. 2022, LiT (locked towers).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ImageHead(nn.Module):
    """One member: patch features (B, P, C) to a unit-length embedding (B, E)."""

    def __init__(
        self, patches: int, channels: int, width: int, *, queries: int = 16, hidden: int = 1024, drop: float = 0.0
    ) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(queries, channels) * 2 * channels**-0.5)
        self.position = nn.Parameter(torch.zeros(queries, patches))
        self.value = nn.Parameter(torch.randn(queries, channels, hidden // queries) * channels**-0.5)
        self.mean = nn.Linear(channels, hidden)
        self.norm = nn.LayerNorm(2 * hidden)
        self.drop = nn.Dropout(drop)
        self.up, self.down = nn.Linear(2 * hidden, hidden), nn.Linear(hidden, width)
        self.skip = nn.Linear(2 * hidden, width)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """`keep` (B, n) names the patches that `x` holds when some were dropped in training."""
        position = self.position if keep is None else self.position.T[keep].transpose(1, 2)
        attention = ((x @ self.query.T).transpose(1, 2) + position).softmax(-1)
        pooled = torch.einsum("bqc,qcd->bqd", attention.to(x.dtype) @ x, self.value).flatten(1)
        h = self.drop(self.norm(torch.cat([pooled, self.mean(x.mean(1))], -1)))
        return F.normalize(self.down(self.drop(F.gelu(self.up(h)))) + self.skip(h), dim=-1)


class TextHead(nn.Module):
    """One member: MiniLM's mean-pooled state (B, 384) to a unit-length embedding (B, E)."""

    def __init__(self, channels: int, width: int, *, hidden: int = 512, drop: float = 0.0) -> None:
        super().__init__()
        self.drop = nn.Dropout(drop)
        self.skip = nn.Linear(channels, width, bias=False)
        self.up, self.down = nn.Linear(channels, hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(F.normalize(x, dim=-1) * x.shape[-1] ** 0.5)
        return F.normalize(self.skip(x) + self.down(F.gelu(self.up(x))), dim=-1)


class ImageHeads(nn.Module):
    """All members on a trunk's feature map (B, C, H, W): their embeddings joined, (B, members * E)."""

    def __init__(self, members: int, patches: int, channels: int, width: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(ImageHead(patches, channels, width) for _ in range(members))

    def forward(self, grid: Tensor) -> Tensor:
        x = grid.flatten(2).transpose(1, 2)
        return torch.cat([member(x) for member in self.members], -1)


class TextHeads(nn.Module):
    """All members on MiniLM's pooled state (B, 384): their embeddings joined, (B, members * E)."""

    def __init__(self, members: int, channels: int, width: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(TextHead(channels, width) for _ in range(members))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([member(x) for member in self.members], -1)
