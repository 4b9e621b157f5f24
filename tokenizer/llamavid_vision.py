"""The image tower of the published LLaMA-VID checkpoints: EVA-ViT-g, whose patch features are taken as they are.

It is the tower of BLIP-2 (transformers' `Blip2VisionModel`) less its last layer and its final norm: 39 layers, width
1408, 14-pixel patches, a class feature in front. Sources: Fang et al. 2023, EVA, https://arxiv.org/abs/2211.07636; Li
et al. 2023, BLIP-2, https://arxiv.org/abs/2301.12597.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from llama_vid.tokenizer.tower import Image8, resized

#: The normalisation of pixels in 0…1, as CLIP has it.
MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
STD: Final = (0.26862954, 0.26130258, 0.27577711)
#: What fills the bars of a picture that is not square: the mean colour, as in the training of the checkpoints.
BAR: Final = tuple(int(value * 255) for value in MEAN)


@dataclass(frozen=True, slots=True)
class VisionShape:
    """The tower's size: pictures of `size` pixels in patches of `patch`, `layers` of `width`, and their MLPs' width."""

    size: int = 224
    patch: int = 14
    width: int = 1408
    layers: int = 39
    heads: int = 16
    hidden: int = 6144

    @property
    def positions(self) -> int:
        """Features of a picture: one for each patch, and the class feature before them."""
        return (self.size // self.patch) ** 2 + 1


class EvaTower(nn.Module):
    """RGB pixels to raw features. Its weights' type is what it computes in."""

    def __init__(self, shape: VisionShape) -> None:
        super().__init__()
        from transformers import Blip2VisionConfig, Blip2VisionModel

        self.shape = shape
        model: Any = Blip2VisionModel(
            Blip2VisionConfig(
                hidden_size=shape.width,
                intermediate_size=shape.hidden,
                num_hidden_layers=shape.layers,
                num_attention_heads=shape.heads,
                image_size=shape.size,
                patch_size=shape.patch,
                layer_norm_eps=1e-6,
                qkv_bias=True,
            )
        )
        model.post_layernorm = nn.Identity()  # LLaMA-VID reads the features before it
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (B, 1 + P, C), the class feature first, of pixels (B, 3, size, size) uint8."""
        device, dtype = self.model.embeddings.class_embedding.device, self.model.embeddings.class_embedding.dtype
        mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) * 255 for values in (MEAN, STD))
        x = (pixels.to(device, torch.float32) - mean) / std
        features: Tensor = self.model(x.to(dtype)).last_hidden_state
        return features


def padded(image: Image8, size: int) -> Image8:
    """An RGB image (H, W, 3) in the middle of a square (size, size, 3), its aspect ratio kept, bars in the mean colour.

    Nothing is cut off. The checkpoints were trained on photos padded like this.
    """
    height, width = image.shape[:2]
    scale = size / max(height, width)
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    out = np.empty((size, size, 3), dtype=np.uint8)
    out[:] = BAR
    top, left = (size - tall) // 2, (size - wide) // 2
    out[top : top + tall, left : left + wide] = resized(image, wide, tall)
    return out
