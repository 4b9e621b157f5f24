"""Any open_clip model by name with a local weights file: small random models of each kind, and a real ViT-B-32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from llama_vid.errors import BundleError
from llama_vid.tokenizer.open_clip_tower import open_clip_tower

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
MODELS: dict[str, dict[str, Any]] = {
    "tiny-vit": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "tiny-resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8},
    "tiny-convnext": {
        "timm_model_name": "convnext_atto", "timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear",
        "image_size": 64,
    },
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The models above, known to open_clip by name."""
    folder = tmp_path_factory.mktemp("configs")
    for name, vision in MODELS.items():
        config = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": TEXT}
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


def saved(name: str, path: Path, seed: int = 0) -> Any:
    """Random weights of a model, written to `path`; the model itself."""
    torch.manual_seed(seed)
    model: Any = open_clip.create_model(name, load_weights=False).eval()
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    else:
        torch.save({"state_dict": {f"module.{key}": value for key, value in model.state_dict().items()}}, path)
    return model


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
@pytest.mark.parametrize(
    ("name", "patches", "channels"), [("tiny-vit", 16, 64), ("tiny-resnet", 4, 256), ("tiny-convnext", 4, 320)]
)
def test_weights_are_those_of_the_file(tmp_path: Path, name: str, patches: int, channels: int, suffix: str) -> None:
    model = saved(name, tmp_path / f"weights.{suffix}", seed=3)
    tower = open_clip_tower(name, tmp_path / f"weights.{suffix}")
    assert (tower.size, tower.patches, tower.channels, tower.width) == (64, patches, channels, 24)
    image = np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)
    encoded = tower.encode([image, image[:, ::-1].copy()])
    assert encoded.patches.shape == (2, patches, channels)
    pixels = tower.pixels([image]).float() / 255
    mean, std = (torch.tensor(model.visual.preprocess_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        expected = model.encode_image((pixels - mean) / std, normalize=True)
        words = model.encode_text(open_clip.get_tokenizer(name)(["a dog"]), normalize=True)
        torch.testing.assert_close(tower.encode_text(["a dog"]), words, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(encoded.embedding[:1], expected, atol=1e-5, rtol=1e-4)


def test_vit_b_32_by_name(tmp_path: Path) -> None:
    saved("ViT-B-32", tmp_path / "b32.safetensors")
    tower = open_clip_tower("ViT-B/32", tmp_path / "b32.safetensors")
    assert (tower.size, tower.patches, tower.channels, tower.width) == (224, 49, 768, 512)


@pytest.mark.parametrize(
    ("name", "message"),
    [("ViT-B-23", "did you mean .*ViT-B-32"), ("qqqq", "no model 'qqqq'"), ("hf-hub:x/y", "no model")],
)
def test_unknown_names(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        open_clip_tower(name, tmp_path / "any.safetensors")


def test_missing_damaged_and_other_weights(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        open_clip_tower("tiny-vit", tmp_path / "missing.safetensors")
    for file in ("broken.safetensors", "broken.pt"):
        (tmp_path / file).write_bytes(b"not weights at all")
        with pytest.raises(BundleError, match=f"{file} cannot be read as weights"):
            open_clip_tower("tiny-vit", tmp_path / file)
    torch.save({"folder": tmp_path}, tmp_path / "pickled.pt")
    with pytest.raises(BundleError, match="cannot be read as weights"):
        open_clip_tower("tiny-vit", tmp_path / "pickled.pt")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(BundleError, match="cannot be read as weights"):
        open_clip_tower("tiny-vit", tmp_path / "list.pt")
    saved("tiny-resnet", tmp_path / "resnet.safetensors")
    with pytest.raises(BundleError, match="is not a checkpoint of tiny-vit"):
        open_clip_tower("tiny-vit", tmp_path / "resnet.safetensors")
