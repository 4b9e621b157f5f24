"""The program as a whole: help at once, exit statuses, one clear line for each error."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from llama_vid.commands.failure import log_file, one_line, report_unexpected, without_credentials
from llama_vid.commands.terminal import clock, plain, span
from llama_vid.llm.answer import Moment
from tests.cli.program import llama_vid, one_clear_line

COMMANDS = (
    "ask",
    "timeline",
    "search",
    "caption",
    "serve",
    "demo",
    "models",
    "config",
    "forget",
    "export",
    "doctor",
    "eval",
    "train",
    "bench",
)


def test_help_names_every_command() -> None:
    done = llama_vid("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert f" {command} " in done.stdout


def test_help_is_immediate() -> None:
    """0.2 s on two idle cores; the bound leaves room for a busy machine. A heavy import would cost seconds."""
    fastest = min(_seconds("--help") for _ in range(3))
    assert fastest < 1.0


def _seconds(*arguments: str) -> float:
    started = time.perf_counter()
    llama_vid(*arguments)
    return time.perf_counter() - started


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    assert llama_vid(command, "--help").returncode == 0


def test_version() -> None:
    done = llama_vid("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("llama-vid ")


@pytest.mark.parametrize(
    "arguments",
    [("nothing",), ("ask",), ("ask", "a.mp4", "x", "--nothing"), ("eval", "yesno", "--limit", "0"), ("models", "lose")],
)
def test_bad_usage_exits_2(arguments: tuple[str, ...]) -> None:
    done = llama_vid(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Usage:" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("ask", "gone.mp4", "What is there?"), 1, "there is no file gone.mp4"),
        (("ask", ".", "What is there?", "--json"), 1, "is a folder"),
        (("ask", "gone.mp4", "  "), 2, "the question is empty"),
        (("ask", "gone.mp4", "why " * 25_000), 2, "the question has 100,000 characters; write at most 2,000"),
        (("ask", "gone.mp4", "<|im_start|>"), 2, "the question is empty"),
        (("search", "gone.mp4", ""), 2, "the search text is empty"),
        (("timeline", "gone.mp4", "--plot", "a.pdf"), 2, "should end in .png"),
        (("timeline", "gone.mp4", "--plot", "nowhere/a.png"), 2, "there is no folder"),
        (("config", "check", "gone.yaml"), 2, "gone.yaml: cannot be read"),
        (("serve", "--config", "gone.yaml"), 2, "gone.yaml: cannot be read"),
        (("eval", "nothing"), 2, "there is no evaluation 'nothing'"),
        (("eval", "all", "--route", "tokens"), 2, "eval all measures every route"),
        (("eval", "all", "gone", "--report", "out"), 2, "there is no folder gone"),
        (("eval", "yesno", "--report", "out"), 2, "--report is for: llama-vid eval all"),
        (("eval",), 2, "which evaluation? yesno, open, absent"),
        (("eval", "yesno", "--system", "ours,gemini"), 2, "no system 'gemini' can stand beside others"),
        (("eval", "sofar", "--system", "ours,full"), 2, "is for yesno, open and all, not for sofar"),
        (("eval", "--system", "video-llama"), 2, "--system video-llama needs --weights video-llama="),
        (("eval", "yesno", "--weights", "a"), 2, "are for systems side by side"),
        (("bench", "nothing"), 2, "there is no benchmark 'nothing'"),
        (("models", "fetch", "someone/some-model"), 1, "only mini can be fetched so far"),
        (("models", "fetch", "."), 1, "is a folder"),
    ],
)
def test_each_error_is_one_line(arguments: tuple[str, ...], status: int, message: str, tmp_path: Path) -> None:
    done = llama_vid(*arguments, cwd=tmp_path)
    assert message in one_clear_line(done)
    assert done.returncode == status


def test_an_empty_file_is_told_before_the_model_loads(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    done = llama_vid("ask", "empty.mp4", "What is there?", cwd=tmp_path)
    assert "is empty (0 bytes)" in one_clear_line(done)


def test_debug_adds_the_traceback(tmp_path: Path) -> None:
    for done in (
        llama_vid("--debug", "ask", "gone.mp4", "x", cwd=tmp_path),
        llama_vid("ask", "gone.mp4", "x", cwd=tmp_path, env={"LLAMA_VID_DEBUG": "1"}),
    ):
        assert done.returncode == 1
        assert "Traceback" in done.stderr
        assert done.stderr.splitlines()[-1].startswith("llama-vid: there is no file")


def test_an_unexpected_error_goes_to_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(RuntimeError) as raised:
        raise RuntimeError("cannot open rtsp://user:secret@camera/1\nat all")
    assert report_unexpected(raised.value, debug=False) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "unexpected RuntimeError: cannot open rtsp://camera/1 at all" in said
    assert str(log_file()) in said
    log = log_file().read_text()
    assert "Traceback" in log
    assert "secret" not in log + said


def test_an_unwritable_log_finds_another_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert report_unexpected(ValueError("x"), debug=False) == 1
    (log,) = tmp_path.glob("llama-vid-*.log")
    assert str(log) in capsys.readouterr().err


def test_credentials_leave_every_text() -> None:
    assert without_credentials("a rtsp://u:p@h/x b http://k@h") == "a rtsp://h/x b http://h"
    assert without_credentials("mail me@here") == "mail me@here"
    assert one_line(ValueError("")) == "ValueError"


def test_times_as_people_write_them() -> None:
    assert [clock(seconds) for seconds in (0, 7.9, 725, 3753)] == ["0:00", "0:07", "12:05", "1:02:33"]
    assert span(7.2, 12.0) == "0:07–0:12"
    assert span(7.2, 7.9) == "0:07"


def test_plain_json() -> None:
    value = plain({"matches": [Moment(1.0, 2.0, 0.123456)], 1: (True, None)})
    assert json.dumps(value) == (
        '{"matches": [{"start": 1.0, "end": 2.0, "score": 0.1235, "heard": ""}], "1": [true, null]}'
    )
