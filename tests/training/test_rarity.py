"""The table of how rare words are: counted over training captions alone, put into a bundle, kept by exports."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llama_vid.bundle import MANIFEST, PEOPLE, RARITY, fingerprint, load_rarity, read_manifest
from llama_vid.errors import BundleError, ConfigError
from llama_vid.llm.agreement import hashed
from llama_vid.tokenizer.parts import sha256_of
from tests.training.test_export import export
from training.bundle_part import put_part
from training.rarity import main, rarity_of

LINES = [
    ("1.jpg", "train", "A dog runs ."),
    ("2.jpg", "train", "A dog sits ."),
    ("3.jpg", "train", "A cat sits ."),
    ("4.jpg", "test", "A zebra sits ."),
    ("5.jpg", "test", "A zebra runs ."),
    ("6.jpg", "dev", "A zebra runs ."),
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rows = ["image\tsplit\tcaption_no\tcaption"]
    rows += [f"{image}\t{split}\t{number}\t{text}" for image, split, text in LINES for number in (0, 1)]
    (tmp_path / "captions.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    return tmp_path


def test_only_training_photos_are_counted_once_each(photos: Path) -> None:
    keys = set(rarity_of(photos)["keys"].tolist())
    assert keys == {hashed(gram) for gram in ("a", "dog", "sits", "a dog")}, "in two photos or more of the train split"


def test_it_is_in_the_manifest_and_stays_over_an_export(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "tiny"
    export(bundle)
    before = fingerprint(bundle)
    assert load_rarity(bundle, read_manifest(bundle)) is None, "a bundle without the table is whole"
    monkeypatch.setattr("sys.argv", ["rarity", str(photos), "--bundle", str(bundle)])
    main()
    assert "4 entries" in capsys.readouterr().out
    manifest = read_manifest(bundle)
    assert manifest["files"][RARITY] == sha256_of(bundle / RARITY)
    assert fingerprint(bundle) != before
    rarity = load_rarity(bundle, manifest)
    assert rarity is not None
    assert rarity.weight("a") == 0.0 < rarity.weight("dog") < rarity.weight("zebra") == 1.0
    put_part({"linear": torch.zeros(3)}, bundle, PEOPLE)
    with_people = read_manifest(bundle)["files"][PEOPLE]
    again = export(bundle)
    assert again["files"][RARITY] == manifest["files"][RARITY]
    assert again["files"][PEOPLE] == with_people, "so is every part that no stage makes"
    assert set(load_file(bundle / RARITY)) == {"keys", "weights"}
    assert sorted(path.name for path in bundle.iterdir()) == sorted([*again["files"], MANIFEST])


def test_a_damaged_or_missing_table_is_one_clear_error(photos: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "tiny"
    export(bundle)
    put_part(rarity_of(photos), bundle, RARITY)
    manifest = read_manifest(bundle)
    (bundle / RARITY).write_bytes((bundle / RARITY).read_bytes()[:-1] + b"\x07")
    with pytest.raises(BundleError, match=r"rarity\.safetensors of the bundle tiny is damaged"):
        load_rarity(bundle, manifest)
    (bundle / RARITY).unlink()
    with pytest.raises(BundleError, match=r"the bundle tiny lacks rarity\.safetensors"):
        load_rarity(bundle, manifest)
    save_file({"keys": torch.zeros(2)}, bundle / RARITY)
    wrong = {"files": {RARITY: sha256_of(bundle / RARITY)}}
    with pytest.raises(BundleError, match="is no table of how rare words are"):
        load_rarity(bundle, wrong)


def test_a_folder_without_training_captions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "captions.tsv").write_text("image\tsplit\tcaption_no\tcaption\n1.jpg\ttest\t0\tA dog.\n", "utf-8")
    with pytest.raises(ConfigError, match="no captions of the split 'train'"):
        rarity_of(tmp_path)
