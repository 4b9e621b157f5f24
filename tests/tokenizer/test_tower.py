"""The `mini` tower on its real pretrained parts with random heads: skipped where the packages are not installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from llama_vid.errors import BundleError
from llama_vid.tokenizer.head import ImageHead, TextHead
from llama_vid.tokenizer.tower import EFFICIENTNET, MINILM, ImageTower, load_trunk, mini_tower, squash


def member(seed: int) -> Mapping[str, Tensor]:
    torch.manual_seed(seed)
    image, text = ImageHead(81, 1280, 512).state_dict(), TextHead(384, 512).state_dict()
    return {f"image.{k}": v for k, v in image.items()} | {f"text.{k}": v for k, v in text.items()}


@pytest.fixture(scope="module")
def tower() -> ImageTower:
    try:
        EFFICIENTNET.path()
        MINILM.path()
    except BundleError as problem:
        pytest.skip(str(problem))
    return mini_tower([member(1), member(2)])


@pytest.fixture(scope="module")
def images() -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, shape, dtype=np.uint8) for shape in ((48, 80, 3), (260, 260, 3), (300, 200, 3))]


@pytest.mark.model
def test_one_forward_gives_patches_and_embedding(
    tower: ImageTower, images: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = tower.engine
    assert engine is not None
    calls: list[int] = []
    forward = engine.forward

    def counted(pixels: Tensor) -> Tensor:
        calls.append(len(pixels))
        return forward(pixels)

    monkeypatch.setattr(engine, "forward", counted)
    with torch.inference_mode():
        encoded = tower.encode(images)
    assert calls == [3]
    assert encoded.patches.shape == (3, 81, 1280)
    assert encoded.embedding.shape == (3, tower.width) == (3, 1024)
    assert encoded.luma.shape == (3, 52, 52)
    torch.testing.assert_close(encoded.embedding.norm(dim=-1), torch.ones(3))
    assert (tower.patches, tower.channels, tower.size) == (81, 1280, 260)


@pytest.mark.model
def test_a_batch_is_what_its_frames_are(tower: ImageTower, images: list[Any]) -> None:
    with torch.inference_mode():
        together, alone = tower.encode(images), tower.encode(images[2:])
    torch.testing.assert_close(together.patches[2:], alone.patches, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(together.embedding[2:], alone.embedding, atol=1e-4, rtol=1e-3)


@pytest.mark.model
def test_joined_members_score_the_mean_of_their_cosines(tower: ImageTower, images: list[Any]) -> None:
    texts = ["a dog runs", "snow"]
    with torch.inference_mode():
        both = tower.encode(images).embedding @ tower.encode_text(texts).T
        single = []
        for seed in (1, 2):
            one = mini_tower([member(seed)])
            single.append(one.encode(images).embedding @ one.encode_text(texts).T)
    torch.testing.assert_close(both, torch.stack(single).mean(0), atol=1e-5, rtol=1e-4)


@pytest.mark.model
def test_texts_keep_their_embedding_in_any_company(tower: ImageTower) -> None:
    long = "a very long sentence " * 60
    with torch.inference_mode():
        alone, together = tower.encode_text(["a dog"]), tower.encode_text(["a dog", long, ""])
    torch.testing.assert_close(together[:1], alone, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(3))


@pytest.mark.model
def test_heads_and_trunks_that_do_not_fit_are_refused(tower: ImageTower, tmp_path: Path) -> None:
    broken = {key: value for key, value in member(1).items() if key != "image.query"}
    with pytest.raises(BundleError, match="the image-text head does not fit"):
        mini_tower([broken])
    clip: Any = tower.clip
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(BundleError, match=r"other\.pth does not fit"):
        load_trunk(clip.visual.trunk, tmp_path / "other.pth")


@pytest.mark.parametrize(("height", "width"), [(360, 640), (720, 1280), (301, 199), (100, 90)])
def test_squash_is_what_pillow_gives(height: int, width: int) -> None:
    coarse = np.random.default_rng(2).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    image = np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))
    image.flags.writeable = False  # as frames from `stream/` are
    pillow = np.array(Image.fromarray(image).resize((260, 260), Image.Resampling.BICUBIC))
    apart = np.abs(squash(image, 260).astype(int) - pillow.astype(int))
    assert apart.max() <= 2
    assert apart.mean() < 0.15


def test_squash_keeps_the_whole_picture() -> None:
    wide = np.zeros((100, 400, 3), np.uint8)
    wide[:, :10] = 255  # what a crop to a square would lose
    small = squash(wide, 50)
    assert small.shape == (50, 50, 3)
    assert small[:, 0].mean() > 200
    assert small[:, 10:].mean() < 5
    same = np.random.default_rng(0).integers(0, 255, (50, 50, 3), dtype=np.uint8)
    assert np.array_equal(squash(same, 50), same)
    assert squash(same, 50) is not same
