"""Nothing that results are reported on is ever trained on: by name, by content, and by looks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from llama_vid.errors import ConfigError, SourceError
from training.data.alike import ALIKE, alike, fingerprints
from training.data.example import Reason
from training.data.held_out import TRAINED_ON, HeldOut, captioned_photos, evaluation_media, flickr8k_names, held_out
from training.data.spec import DatasetSpec, mixed, opened_spec, opened_specs, report
from training.prepare import Photographs


def photo(path: Path, seed: int, *, size: int = 64, quality: int = 90) -> Path:
    """A photo of soft patches, the same for the same seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC).save(path, quality=quality)
    return path


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small data folder with everything that training and evaluation read."""
    lines = ["image\tsplit\tcaption_no\tcaption"]
    for number, split in enumerate(("train", "train", "train", "dev", "test", "none")):
        photo(tmp_path / "flickr8k" / "photos" / f"{number}.jpg", number)
        lines += [f"{number}.jpg\t{split}\t{caption}\tA dog ." for caption in range(5)]
    (tmp_path / "flickr8k" / "captions.tsv").write_text("\n".join(lines) + "\n")
    for number in range(10, 13):
        photo(tmp_path / "coco" / "unlabelled" / f"{number}.jpg", number)
        photo(tmp_path / "coco" / "photos" / f"{number + 10}.jpg", number + 10)
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (clips / name).write_bytes(name.encode() * 50)
    (clips / "clips.jsonl").write_text('{"file": "a.mp4", "caption": "A dog.", "index": 0, "seconds": 1}\n')
    monkeypatch.setenv("LLAMA_VID_DATA", str(tmp_path))
    return tmp_path


def trained_on(photos: Photographs) -> list[Path]:
    """Every photo that a recipe without data sets of its own learns from; films and labels are made of these."""
    return [*(photo.path for photo in photos.train), *photos.unlabelled]


def found_in_training(data: Path) -> list[Path]:
    """Photos that are trained on and evaluated on."""
    withheld = held_out(data)
    return [path for path in trained_on(Photographs()) if withheld.holds(path)]


def test_the_lists_of_a_small_world(world: Path) -> None:
    held = {path.relative_to(world).as_posix() for path in evaluation_media(world)}
    assert held == {
        "clips/a.mp4", "clips/b.mp4", "flickr8k/photos/3.jpg", "flickr8k/photos/4.jpg", "flickr8k/photos/5.jpg",
        "coco/photos/20.jpg", "coco/photos/21.jpg", "coco/photos/22.jpg",
    }  # fmt: skip
    assert len(trained_on(Photographs())) == 6
    assert found_in_training(world) == []


@pytest.mark.parametrize("original", ["flickr8k/photos/4.jpg", "flickr8k/photos/3.jpg", "coco/photos/21.jpg"])
@pytest.mark.parametrize("place", ["coco/unlabelled/13.jpg", "flickr8k/photos/1.jpg"])
def test_a_copy_under_another_name_is_found(world: Path, original: str, place: str) -> None:
    (world / place).write_bytes((world / original).read_bytes())
    assert found_in_training(world) == [world / place]


def test_a_test_photo_that_is_listed_as_training_is_found(world: Path) -> None:
    """The same photo in two splits: `train` gets it, and so does the test split under another name."""
    lines = (world / "flickr8k" / "captions.tsv").read_text() + "7.jpg\ttrain\t0\tA cat .\n"
    (world / "flickr8k" / "captions.tsv").write_text(lines)
    (world / "flickr8k" / "photos" / "7.jpg").write_bytes((world / "flickr8k" / "photos" / "4.jpg").read_bytes())
    assert found_in_training(world) == [world / "flickr8k" / "photos" / "7.jpg"]


def test_a_recipes_data_set_leaves_out_what_is_held_out(world: Path) -> None:
    told = list[str]()
    mine = world / "mine"
    photo(mine / "images" / "own.jpg", 50)
    (mine / "images" / "stolen.jpg").write_bytes((world / "coco" / "photos" / "20.jpg").read_bytes())
    (mine / "images" / "clip.mp4").write_bytes((world / "clips" / "b.mp4").read_bytes())
    records = [
        {"id": name, key: name, "conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": "!"}]}
        for key, name in (("image", "own.jpg"), ("image", "stolen.jpg"), ("video", "clip.mp4"))
    ]
    (mine / "talk.json").write_text(json.dumps(records))
    specs = [DatasetSpec(path=mine / "talk.json"), DatasetSpec(path=world / "flickr8k", weight=2, limit=2)]
    data = opened_specs(specs, world, tell=told.append)
    assert [example.name for example in data[0]] == ["own.jpg"]
    assert data[0].summary.skipped == {Reason.HELD_OUT: 2}
    assert [example.name for example in data[1]] == ["0.jpg", "2.jpg"], "`train` alone, at most two, evenly spread"
    assert any("2 × held out for evaluation" in line for line in told)
    assert report([one.summary for one in data])["skipped"] == {"held out for evaluation": 2}
    seen = {next(stream).name for stream in [mixed(specs, data, seed=0)] for _ in range(30)}
    assert seen == {"own.jpg", "0.jpg", "2.jpg"}


def test_the_captioned_photos_of_a_recipe_and_what_was_skipped(world: Path) -> None:
    photo(world / "mine" / "photos" / "x.jpg", 60)
    lines = "image\tcaption_no\tcaption\nx.jpg\t0\tA cat .\nx.jpg\t1\t \ngone.jpg\t0\tA dog .\n"
    (world / "mine" / "captions.tsv").write_text(lines)
    photos = Photographs([DatasetSpec(path=world / "mine")])
    assert [(one.path.name, one.texts) for one in photos.train] == [("x.jpg", ["A cat ."])]
    assert photos.captions[-1].text == "A cat ."
    told = report(photos.summaries)
    assert told["skipped"] == {"empty text": 1, "media not there": 1}
    assert told["data"][0]["problems"] == [f"{world / 'mine' / 'captions.tsv'}:3 (record 2): empty text: 'caption'"]


def refused(spec: DatasetSpec, world: Path, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        opened_spec(spec, held_out(world))


def test_evaluation_data_cannot_be_named_in_a_recipe(world: Path) -> None:
    refused(DatasetSpec(path=world / "clips"), world, r"nothing to train on \(1 × held out for evaluation\)")
    refused(DatasetSpec(path=world / "flickr8k", split="test"), world, "split 'test' is for evaluation")
    refused(DatasetSpec(path=world / "flickr8k", split=None), world, "give the split")
    for name in ("val.csv", "test.csv"):
        file = world / name
        file.write_text("video,question,answer,qid,type\nx,why,so,0,CW\n")
        refused(DatasetSpec(path=file), world, "by its name")
        refused(DatasetSpec(path=file, split=None), world, "by its name, which is for evaluation")
    with pytest.raises(ValidationError):
        DatasetSpec.model_validate({"path": "x", "weigth": 2})


def test_a_recipes_data_set_needs_its_media(world: Path) -> None:
    file = world / "train.csv"
    file.write_text("video,question,answer,qid,type\nx,why,so,0,CW\n")
    refused(DatasetSpec(path=file), world, "give their folder as `media`")


def test_nothing_is_held_out_where_there_is_no_data(tmp_path: Path) -> None:
    assert not held_out(None).files
    assert not HeldOut([tmp_path / "gone.jpg"]).holds(tmp_path / "gone.jpg")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "clips.jsonl").write_text("\n[1]\n")
    with pytest.raises(ConfigError, match=r"clips.jsonl:2: not a JSON object with a file"):
        held_out(tmp_path)


def test_photos_that_look_alike(tmp_path: Path) -> None:
    one = [photo(tmp_path / f"{seed}.jpg", seed) for seed in range(6)]
    copies = [photo(tmp_path / f"{seed}-again.jpg", seed, size=150, quality=40) for seed in (2, 4)]
    found = alike(fingerprints(one), fingerprints(copies))
    assert [(row, column) for row, column, _ in found] == [(2, 0), (4, 1)]
    assert alike(fingerprints(one), fingerprints([])) == []
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    with pytest.raises(SourceError, match="missing or damaged"):
        fingerprints([tmp_path / "broken.jpg"])


@pytest.mark.data
def test_the_real_lists_are_apart(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name and content: nothing that is trained on is evaluated on."""
    monkeypatch.setenv("LLAMA_VID_DATA", str(data))
    names = [set(flickr8k_names(data / "flickr8k", train=train)) for train in (True, False)]
    assert (len(names[0]), len(names[0] & names[1])) == (6000, 0)
    assert len(trained_on(Photographs())) == 9000
    assert found_in_training(data) == []


@pytest.mark.data
def test_no_unlabelled_photo_looks_like_a_captioned_one(data: Path) -> None:
    def coco(name: str) -> list[Path]:
        return sorted((data / "coco" / name).glob("*.jpg"))

    one, other = coco("unlabelled"), captioned_photos(data / "coco")
    assert len(other) == len(coco("photos")) - len(TRAINED_ON) == 206
    found = alike(fingerprints(one), fingerprints(other), ALIKE)
    assert [(one[row].name, other[column].name) for row, column, _ in found] == []
    # COCO keeps a photo's number from one year's split to the next.
    assert {file.stem[-12:] for file in one}.isdisjoint(file.stem[-12:] for file in other)


@pytest.mark.data
def test_no_training_photo_of_flickr8k_looks_like_another(data: Path) -> None:
    photos = data / "flickr8k" / "photos"
    train, rest = ([photos / name for name in flickr8k_names(data / "flickr8k", train=t)] for t in (True, False))
    assert alike(fingerprints(train), fingerprints(rest), ALIKE) == []
