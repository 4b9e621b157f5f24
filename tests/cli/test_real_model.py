"""The commands on the real bundle, as a user runs them; skipped where the bundle or its parts are not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.samples import sample_film
from llama_vid.commands.inventory import find_bundles, find_parts
from tests.cli.program import llama_vid, one_clear_line

pytestmark = [pytest.mark.model, pytest.mark.slow]


@pytest.fixture(scope="module")
def film() -> str:
    """Ten seconds of cyclists and cars in a street."""
    if not any(item.name == "mini" for item in find_bundles()):
        pytest.skip("the bundle mini is not in this installation")
    missing = [item.name for item in find_parts() if item.state != "here"]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; run: llama-vid models fetch")
    return str(sample_film())


def test_ask_answers_with_times_and_two_tokens_a_frame(film: str) -> None:
    done = llama_vid("ask", film, "Is there a person riding a bicycle in the video?", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["answer"].lower().startswith("yes")
    assert said["model"] == "mini"
    assert said["tokens"] == {"frames": 10, "video": 20, "per_frame": 2}
    assert said["timestamps"] == sorted(said["timestamps"])
    assert all(0 <= seconds <= 10 for seconds in said["timestamps"])
    assert said["evidence"]
    for item in said["evidence"]:
        assert 0 <= item["start"] <= item["end"] <= 11
        assert 0 <= item["score"] <= 1
        assert item["caption"]
    timing = said["timing"]
    assert 0 < timing["first_token_s"] < timing["total_s"]


def test_timeline_covers_the_film(film: str, tmp_path: Path) -> None:
    done = llama_vid("timeline", film, "--json", "--plot", str(tmp_path / "film.png"))
    assert done.returncode == 0, done.stderr
    spans = [json.loads(line) for line in done.stdout.splitlines()]
    assert spans[0]["start"] == 0
    assert spans[-1]["end"] >= 9
    assert all(span["caption"] for span in spans)
    assert (tmp_path / "film.png").stat().st_size > 10_000


def test_search_ranks_what_is_there(film: str) -> None:
    done = llama_vid("search", film, "a man riding a bicycle on a street", "--json")
    assert done.returncode == 0, done.stderr
    scores = [match["score"] for match in json.loads(done.stdout)["matches"]]
    assert scores
    assert scores == sorted(scores, reverse=True)


def test_what_is_no_video_is_told_in_one_line(film: str, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is not a video\n" * 100)
    done = llama_vid("ask", "text.mp4", "What is there?", cwd=tmp_path)
    assert "text.mp4" in one_clear_line(done)
    assert done.returncode == 1


def test_a_truncated_file_is_answered_from_what_decodes(film: str, tmp_path: Path) -> None:
    """MP4 keeps its index at the end, so the film is first written as MPEG-TS, which can be cut anywhere."""
    import av

    whole = tmp_path / "whole.ts"
    with av.open(film) as source, av.open(str(whole), "w", format="mpegts") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    done = llama_vid("ask", str(cut), "What is in the video?", "--json")
    assert done.returncode == 0, done.stderr
    assert 2 <= json.loads(done.stdout)["tokens"]["frames"] < 10


def test_an_unknown_model_is_told_in_one_line(film: str) -> None:
    done = llama_vid("ask", film, "What is there?", "--model", "maxi")
    assert "maxi" in one_clear_line(done)
    assert done.returncode == 1


def test_models_verify_agrees(film: str) -> None:
    done = llama_vid("models", "verify", "--json")
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True), done.stdout
