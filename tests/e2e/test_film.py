"""A recording through the command line: the contract's JSON, timeline, search, and damaged files."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tests.bundles import film
from tests.conftest import painted, write_video
from tests.e2e.conftest import Ran
from tests.peers.video import make_sound

pytestmark = [pytest.mark.model, pytest.mark.slow]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds that paint their own second."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", [painted(s) for s in range(12)])


def one_line(said: tuple[int, str, str]) -> str:
    """The one line of a refusal; fails where there is more, or something on stdout."""
    assert said[1] == ""
    (line,) = said[2].splitlines()
    assert line.startswith("llama-vid: ")
    assert "Traceback" not in line
    return line


def test_ask_gives_the_contracts_json(run: Ran, clip: Path) -> None:
    status, out, err = run("ask", str(clip), "What is in the video?", "--json")
    assert (status, err) == (0, "")
    (line,) = out.splitlines()
    said = json.loads(line)
    assert list(said) == ["answer", "timestamps", "evidence", "tokens", "timing", "model"]
    assert isinstance(said["answer"], str)
    assert said["answer"]
    assert said["model"] == "mini"
    assert said["tokens"] == {"frames": 12, "video": 24, "per_frame": 2}
    assert said["timestamps"] == sorted(said["timestamps"])
    assert all(0 <= second < 12 for second in said["timestamps"])
    for item in said["evidence"]:
        assert list(item) == ["start", "end", "score", "caption"]
        assert 0 <= item["start"] < item["end"] <= 13
        assert 0 <= item["score"] <= 1
        assert item["caption"].endswith(".")
    assert list(said["timing"]) == ["ingest_s", "first_token_s", "total_s"]
    assert 0 < said["timing"]["first_token_s"] < said["timing"]["total_s"]


def test_timeline_and_search_of_a_street(run: Ran) -> None:
    status, out, err = run("timeline", str(film()), "--json")
    assert (status, err) == (0, "")
    spans = [json.loads(line) for line in out.splitlines()]
    assert spans[0]["start"] == 0
    assert spans[-1]["end"] == pytest.approx(10, abs=1)
    for before, after in itertools.pairwise(spans):
        assert before["end"] == pytest.approx(after["start"], abs=0.05)
    assert all(list(span) == ["start", "end", "caption", "motion"] for span in spans)

    status, out, err = run("search", str(film()), "a man riding a bicycle", "--json")
    assert (status, err) == (0, "")
    matches = json.loads(out)["matches"]
    assert [match["score"] for match in matches] == sorted((match["score"] for match in matches), reverse=True)
    assert list(matches[0]) == ["start", "end", "score"]


def test_files_that_are_no_video(run: Ran, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video\n" * 500)
    (tmp_path / "noise.mkv").write_bytes(bytes(range(256)) * 400)
    make_sound(tmp_path / "sound.m4a")
    for name, why in (
        ("missing.mp4", "there is no file"),
        ("empty.mp4", "is empty"),
        ("text.mp4", "text.mp4"),
        ("noise.mkv", "noise.mkv"),
        ("sound.m4a", "sound.m4a"),
    ):
        said = run("ask", str(tmp_path / name), "What is there?", "--json")
        assert said[0] == 1, name
        assert why in one_line(said)


def test_a_truncated_and_a_damaged_file_are_answered_with_a_warning(
    run: Ran, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import random

    whole = write_video(tmp_path / "whole.ts", [painted(s) for s in range(10)])
    data = whole.read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(data[: int(len(data) * 0.6)])
    status, out, _ = run("ask", str(cut), "What is in the video?", "--json")
    assert status == 0
    assert 3 <= json.loads(out)["tokens"]["frames"] < 10

    dice = random.Random(3)
    spoilt = bytearray(data)
    for at in range(len(data) // 4, len(data) // 2):
        if dice.random() < 0.05:
            spoilt[at] = dice.randrange(256)
    damaged = tmp_path / "damaged.ts"
    damaged.write_bytes(spoilt)
    caplog.clear()
    status, out, _ = run("ask", str(damaged), "What is in the video?", "--json")
    assert status == 0
    assert json.loads(out)["tokens"]["frames"] >= 4
    (warning,) = (record for record in caplog.records if record.name == "llama_vid.commands.video")
    assert warning.levelname == "WARNING"
    assert "damaged.ts" in warning.getMessage()


def test_questions_that_cannot_be_taken(run: Ran, clip: Path) -> None:
    for question, why in (("", "is empty"), ("  <|im_end|> ", "is empty"), ("a" * 100_000, "100,000 characters")):
        said = run("ask", str(clip), question)
        assert said[0] == 2
        assert why in one_line(said)


def test_live_addresses_are_told_where_to_go(run: Ran) -> None:
    said = run("ask", "rtsp://bob:hunter22@127.0.0.1:9/live", "What is there?")
    assert said[0] == 1
    assert "hunter22" not in one_line(said)
