"""`eval long`: the hour shows each clip once, at the times that its questions name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluation.clips import read_clips
from evaluation.flickr import read_split
from evaluation.hour import HELD, make_hour, unlike
from evaluation.long import Put, evaluate_long
from evaluation.meaning import Meaning
from llama_vid.errors import ConfigError
from llama_vid.stream.file import FileSource
from tests.conftest import painted, read_second, write_video
from tests.evaluation.oracle import OracleModel

SECONDS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips that show 10…13, 20…23 and 30…33, a damaged one, and photos that show 101…104 beside them."""
    root = tmp_path_factory.mktemp("data")
    clips, photos = root / "clips", root / "flickr8k" / "photos"
    clips.mkdir()
    photos.mkdir(parents=True)
    rows, questions = [], []
    for index in range(1, 5):
        file = f"{index}.mp4"
        if index == 4:
            (clips / file).write_bytes(b"damaged")
        else:
            write_video(clips / file, [painted(10 * index + second) for second in range(4)])
        rows.append({
            "index": index, "file": file, "kind": f"kind {index}", "seconds": 4.0, "caption": f"number {10 * index}",
            "qa": [{"q": "Which number is shown?", "a": "Red."}],
        })  # fmt: skip
        answer = "yes" if index == 1 else "no"
        questions.append({"file": file, "concept": "it", "question": "Is it in the video?", "answer": answer})
    rule = {"name": "two", "when": "the number 20", "true_in": ["2.mp4"], "uncertain_in": []}
    lines = ["image\tsplit\tcaption_no\tcaption"]
    for number in range(101, 106):
        Image.fromarray(painted(number)).save(photos / f"{number}.png")
        words = "a number on a wall" if number == 105 else "a house"
        lines.append(f"{number}.png\ttest\t0\t{words}")
    (clips / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (clips / "yesno.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    (clips / "rules.jsonl").write_text(json.dumps(rule) + "\n")
    (root / "flickr8k" / "captions.tsv").write_text("\n".join(lines) + "\n")
    return clips


def test_the_hour_shows_every_readable_clip_once_between_photos(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos = unlike(read_split(folder.parent / "flickr8k", "test"), ["the number 20"])
    assert [photo.path.stem for photo in photos] == ["101", "102", "103", "104"], "one shares a word with the rule"
    hour = make_hour(read_clips(folder), photos, tmp_path / "hour.mp4", seconds=SECONDS)
    shown = [read_second(frame.image) for frame in FileSource(hour.path)]
    assert (len(shown), hour.seconds) == (SECONDS, SECONDS)
    assert sorted(each.clip.index for each in hour.placed) == [1, 2, 3]
    for each in hour.placed:
        assert shown[each.start : each.end] == [10 * each.clip.index + second for second in range(4)]
        assert hour.at(each.start + 0.5) == each.clip
    between = [second for second in range(SECONDS) if hour.at(second) is None]
    assert {shown[second] for second in between} == {101, 102, 103, 104}
    assert shown[:HELD] == [101] * HELD
    assert "4.mp4" in caplog.text


def only_words(texts: Any) -> Any:
    """Meaning by letters, for tests without MiniLM."""
    return np.array([[text.lower().count(letter) + 1e-3 for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])


def say(path: str, question: str, last_frame_only: bool) -> str:
    """To a clip alone always right; to the hour right about the times of clips 1 and 2 and never open questions."""
    if "hour" not in path:
        return "Red." if question.startswith("Which") else "Yes." if path.endswith("1.mp4") else "No."
    if last_frame_only:
        return "I cannot say."
    timed = re.match(r"Between (\d+):(\d\d) and (\d+):(\d\d), is it\?$", question)
    if not timed:
        return "A house."
    start = int(timed[1]) * 60 + int(timed[2])
    shown = [read_second(frame.image) for frame in FileSource(path)][start]
    return "Yes." if shown in (10, 30) else "No."


def test_figures_in_the_hour_and_alone(folder: Path) -> None:
    result = evaluate_long(OracleModel(say), folder, seconds=SECONDS, meaning=Meaning(only_words))
    figures = result.to_json()
    assert (figures["n"], figures["seconds"]) == (3, SECONDS)
    assert figures["accuracy"] == pytest.approx(2 / 3)
    assert figures["alone"] == {"accuracy": 1.0, "open": 1.0}
    assert (figures["lost"], figures["lost_open"]) == (pytest.approx(1 / 3), 1.0)
    assert figures["rules_found_first"] == 1.0
    assert figures["by_kind"] == {"kind 1": 1.0, "kind 2": 1.0, "kind 3": 0.0}
    assert figures["baselines"]["last-frame"]["accuracy"] == 0.0
    assert figures["baselines"]["blind"]["accuracy"] == pytest.approx(1 / 3)
    assert "context" in figures["baselines"]["full"]["missing"]
    alone = evaluate_long(OracleModel(say), folder, seconds=SECONDS, meaning=Meaning(only_words), system="blind")
    assert (alone.system, alone.to_json()["baselines"]) == ("blind", {})


def test_questions_name_the_clip_s_time(folder: Path, tmp_path: Path) -> None:
    photos = read_split(folder.parent / "flickr8k", "test")
    hour = make_hour(read_clips(folder), photos, tmp_path / "hour.mp4", seconds=SECONDS)
    put = Put(hour.placed[0], "Is there a dog in the video?", "yes")
    assert re.fullmatch(r"Between 0:\d\d and 0:\d\d, is there a dog\?", put.text)


def test_missing_photos_are_one_clear_error(folder: Path, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for file in folder.iterdir():
        (clips / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ConfigError, match=r"captions\.tsv cannot be read"):
        evaluate_long(OracleModel(say), clips, meaning=Meaning(only_words))
