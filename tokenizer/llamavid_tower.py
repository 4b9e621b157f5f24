"""Two towers on one frame: the one that scores pictures against texts, and a LLaMA-VID checkpoint's own.

A checkpoint has no contrastive head, so search, alerts and evidence go on with the scorer's tower beside it. Both
pictures of a frame travel as one tensor, side by side: squashed to the scorer's square, and padded to the checkpoint's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from llama_vid.tokenizer.change import luma_grid
from llama_vid.tokenizer.llamavid_compressor import GuidedEncoded
from llama_vid.tokenizer.llamavid_vision import EvaTower, padded
from llama_vid.tokenizer.tower import Encoded, Image8, ImageTower, squash


class GuidedTower(ImageTower):
    """`ImageTower` of a scorer that also gives the features of `vision`; texts are the scorer's."""

    def __init__(self, scorer: ImageTower, vision: EvaTower) -> None:
        mean, std = (scorer.get_buffer(name).flatten().cpu() / 255 for name in ("mean", "std"))
        super().__init__(scorer.clip, scorer._tokenize, size=scorer.size, mean=mean.tolist(), std=std.tolist())
        self.vision = vision.eval().requires_grad_(False)
        self.people = scorer.people

    def pixels(self, images: Sequence[Image8]) -> Tensor:
        """RGB frames (H, W, 3) of any size as (B, 3, the higher of the two, both widths) uint8."""
        one, other = self.size, self.vision.shape.size
        out = torch.zeros(len(images), 3, max(one, other), one + other, dtype=torch.uint8)
        for row, image in enumerate(images):
            out[row, :, :one, :one] = torch.from_numpy(squash(image, one)).permute(2, 0, 1)
            out[row, :, :other, one:] = torch.from_numpy(padded(image, other)).permute(2, 0, 1)
        return out

    def luma(self, pixels: Tensor) -> Tensor:
        """Of the scorer's picture: where a frame changes does not depend on the model that reads it."""
        return luma_grid(pixels[:, :, : self.size, : self.size])

    def encode_pixels(self, pixels: Tensor) -> Encoded:
        """Both towers' features of (B, 3, H, W) uint8 as `pixels` gives them; of the scorer's square alone, its own."""
        size = self.size
        seen = super().encode_pixels(pixels[:, :, :size, :size])
        if pixels.shape[-1] == size:
            return seen
        features = self.vision(pixels[:, :, : self.vision.shape.size, size:])
        return GuidedEncoded(seen.patches, seen.embedding, seen.luma, features)
