"""`eval retrieval` and `eval captions` on a tiny folder in Flickr8k's format."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from evaluation.captions import CONSTANT, evaluate_captions, worst_captions
from evaluation.flickr import read_split
from evaluation.retrieval import evaluate_retrieval
from llama_vid.errors import ConfigError, SourceError
from tests.conftest import painted
from tests.evaluation.oracle import OracleFull, OracleModel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six test photos and two training photos, each with its number painted in, and three captions."""
    (tmp_path / "photos").mkdir()
    lines = ["image\tsplit\tcaption_no\tcaption"]
    for number in range(1, 9):
        split = "train" if number > 6 else "test"
        Image.fromarray(painted(number)).save(tmp_path / "photos" / f"{number}.png")
        for caption_no, words in enumerate(("this picture shows the number", 'a "big', "here you can see")):
            lines.append(f"{number}.png\t{split}\t{caption_no}\t{words} {number}")
    (tmp_path / "captions.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_splits_are_kept_apart_and_quotation_marks_are_text(folder: Path) -> None:
    photos = read_split(folder, "test")
    assert [photo.path.name for photo in photos] == [f"{number}.png" for number in range(1, 7)]
    assert photos[0].captions[1] == 'a "big 1'
    with pytest.raises(ConfigError, match="no photos of the split 'dev'"):
        read_split(folder, "dev")


def test_retrieval_both_ways(folder: Path) -> None:
    result = evaluate_retrieval(OracleModel(), folder).to_json()
    assert (result["n"], result["captions"]) == (6, 18)
    assert result["text_to_image"]["r@1"] == 1.0
    assert result["image_to_text"]["r@1"] == 1.0
    assert result["baselines"]["chance"]["text_to_image"]["r@1"] == pytest.approx(1 / 6)


def test_captions_beside_their_baselines(folder: Path) -> None:
    pytest.importorskip("pycocoevalcap")
    ticks = []
    result = evaluate_captions(OracleModel(), folder, tick=lambda: ticks.append(1)).to_json()
    assert result["n"] == 6
    assert result["bleu4"] == pytest.approx(1.0)
    assert result["cider"] > result["baselines"]["people"]["cider"] > result["baselines"]["constant"]["cider"]
    assert result["samples"]["1.png"].startswith("this picture shows the number 1 [")
    assert result["baselines"]["full"] == {"missing": "this model has no full-token baseline"}
    assert ticks


def test_full_captions_and_the_worst_ones(folder: Path) -> None:
    pytest.importorskip("pycocoevalcap")
    result = evaluate_captions(OracleModel(full=OracleFull()), folder)
    figures = result.to_json()
    assert 0 < figures["baselines"]["full"]["cider"] < figures["cider"]
    assert result.cases == (), "the oracle's captions share their words with the photos'"
    wrong = worst_captions(read_split(folder, "test")[:2], ["this shows the number", "zebras everywhere"], "llama-vid")
    assert [case.said for case in wrong] == ["zebras everywhere"]
    with pytest.raises(ConfigError, match="full cannot be measured: this model has no"):
        evaluate_captions(OracleModel(), folder, system="full")


def test_constant_and_nearest_systems(folder: Path) -> None:
    pytest.importorskip("pycocoevalcap")
    constant = evaluate_captions(OracleModel(), folder, system="constant").to_json()
    assert constant["samples"]["1.png"].startswith(CONSTANT)
    assert constant["baselines"] == {}
    nearest = evaluate_captions(OracleModel(), folder, system="nearest", limit=2).to_json()
    assert "number" in nearest["samples"]["1.png"]


def test_a_missing_photo_is_named(folder: Path) -> None:
    (folder / "photos" / "3.png").unlink()
    with pytest.raises(SourceError, match=r"3\.png is missing or damaged"):
        evaluate_retrieval(OracleModel(), folder)
