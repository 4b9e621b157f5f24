"""The trained members of the image-text head, side by side, on cached features and text states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from llama_vid.errors import ConfigError
from llama_vid.tokenizer.head import ImageHead, TextHead

BATCH: Final = 200


class Members:
    """Heads as stage 0 saves them; joined embeddings are of unit length, their cosine the mean of the members' own."""

    def __init__(self, states: Sequence[Mapping[str, Any]]) -> None:
        self.states = list(states)
        self._images: list[ImageHead] = []
        self._texts: list[TextHead] = []
        for state in self.states:
            queries, patches = state["image"]["position"].shape
            hidden, channels = state["image"]["mean.weight"].shape
            width = len(state["image"]["down.weight"])
            image = ImageHead(patches, channels, width, queries=queries, hidden=hidden)
            text = TextHead(state["text"]["up.weight"].shape[1], width, hidden=len(state["text"]["up.weight"]))
            image.load_state_dict(state["image"])
            text.load_state_dict(state["text"])
            self._images.append(image.eval())
            self._texts.append(text.eval())

    @classmethod
    def load(cls, files: Sequence[Path]) -> Members:
        """Members from stage 0's files. Raises ConfigError if one is missing."""
        for file in files:
            if not file.is_file():
                raise ConfigError(f"{file} is not there: that member is not trained; run: llama-vid train head")
        return cls([torch.load(file, map_location="cpu", weights_only=True) for file in files])

    def images(self, features: npt.NDArray[np.float16]) -> Tensor:
        """Embeddings (N, members * E) of features (N, P, C)."""
        rows: list[Tensor]
        with torch.inference_mode():
            rows = [
                torch.cat(
                    [head(torch.from_numpy(np.array(features[i : i + BATCH])).float()) for head in self._images], -1
                )
                for i in range(0, len(features), BATCH)
            ]
        joined: Tensor = torch.cat(rows) / len(self._images) ** 0.5
        return joined

    def texts(self, states: Tensor) -> Tensor:
        """Embeddings (N, members * E) of text states (N, 384)."""
        with torch.inference_mode():
            joined: Tensor = torch.cat([head(states) for head in self._texts], -1) / len(self._texts) ** 0.5
        return joined
