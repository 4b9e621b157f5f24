"""`replay` and `rules tune`: what they print of a film whose scores are known, and what they refuse."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llama_vid.cli import main
from llama_vid.commands import rules as commands
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.watcher import Second
from llama_vid.rule_tuning import Example, events_at, propose
from tests.bundles import film, mini

Ran = Callable[..., tuple[int, str, str]]

RULES = """\
alerts:
  - {name: road, when: a car driving on a road, for: 2s, cooldown: 0s}
  - {name: snow, when: snow on the ground}
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
    """Runs the command line in this process, on the bundle that is loaded once: (status, stdout, stderr)."""

    def loaded(_model: str, _device: str) -> Any:
        from llama_vid.model import LLaMAVID

        return LLaMAVID(mini())

    monkeypatch.setattr(commands, "loaded", loaded)

    def run_main(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["llama-vid", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return run_main


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


@pytest.mark.model
def test_replay_as_json_on_a_street(run: Ran, rules: Path, tmp_path: Path) -> None:
    plot = tmp_path / "scores.png"
    arguments = ("replay", str(film()), "--rules", str(rules), "--json", "--scores", "--plot", str(plot))
    status, out, err = run(*arguments)
    assert status == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    scores = [line for line in lines if line["type"] == "scores"]
    assert [line["start"] for line in scores] == [float(second) for second in range(10)]
    assert all(set(line["scores"]) == {"road", "snow"} for line in scores)
    assert max(line["scores"]["road"] for line in scores) > 0.5 > max(line["scores"]["snow"] for line in scores)
    events = [line for line in lines if line["type"] != "scores"]
    assert {event["rule"] for event in events} == {"road"}
    assert set(events[0]) == {"type", "id", "rule", "camera", "start", "end", "score", "verified", "text"}
    assert [event["type"] for event in events][:1] == ["new"]
    assert events[-1]["type"] == "end"
    assert events[0]["text"].startswith("Seen: a car driving on a road.")
    assert plot.read_bytes().startswith(b"\x89PNG")
    # The same recording raises the same events.
    again = [json.loads(line) for line in run(*arguments)[1].splitlines()]
    assert [{**line, "id": ""} for line in again] == [{**line, "id": ""} for line in lines]


@pytest.mark.model
def test_replay_in_words(run: Ran, rules: Path) -> None:
    status, out, _ = run("replay", str(film()), "--rules", str(rules), "--no-verify")
    assert status == 0
    assert "road" in out
    rules.write_text("alerts: [{name: snow, when: snow on the ground}]\n")
    assert run("replay", str(film()), "--rules", str(rules))[1] == "no rule would have fired\n"


@pytest.mark.model
def test_schedules_need_the_time_of_day(run: Ran, rules: Path) -> None:
    rules.write_text(RULES.replace("cooldown: 0s", "cooldown: 0s, schedule: 22:00-06:00"))
    ask = ("replay", str(film()), "--rules", str(rules), "--no-verify")
    assert "road" in run(*ask)[1]
    assert "road" in run(*ask, "--begin", "2026-11-24T23:00")[1]
    assert run(*ask, "--begin", "2026-11-24T12:00")[1] == "no rule would have fired\n"


def test_refusals_before_the_model_is_loaded(run: Ran, rules: Path, tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"x")
    for arguments, message in (
        ((str(video), "--rules", str(tmp_path / "none.yaml")), "none.yaml: cannot be read"),
        ((str(video), "--rules", str(rules), "--begin", "soon"), "--begin 'soon' is not a time"),
        ((str(video), "--rules", str(rules), "--plot", "a.jpg"), "--plot writes PNG pictures"),
    ):
        status, out, err = run("replay", *arguments)
        assert (status, out) == (2, "")
        assert message in err
    status, _, err = run("replay", str(tmp_path / "none.mp4"), "--rules", str(rules))
    assert (status, "there is no file" in err) == (1, True)


@pytest.mark.model
def test_tune_proposes_and_writes_only_when_asked(run: Ran, rules: Path, tmp_path: Path) -> None:
    examples = tmp_path / "examples.yaml"
    examples.write_text(
        f"examples:\n  - {{video: {film()}, rule: road, right: true}}\n"
        f"  - {{video: {film()}, rule: snow, intervals: []}}\n"
    )
    ask = ("rules", "tune", "--rules", str(rules), "--examples", str(examples))
    status, out, err = run(*ask, "--json")
    assert status == 0, err
    road, snow = (json.loads(line) for line in out.splitlines())
    assert (road["rule"], road["precision"], road["recall"], road["examples"]) == ("road", 1.0, 1.0, 1)
    assert (snow["precision"], snow["recall"]) == (None, None)
    assert rules.read_text() == RULES
    run(*ask, "--write")
    assert rules.read_text().count("threshold: ") == 2


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ("{video: a.mp4, rule: cat, right: true}", "example 1 (a.mp4) names a rule 'cat'"),
        ("{video: a.mp4, rule: road}", "needs either right: true|false or intervals"),
        ("{video: a.mp4, rule: road, intervals: [[3, 2]]}", "ends before it begins"),
        ("{video: a.mp4, rule: road, righ: true}", "examples.yaml:2: unknown key 'righ'; did you mean 'right'?"),
    ],
)
def test_mistakes_in_examples(run: Ran, rules: Path, tmp_path: Path, example: str, message: str) -> None:
    examples = tmp_path / "examples.yaml"
    examples.write_text(f"examples:\n  - {example}\n")
    status, _, err = run("rules", "tune", "--rules", str(rules), "--examples", str(examples))
    assert status == 2
    assert message in err


def shown(values: list[float]) -> Iterator[Second]:
    for at, value in enumerate(values):
        yield Second(float(at), at + 1.0, {"dog": value})


def test_thresholds_are_chosen_between_right_and_wrong() -> None:
    rule = Rule("dog", "a dog", hold=2.0, cooldown=0.0)
    scores = {"yes": list(shown([0.3] * 5)), "no": list(shown([0.1] * 5)), "part": list(shown([0.1] * 9 + [0.4] * 4))}
    examples = [
        Example(video="yes", rule="dog", right=True),
        Example(video="no", rule="dog", right=False),
        Example(video="part", rule="dog", intervals=[(9.0, 13.0)]),
    ]
    found = propose(rule, examples, scores)
    assert 0.1 < found.threshold < 0.3
    assert (found.counts.precision, found.counts.recall, found.auto.recall) == (1.0, 1.0, 0.0)
    assert events_at(rule, [(second.start, second.end, second.scores["dog"]) for second in scores["part"]], 0.3) == [
        (9.0, 13.0)
    ]
