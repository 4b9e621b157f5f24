"""The baseline `full`: every patch of a frame becomes a token of the language model.

It shows what two tokens a frame cost in answers, and what they save: 81 tokens a frame on `mini`, 257 on ViT-L/14. A
two-layer projector as LLaVA-1.5 has it (Liu et al. 2023, https://arxiv.org/abs/2310.03744) with learned positions;
it is trained by the recipe of the compressor and only measured, never used by the program.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FullProjector(nn.Module):
    """Normalised patch features (B, P, C) to tokens (B, P, D)."""

    def __init__(self, patches: int, channels: int, out: int) -> None:
        super().__init__()
        self.patches = patches
        self.position = nn.Parameter(torch.zeros(patches, out))
        self.up, self.down = nn.Linear(channels, out), nn.Linear(out, out)

    def forward(self, x: Tensor) -> Tensor:
        """The tokens of B frames."""
        h = self.up(x)
        tokens: Tensor = self.down(F.gelu(h + self.position.to(h.dtype)))
        return tokens
