"""`eval moments`: clips are joined in order, and a moment is credited to the clip that it covers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.clips import read_clips
from evaluation.moments import evaluate_moments, join_clips, rank_of
from llama_vid.llm.answer import Moment
from llama_vid.stream.file import FileSource
from tests.conftest import painted, read_second, write_video
from tests.evaluation.oracle import OracleModel

LENGTHS = (3, 2, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of 3, 2 and 4 seconds that show the numbers 1, 2 and 3, each as its caption says."""
    place = tmp_path_factory.mktemp("clips")
    rows = []
    for index, seconds in enumerate(LENGTHS):
        write_video(place / f"{index}.mp4", [painted(index + 1, width=128 + 32 * index)] * seconds)
        caption = f"It shows the number {index + 1}."
        rows.append({"index": index, "file": f"{index}.mp4", "seconds": seconds, "caption": caption})
    (place / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


def test_joined_film_holds_the_sampled_frames_in_order(folder: Path, tmp_path: Path) -> None:
    film = join_clips(read_clips(folder), tmp_path / "joined.mp4")
    assert film.owners == (0, 0, 0, 1, 1, 2, 2, 2, 2)
    assert [read_second(frame.image) for frame in FileSource(film.path)] == [1, 1, 1, 2, 2, 3, 3, 3, 3]
    assert [read_second(image) for image in film.last] == [1, 2, 3]


def test_an_oracle_finds_every_clip(folder: Path) -> None:
    result = evaluate_moments(OracleModel(), folder).to_json()
    assert (result["n"], result["seconds"], result["r@1"], result["r@5"]) == (3, 9, 1.0, 1.0)
    assert result["baselines"]["last-frame"]["r@1"] == 1.0
    assert result["baselines"]["chance"]["r@1"] == pytest.approx(1 / 3)
    assert result["by_kind"] == {"": 1.0}


def test_an_unreadable_clip_is_left_out(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(b"damaged" if file.name == "1.mp4" else file.read_bytes())
    result = evaluate_moments(OracleModel(), tmp_path)
    figures = result.to_json()
    assert (figures["n"], figures["seconds"], figures["r@1"]) == (2, 7, 1.0)
    assert "1.mp4" in caplog.text
    assert [case.clip.name for case in result.cases] == ["0.mp4", "2.mp4"]


OWNERS = [0, 0, 0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("moments", "wanted", "rank"),
    [
        ([Moment(0.0, 3.0, 0.9), Moment(3.0, 5.0, 0.8)], 1, 1),
        ([Moment(0.0, 1.0, 0.9), Moment(1.0, 2.0, 0.8), Moment(3.0, 4.0, 0.7)], 1, 1),  # a clip counts once
        ([Moment(3.0, 4.0, 0.1), Moment(5.0, 8.0, 0.9)], 2, 0),  # whatever their order
        ([Moment(2.0, 5.0, 0.9)], 1, 0),  # most of it lies in clip 1
        ([Moment(0.0, 1.0, 0.9)], 2, 2),  # never found: last
        ([], 1, 2),
        ([Moment(7.9, 9.5, 1.0)], 2, 0),  # past the end
    ],
)
def test_rank_of(moments: list[Moment], wanted: int, rank: int) -> None:
    assert rank_of(moments, OWNERS, wanted) == rank
