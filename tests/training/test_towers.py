"""Recipes for other towers and language models, end to end with tiny random parts of the same kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from llama_vid.bundle import load_bundle, read_manifest
from llama_vid.commands.inventory import folder_bundle, verify_bundle
from llama_vid.errors import BundleError, ConfigError
from llama_vid.model import LLaMAVID
from llama_vid.needs import free_bytes, language_bytes, parameters, refuse_if_too_large
from tests.conftest import painted, write_video
from tests.training.tiny_parts import CAPTIONS, tiny_llama, tiny_photos, tiny_tower
from training.concepts import CONCEPTS
from training.recipe import RECIPES
from training.run import run_recipe
from training.towers import load_language

#: For each recipe the real tower, its patches, and what the language model's shape has that `mini`'s has not.
SHAPES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "vit-b-32_llama-3.2-1b": (
        "ViT-B-32", 49,
        {
            "rope_parameters": {
                "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 1024,
            }
        },
    ),
    "vit-l-14_llama-2-7b": ("ViT-L-14", 256, {"num_key_value_heads": 6, "tie_word_embeddings": False}),
}  # fmt: skip
SHORT = {
    "seconds": 0.4, "warm_seconds": 0.1, "rows": 1, "length": 320, "rank": 2, "warm_batch": 4, "compiled": False,
    "report_steps": 1, "words": 50,
}  # fmt: skip


def written(folder: Path, name: str, **keys: Any) -> Path:
    """The recipe that comes with the program, with other keys."""
    yaml = YAML()
    tree = yaml.load((RECIPES / f"{name}.yaml").read_text())
    tree.update(keys)
    path = folder / f"{name}.yaml"
    yaml.dump(tree, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_a_recipe_from_photos_to_an_answer(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, patches, shape = SHAPES[name]
    tower, weights = tiny_tower(tmp_path, real)
    llama = tiny_llama(tmp_path / "llama", **shape)
    monkeypatch.setenv("LLAMA_VID_DATA", str(tiny_photos(tmp_path / "data")))
    recipe = written(
        tmp_path, name, out=str(tmp_path / "runs"), cache=str(tmp_path / "cache"),
        tower={"name": tower, "weights": str(weights), "get": "the test"}, language={"folder": str(llama)},
        changes={
            "align": SHORT,
            "export": {"run": "align", "bundle": str(tmp_path / "tiny"), "photos": 3, "captioned": 5},
        },
    )  # fmt: skip
    report: Any = run_recipe(str(recipe))
    assert report["align"]["steps"] >= 1
    features = np.load(tmp_path / "cache" / "flickr8k-train.npy", mmap_mode="r")
    assert features.shape == (4, 8, patches, 64)
    embeddings = np.load(tmp_path / "cache" / "flickr8k-train-embeddings.npy")
    np.testing.assert_allclose(np.linalg.norm(embeddings.astype(np.float32), axis=1), 1, atol=1e-2)
    assert np.load(tmp_path / "cache" / "concepts.npy").shape == (len(CONCEPTS), 24)
    chances = np.load(tmp_path / "cache" / "flickr8k-dev-imagenet.npy")
    assert chances.shape == (4, 1000)
    np.testing.assert_allclose(chances.sum(1), 1, rtol=1e-3)

    manifest = read_manifest(tmp_path / "tiny")
    assert manifest["heads"] == []
    assert manifest["tower"]["name"] == tower
    assert set(manifest["language"]["files"]) >= {"config.json", "tokenizer.json"}
    assert (manifest["compressor"]["patches"], manifest["compressor"]["channels"]) == (patches, 64)
    assert (manifest["compressor"]["out"], manifest["compressor"]["guide"]) == (48, 24)
    assert verify_bundle(folder_bundle(tmp_path / "tiny")).state == "here"

    bundle = load_bundle(str(tmp_path / "tiny"), device="cpu")
    assert (bundle.tower.patches, bundle.language.width) == (patches, 48)
    assert bundle.budget().marks >= bundle.budget().mark_count * len(bundle.language.tokenize("[9999 min]"))
    deltas = torch.load(tmp_path / "runs" / "align.pt", weights_only=True)["decoder"]
    assert any(float(value.abs().max()) > 0 for key, value in deltas.items() if ".b." in key), "LoRA was trained"
    film = write_video(tmp_path / "film.mp4", [painted(number) for number in range(3)])
    opened = LLaMAVID(bundle).open(film)
    assert opened.ask("Is there a dog?").answer.split()[0].strip(".,") in ("Yes", "No")
    assert opened.ask("What is in the video?").answer
    assert opened.ask("What is in the video?").tokens.per_frame == 2
    assert opened.search("a dog")

    # What the bundle needs is looked for beside its manifest, too; another file of that name is refused.
    weights.rename(tmp_path / "tiny" / weights.name)
    assert load_bundle(str(tmp_path / "tiny"), device="cpu").tower.patches == patches
    (tmp_path / "tiny" / weights.name).write_bytes(b"something else")
    with pytest.raises(BundleError, match=rf"{tower} that the bundle tiny was trained with: sha256 is"):
        load_bundle(str(tmp_path / "tiny"))
    (tmp_path / "tiny" / weights.name).unlink()
    with pytest.raises(BundleError, match=rf"needs the weights of the image tower {tower}: .*had from: the test"):
        load_bundle(str(tmp_path / "tiny"))
    lacking = verify_bundle(folder_bundle(tmp_path / "tiny"))
    assert (lacking.state, "the image tower" in lacking.detail) == ("missing", True)
    with pytest.raises(ConfigError, match=r"are not here; it is to be had from: the test"):
        run_recipe(str(recipe))


@pytest.mark.slow
def test_a_recipe_names_its_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_photos(tmp_path / "data")
    monkeypatch.setenv("LLAMA_VID_DATA", str(data))
    own = tmp_path / "own"
    (own / "train2017").mkdir(parents=True)
    images, told = [], []
    for i in range(9):
        picture = np.random.default_rng(100 + i).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(picture).save(own / "train2017" / f"{i:012}.jpg")
        images.append({"id": i, "file_name": f"{i:012}.jpg", "width": 64, "height": 64})
        told += [{"id": 2 * i + n, "image_id": i, "caption": CAPTIONS[(i + n) % 4]} for n in range(2)]
    # A copy of a photo that is held out for evaluation must not come through.
    held_out = (data / "flickr8k" / "photos" / "11.jpg").read_bytes()
    (own / "train2017" / f"{8:012}.jpg").write_bytes(held_out)
    (own / "captions_train2017.json").write_text(json.dumps({"images": images, "annotations": told}))
    name, weights = tiny_tower(tmp_path, "ViT-B-32")
    llama = tiny_llama(tmp_path / "llama")
    recipe = tmp_path / "own.yaml"
    keys = f"out: {tmp_path / 'runs'}\ncache: {tmp_path / 'cache'}\ntower: {{name: {name}, weights: {weights}}}\n"
    named = f"data: [{{path: {own / 'captions_train2017.json'}}}]\n"
    short = ", ".join(f"{key}: {json.dumps(value)}" for key, value in SHORT.items())
    recipe.write_text(
        f"stage: sequence\nrecipes: [prepare, labels, align]\nlanguage: {{folder: {llama}}}\n{keys}{named}"
        f"changes:\n  align: {{{short}}}\n"
    )
    report: Any = run_recipe(str(recipe))
    assert report["prepare"]["photos"]["flickr8k-train"] == 8
    assert report["align"]["steps"] >= 1
    (tmp_path / "labels.yaml").write_text(f"stage: labels\nseeds: [1]\n{keys}")
    with pytest.raises(ConfigError, match="holds features of other training photos"):
        run_recipe(str(tmp_path / "labels.yaml"))
    (tmp_path / "labels.yaml").write_text(f"stage: labels\nseeds: [1]\n{keys}{named}")
    assert run_recipe(str(tmp_path / "labels.yaml"))["concepts"] == len(CONCEPTS)


def test_features_of_another_tower_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_VID_DATA", str(tiny_photos(tmp_path / "data")))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "tower.json").write_text(json.dumps({"name": "ViT-L-14", "sha256": "0"}))
    (tmp_path / "own.yaml").write_text(f"stage: labels\nseeds: [1]\ncache: {tmp_path / 'cache'}\n")
    with pytest.raises(ConfigError, match="holds features of the tower ViT-L-14, the recipe names mini"):
        run_recipe(str(tmp_path / "own.yaml"))


def test_a_model_that_memory_does_not_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.recipe import Language

    folder = tiny_llama(tmp_path / "llama")
    numbers = parameters(sorted(folder.glob("*.safetensors")))
    assert numbers == sum(value.numel() for value in load_language(Language(folder=folder)).module.parameters())
    assert language_bytes(folder, 2) == pytest.approx(2 * numbers, rel=0.2)
    assert (free_bytes() or 1) > 0
    refuse_if_too_large("a model", 10, None)
    monkeypatch.setattr("training.towers.free_bytes", lambda: 1000)
    with pytest.raises(BundleError, match=r"the language model llama needs 0\.0 GB of memory, 0\.0 GB are free here"):
        load_language(Language(folder=folder))
    with pytest.raises(ConfigError, match=r"the language model's folder .*nowhere is not here"):
        load_language(Language(folder=tmp_path / "nowhere"))
    (folder / "model.safetensors").write_bytes(b"\x05\x00\x00\x00\x00\x00\x00\x00{....")
    with pytest.raises(BundleError, match="cannot be read as safetensors"):
        language_bytes(folder, 2)
