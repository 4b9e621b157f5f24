"""A model behind an OpenAI-compatible API: the frames reach it, nothing is paid for twice, and limits hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evaluation.competitors_openai import Api
from evaluation.systems import compare
from evaluation.systems_options import ApiOptions, SystemsOptions, check
from evaluation.systems_record import json_lines
from llama_vid.cli import app
from llama_vid.errors import ConfigError, ProtocolError
from tests.conftest import painted, write_video
from tests.evaluation.chat_server import KEY, PICTURE_TOKENS, ChatServer
from tests.evaluation.question_sets import clip, write_folder

openai = pytest.importorskip("openai", reason="the package openai is not installed")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_video(folder / "0.mp4", [painted(second) for second in range(8)])
    write_video(folder / "1.mp4", [painted(100 + second) for second in range(8)])
    asked = [("0.mp4", "dog", "yes"), ("0.mp4", "cat", "yes"), ("1.mp4", "dog", "no")]
    return write_folder(folder, [clip(0), clip(1, kind="people")], yesno=asked)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def options_of(server: ChatServer, clips: Path, out: Path, **api: Any) -> SystemsOptions:
    return check(
        "yesno",
        ("openai",),
        clips,
        out=out,
        weights=["openai=gpt-test"],
        frames=["openai=4"],
        api=ApiOptions(server.url, **api),
    )


def test_frames_are_sent_in_order_and_answers_count(server: ChatServer, clips: Path, tmp_path: Path) -> None:
    result = compare(options_of(server, clips, tmp_path)).to_json()
    found = result["systems"]["openai"]
    assert found["model"] == "gpt-test at 127.0.0.1"
    assert (found["yesno"]["accuracy"], found["yesno"]["n"]) == (1.0, 3)
    assert (found["frames_most"], found["tokens_per_frame"]) == (4, PICTURE_TOKENS + 11 / 4)  # and the words about them
    assert [seen for seen in server.seen if seen] == [[0, 2, 4, 6], [0, 2, 4, 6], [100, 102, 104, 106]]
    request = server.requests[0]
    assert (request["model"], request["temperature"]) == ("gpt-test", 0)
    assert request["messages"][0]["content"][-1]["text"] == (
        "These are 4 frames of a video, evenly spread, in order.\nIs there a dog?\nAnswer yes or no."
    )
    kept = list(json_lines(tmp_path / "openai-answers.jsonl"))
    assert len(kept) == len(server.requests) == 4  # three questions, and one of them without pictures, to count tokens
    assert KEY not in (tmp_path / "openai-answers.jsonl").read_text()


def test_nothing_is_asked_twice(server: ChatServer, clips: Path, tmp_path: Path) -> None:
    first = compare(options_of(server, clips, tmp_path)).to_json()
    asked = len(server.requests)
    assert compare(options_of(server, clips, tmp_path)).to_json() == first
    (tmp_path / "openai.jsonl").unlink()  # as where the program was killed before a clip was done
    again = compare(options_of(server, clips, tmp_path)).to_json()
    assert len(server.requests) == asked
    assert again["systems"]["openai"]["yesno"] == first["systems"]["openai"]["yesno"]
    times = [each["systems"]["openai"]["seconds_per_question"]["yesno"] for each in (first, again)]
    assert times[0] == pytest.approx(times[1], abs=0.05)


def test_the_limit_of_requests_holds_and_the_next_run_goes_on(server: ChatServer, clips: Path, tmp_path: Path) -> None:
    result = compare(options_of(server, clips, tmp_path, max_requests=3)).to_json()
    assert len(server.requests) == 3
    assert (result["systems"]["openai"]["clips"], result["systems"]["openai"]["not_asked"]) == (1, 1)
    assert result["systems"]["openai"]["yesno"]["n"] == 2
    result = compare(options_of(server, clips, tmp_path, max_requests=3)).to_json()
    assert len(server.requests) == 4
    assert (result["systems"]["openai"]["yesno"]["n"], result["systems"]["openai"]["not_asked"]) == (3, 0)


def test_a_moments_failure_is_tried_again_and_a_lasting_one_costs_a_clip(
    server: ChatServer, clips: Path, tmp_path: Path
) -> None:
    server.failures = [429, 400]
    result = compare(options_of(server, clips, tmp_path)).to_json()["systems"]["openai"]
    assert result["failed"] == {"0.mp4": "gpt-test at 127.0.0.1 answered HTTP 400: failing with 400"}
    assert (result["yesno"]["accuracy"], result["yesno"]["n"]) == (pytest.approx(1 / 3), 3)
    result = compare(options_of(server, clips, tmp_path)).to_json()["systems"]["openai"]  # failed clips are tried again
    assert (result["failed"], result["yesno"]["accuracy"]) == ({}, 1.0)


def test_a_wrong_key_ends_it_at_once_and_is_not_shown(
    server: ChatServer, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text("sk-other\n")
    result = compare(options_of(server, clips, tmp_path, key_file=file))
    assert result.missing == (("openai", "gpt-test at 127.0.0.1 refuses the key (HTTP 401); check OPENAI_API_KEY"),)
    assert len(server.requests) == 1
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match="needs a key: set OPENAI_API_KEY"):
        Api("gpt-test", tmp_path / "kept", ApiOptions())
    with pytest.raises(ConfigError, match="cannot be read"):
        Api("gpt-test", tmp_path / "kept", ApiOptions(key_file=tmp_path / "gone"))
    with pytest.raises(ConfigError, match=r"the key would go to example\.org unprotected"):
        Api("gpt-test", tmp_path / "kept", ApiOptions("http://example.org/v1", file))


def test_a_server_that_is_not_there_or_does_not_count(clips: Path, tmp_path: Path) -> None:
    with ChatServer(counts=False) as server:
        result = compare(options_of(server, clips, tmp_path)).to_json()["systems"]["openai"]
        url = server.url
    assert (result["yesno"]["accuracy"], result["tokens_per_frame"]) == (1.0, None)
    assert len(server.requests) == 3
    api = Api("gpt-test", tmp_path / "other", ApiOptions(url))
    api._client = api._client.with_options(max_retries=0)
    api.take(clips / "0.mp4")
    with pytest.raises(ProtocolError, match=r"gpt-test at 127\.0\.0\.1 does not answer"):
        api.answer("yesno", "Is there a dog?")


def test_from_the_command_line(server: ChatServer, clips: Path, tmp_path: Path) -> None:
    arguments = ["eval", "yesno", str(clips), "--system", "openai", "--weights", "gpt-test", "--frames", "2"]
    arguments += ["--base-url", server.url, "--report", str(tmp_path / "out"), "--max-requests", "9"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "1.000 [0.44, 1.00] n 3" in done.stdout
    assert "gpt-test at 127.0.0.1" in done.stdout
    assert json.loads((tmp_path / "out" / "results.json").read_text())["systems"]["openai"]["frames_most"] == 2
    assert all(len(seen) in (0, 2) for seen in server.seen)
