"""A model so small that a cluster of it starts in seconds: its tower knows colours, its language model is random."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llama_vid.bundle import Bundle
from llama_vid.cluster_parts import DistantEncode, DistantTower, WorkerBundle, absent_language
from llama_vid.llm.calibration import Calibration
from llama_vid.llm.language import LanguageModel
from llama_vid.memory.budget import Budget
from llama_vid.tokenizer.compressor import Compressor, CompressorConfig
from llama_vid.tokenizer.scoring import SceneScorer
from llama_vid.tokenizer.tower import ImageTower

COLOURS = ("red", "green", "blue")
WIDTH, SIZE = 8, 104
CONFIG = CompressorConfig(patches=9, channels=16, guide=WIDTH, width=24, queries=4, layers=1, heads=2, out=48)


class ColourVision(nn.Module):
    """Nine patches of a picture, and its colour as a direction."""

    output_tokens = True

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.randn(3, CONFIG.channels, generator=torch.Generator().manual_seed(3)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        patches = F.adaptive_avg_pool2d(x, 3).flatten(2).transpose(1, 2)
        colour = F.pad(patches.mean(1).clamp(min=0), (0, WIDTH - 3))
        rest = F.one_hot(torch.full((len(x),), 3), WIDTH) * 0.1
        return colour + rest, patches @ self.mix


class ColourClip(nn.Module):
    """Texts that name a colour lie in its direction."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = ColourVision()
        self.anything = nn.Parameter(torch.zeros(1))

    def encode_text(self, numbers: Tensor) -> Tensor:
        return torch.eye(WIDTH)[numbers.flatten()] + self.anything


def _numbers(texts: list[str]) -> Tensor:
    return torch.tensor([next((at for at, word in enumerate(COLOURS) if word in text), 4) for text in texts])


def tiny_tower() -> ImageTower:
    """The whole tower."""
    return ImageTower(ColourClip(), _numbers, size=SIZE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def tiny_scorer(tower: ImageTower) -> SceneScorer:
    """Scores against grey photos."""
    noise = torch.randn(128, WIDTH, generator=torch.Generator().manual_seed(0)) * 0.3
    return SceneScorer(tower, F.normalize(noise + torch.eye(WIDTH)[3], dim=1))


def tiny_compressor() -> Compressor:
    """Random, always the same."""
    torch.manual_seed(5)
    return Compressor(CONFIG).eval().requires_grad_(False)


@dataclass(frozen=True, slots=True)
class TinyParts:
    """`cluster_parts.Parts` of the tiny model; `folder` holds its language model."""

    folder: Path

    def tower(self) -> ImageTower:
        return tiny_tower()

    def eyes(self, encode: DistantEncode, budget: Budget) -> Bundle:
        tower = DistantTower(tiny_tower(), encode)
        return WorkerBundle(
            "tiny", tower, tiny_compressor(), absent_language(), tiny_scorer(tower), Calibration(), shared=budget
        )

    def whole(self, encode: DistantEncode) -> Bundle:
        tower = DistantTower(tiny_tower(), encode)
        return Bundle("tiny", tower, tiny_compressor(), self.language(), tiny_scorer(tower))

    def alone(self) -> Bundle:
        """All of it in one process."""
        tower = tiny_tower()
        return Bundle("tiny", tower, tiny_compressor(), self.language(), tiny_scorer(tower))

    def language(self) -> LanguageModel:
        return LanguageModel.load(self.folder, device="cpu", dtype="fp32")


def coloured(*colours: str, seconds_each: int = 4, height: int = 96, width: int = 160) -> list[npt.NDArray[np.uint8]]:
    """A picture for each second: stretches of one colour, each with a bar that moves."""
    pictures = []
    for colour in colours:
        for second in range(seconds_each):
            image = np.full((height, width, 3), 20, np.uint8)
            image[:, :, COLOURS.index(colour) if colour in COLOURS else slice(None)] = 200 if colour in COLOURS else 90
            image[:, 20 * second : 20 * second + 10] = 250
            pictures.append(image)
    return pictures


def config_with(folder: Path, **sections: Any) -> Any:
    """A configuration with this memory folder."""
    from llama_vid.settings import Config

    return Config.model_validate({"memory": {"path": str(folder)}, **sections})
