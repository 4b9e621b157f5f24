"""What a bundle needs beside itself is found where it was named, beside the manifest, or in LLAMA_VID_WEIGHTS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llama_vid.errors import BundleError
from llama_vid.needs import LanguageNeed, TowerNeed, language_files
from llama_vid.tokenizer.parts import sha256_of


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle's folder, a folder of weights with a tower's file and a language model's folder in it."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "weights" / "llama").mkdir(parents=True)
    (tmp_path / "weights" / "tower.bin").write_bytes(b"tower")
    for name in ("config.json", "tokenizer.json", "model-1.safetensors", "notes.txt"):
        (tmp_path / "weights" / "llama" / name).write_text(name)
    monkeypatch.delenv("LLAMA_VID_WEIGHTS", raising=False)
    return tmp_path


def test_a_bundle_without_needs_is_for_mini() -> None:
    assert TowerNeed.of({"format": 1}) is None
    assert LanguageNeed.of({"format": 1}) is None


def test_parts_are_looked_for_in_three_places(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, weights = places / "bundle", places / "weights" / "tower.bin"
    made = TowerNeed("ViT-B-32", "elsewhere/tower.bin", sha256_of(weights), "the hub")
    need = TowerNeed.of({"tower": made.to_json()})
    assert need == made
    with pytest.raises(BundleError, match=r"elsewhere/tower\.bin is not there \(to be had from: the hub\)"):
        made.find(bundle)
    monkeypatch.setenv("LLAMA_VID_WEIGHTS", f"{places / 'nothing'}:{places / 'weights'}")
    assert made.find(bundle) == weights
    (bundle / "tower.bin").write_bytes(b"tower")
    assert made.find(bundle) == bundle / "tower.bin"
    assert TowerNeed("ViT-B-32", str(weights), made.sha256).find(bundle) == weights


def test_a_language_model_is_known_by_its_files(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = places / "weights" / "llama"
    assert {path.name for path in language_files(folder)} == {"config.json", "tokenizer.json", "model-1.safetensors"}
    need = LanguageNeed.of({"language": LanguageNeed.made(folder, "").to_json()})
    assert need is not None
    assert need.find(places / "bundle") == folder
    (folder / "tokenizer.json").write_text("another")
    with pytest.raises(BundleError, match=r"tokenizer\.json is not the file of the language model .* expected"):
        need.find(places / "bundle")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BundleError, match=r"lacks tokenizer\.json, which the bundle bundle needs"):
        need.find(places / "bundle")
    folder.rename(places / "elsewhere")
    with pytest.raises(BundleError, match=r"needs the language model llama: the folder .* is not there"):
        need.find(places / "bundle")


@pytest.mark.parametrize("told", [None, {"name": "ViT-B-32"}, {"folder": "x", "size": 3}])
def test_a_manifest_that_says_too_little_is_refused(told: Any) -> None:
    with pytest.raises(BundleError, match="export the bundle again"):
        TowerNeed.of({"tower": told})
