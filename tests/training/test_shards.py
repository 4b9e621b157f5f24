"""Shards of synthetic clips: made in pieces or at once they are the same, and the memory's own rules decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from llama_vid.errors import ConfigError
from llama_vid.tokenizer.change import luma_grid
from llama_vid.tokenizer.compressor import Compressor, CompressorConfig
from llama_vid.tokenizer.tower import Encoded
from training.synthetic.render import Painter
from training.synthetic.shards import BATCH, SyntheticClips, draw_plans, write_shards

CLIPS, PATCHES, CHANNELS = 8, 9, 8


class Tower:
    """Features that are brightness and colour of nine parts of the picture; gives up after `calls` batches."""

    patches, channels = PATCHES, CHANNELS

    def __init__(self, calls: int = 10_000) -> None:
        self.calls = calls
        self.mixed = torch.randn(3, CHANNELS, generator=torch.Generator().manual_seed(0))

    def encode(self, images: list[Any]) -> Encoded:
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        small = torch.nn.functional.adaptive_avg_pool2d(pixels.float(), 3).flatten(2).transpose(1, 2)
        return Encoded(small @ self.mixed / 64, torch.zeros(len(images), 1), luma_grid(pixels))


@pytest.fixture
def compressor() -> Compressor:
    torch.manual_seed(0)
    config = CompressorConfig(PATCHES, CHANNELS, guide=8, width=24, queries=4, layers=1, heads=2, out=16)
    return Compressor(config).eval()


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"{number}.jpg" for number in range(4)]
    for number, file in enumerate(files):
        small = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC).save(file)
    return files


def written(out: Path, tower: Any, compressor: Compressor, photos: list[Path], seed: int = 0) -> SyntheticClips:
    painter = Painter()
    return write_shards(out, tower, compressor, photos, draw_plans(CLIPS, seed, len(photos), painter), painter)


def test_an_interrupted_run_ends_like_one_without_a_break(
    tmp_path: Path, compressor: Compressor, photos: list[Path]
) -> None:
    whole = written(tmp_path / "whole", Tower(), compressor, photos)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "parts", Tower(calls=2), compressor, photos)
    rest = Tower(calls=-(-len(whole.features) // BATCH) - 2)  # not one batch more than is missing
    parts = written(tmp_path / "parts", rest, compressor, photos)
    for name in ("features", "luma", "energy", "held", "cut", "anchor", "previous"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name
    assert whole.clips == parts.clips
    assert whole.photos == tuple(photos)


def test_frames_and_questions_belong_to_their_clip(tmp_path: Path, compressor: Compressor, photos: list[Path]) -> None:
    found = written(tmp_path / "out", Tower(), compressor, photos)
    assert sum(clip.frames for clip in found.clips) == len(found.features)
    for clip in found.clips:
        rows = range(clip.first, clip.first + clip.frames)
        assert clip.frames == len(clip.truth.instants)
        assert clip.questions
        encoded = Encoded(
            torch.from_numpy(np.array(found.features[rows])).float(), torch.zeros(clip.frames, 1),
            torch.from_numpy(np.array(found.luma[rows])).float(),
        )  # fmt: skip
        with torch.inference_mode():
            _, pairs = compressor.run(compressor.begin(), encoded)
        anchor = clip.first
        for row, pair in zip(rows, pairs, strict=True):
            anchor = anchor if pair.held else row
            begins = row == clip.first or pair.cut
            assert (found.energy[row], found.held[row], found.cut[row]) == (
                pytest.approx(pair.energy), pair.held, pair.cut,
            )  # fmt: skip
            assert found.anchor[row] == anchor
            assert found.previous[row] == (-1 if begins else row - 1)


def test_a_folder_of_other_clips_is_refused(tmp_path: Path, compressor: Compressor, photos: list[Path]) -> None:
    written(tmp_path / "out", Tower(), compressor, photos)
    with pytest.raises(ConfigError, match="of other clips"):
        written(tmp_path / "out", Tower(), compressor, photos, seed=1)
