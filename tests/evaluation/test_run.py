"""What the command line asked for is checked before anything slow starts, and results print as tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from evaluation.model import Missing
from evaluation.report import print_columns, print_table, rows_of
from evaluation.run import Options, check
from evaluation.scores import accuracy
from evaluation.yesno import Figures, YesNoResult
from llama_vid.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options("nothing"), "there is no evaluation 'nothing'; known: all, yesno"),
        (Options("yesno", route="fast"), "--route is all or tokens"),
        (Options("moments", route="tokens"), "is for yesno, open.*; moments has one route"),
        (Options("yesno", drop="motion"), "--drop motion needs --route tokens"),
        (Options("open", route="tokens", drop="all"), "--drop is motion or context"),
        (Options("retrieval", system="blind"), "retrieval has no system 'blind'"),
        (Options("yesno", folder=Path("not-here")), "there is no folder not-here"),
    ],
)
def test_wrong_options_are_refused(options: Options, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(options)


def test_the_folder_is_found_through_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clips").mkdir()
    monkeypatch.setenv("LLAMA_VID_DATA", str(tmp_path))
    assert check(Options("yesno")).folder == tmp_path / "clips"
    monkeypatch.setenv("LLAMA_VID_DATA", str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match="set LLAMA_VID_DATA"):
        check(Options("yesno"))


def test_a_result_prints_as_a_table() -> None:
    figures = Figures(accuracy([True, False]), 1.0, None, None, 0, {"dog": 0.5}, {"film": 0.25})
    result = YesNoResult(2, 1, "all", "llama-vid", figures, {"blind": figures, "full": Missing("not trained")})
    console = Console(width=80, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        print_table(result, console)
    text = captured.get()
    assert "yesno" in text
    assert "baselines/blind/accuracy" in text
    with console.capture() as captured:
        print_columns(result, console)
    lines = captured.get().splitlines()
    assert any(line.split() == ["│", "accuracy", "│", "0.500", "│", "–", "│", "0.500", "│"] for line in lines)
    assert any(line.split() == ["│", "film", "│", "0.250", "│", "0.250", "│"] for line in lines)
    assert "full: not trained" in lines
    assert rows_of({"a": None, "b": {"c": 0.12345}, "n": 3}) == [("a", "–"), ("b/c", "0.123"), ("n", "3")]
