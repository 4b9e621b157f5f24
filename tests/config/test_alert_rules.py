"""The `alerts:` list: every key, and the one line that each mistake gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from llama_vid.config import load_config
from llama_vid.errors import ConfigError
from llama_vid.llm.rules.rule import Rule, Zone
from llama_vid.llm.rules.schedule import parse_schedule
from llama_vid.rules_file import read_rules_file, write_thresholds
from llama_vid.settings_alerts import engine_rules


def config(tmp_path: Path, *rules: str) -> Path:
    lines = "".join(f"      - {rule}\n" for rule in rules)
    path = tmp_path / "llama-vid.yaml"
    path.write_text(f"cameras:\n  a:\n    url: x.mp4\n    alerts:\n{lines}")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as problem:
        load_config(path)
    assert "\n" not in str(problem.value)
    return str(problem.value)


def test_every_key_reaches_the_engine(tmp_path: Path) -> None:
    text = (
        "{name: Front door, when: ' a  package ', unless: an empty doorway, heard: [hello there], for: 1.5m,"
        " cooldown: 0s, schedule: 'mon-fri 08:00-18:00', zone: [0.5, 0, 1, 0.5], threshold: 0.7, verify: false}"
    )
    (rule,) = engine_rules(load_config(config(tmp_path, text)).cameras["a"].alerts)
    assert rule == Rule(
        "Front door",
        "a package",
        ("an empty doorway",),
        ("hello there",),
        90.0,
        0.0,
        parse_schedule(["mon-fri 08:00-18:00"]),
        Zone(((0.5, 0.0), (1.0, 0.0), (1.0, 0.5), (0.5, 0.5))),
        0.7,
        False,
    )
    (plain,) = engine_rules(load_config(config(tmp_path, "{name: x, when: a dog}")).cameras["a"].alerts)
    assert plain == Rule("x", "a dog")
    assert (plain.hold, plain.cooldown, plain.threshold, plain.verify) == (3.0, 60.0, None, True)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{name: n, when: w, fro: 3s}", "llama-vid.yaml:5: unknown key 'fro'; did you mean 'for'?"),
        ("{name: n, when: ''}", "llama-vid.yaml:5: 'cameras.a.alerts.0.when': the text is empty; say"),
        ("{name: n, when: '...'}", "the text is empty"),
        ("{name: n, when: }", "the text is empty"),
        ("{name: n}", "rule 'n' has nothing to look for; add 'when', or 'heard'"),
        ("{when: w}", "'cameras.a.alerts.0.name' is missing"),
        ("{name: n, when: w, for: -1s}", "'cameras.a.alerts.0.for': '-1s' is not a duration"),
        ("{name: n, when: w, for: -1}", "-1 is not between 0s and 24h"),
        ("{name: n, when: w, for: .inf}", "not between 0s and 24h"),
        ("{name: n, when: w, cooldown: 3 weeks}", "'cameras.a.alerts.0.cooldown': '3 weeks' is not a duration"),
        ("{name: n, when: w, cooldown: true}", "is not a duration"),
        ("{name: n, when: w, zone: [0, 0, 1.2, 1]}", "a zone lies outside the picture"),
        ("{name: n, when: w, zone: [0.5, 0, 0.5, 1]}", "left must be less than its right"),
        ("{name: n, when: w, zone: [[0, 0], [1, 1]]}", "at least three corners"),
        ("{name: n, when: w, zone: [[0, 0], [1, 1], [0.5, 0.5]]}", "encloses next to nothing"),
        ("{name: n, when: w, zone: left}", "a zone is a box or a polygon"),
        ("{name: n, heard: [help], zone: [0, 0, 1, 1]}", "looks at no picture"),
        ("{name: a/b, when: w}", "a rule's name holds /, which MQTT topics use"),
        ("{name: 'a+#', when: w}", "holds # +"),
        ('{name: "a\\tb", when: w}', "a control character"),
        ('{name: "a\\u0000b", when: w}', "a control character"),
        ("{name: ' ', when: w}", "a rule's name is empty"),
        ("{name: '--', when: w}", "needs a letter or a digit"),
        (f"{{name: {'n' * 65}, when: w}}", "longer than 64 letters"),
        (f"{{name: n, when: {'w' * 301}}}", "longer than 300 letters"),
        ("{name: n, when: w, threshold: 1.5}", "1.5 is not a threshold"),
        ("{name: n, when: w, threshold: 0}", "0 is not a threshold"),
        ("{name: n, when: w, threshold: high}", "'high' is not a threshold"),
        ("{name: n, when: w, schedule: 22:00-25:00}", "which no clock shows"),
        ("{name: n, when: w, schedule: []}", "a schedule is a text"),
        ("{name: n, when: w, unless: ['']}", "'cameras.a.alerts.0.unless.0': the text is empty"),
    ],
)
def test_each_mistake_gets_one_line(tmp_path: Path, rule: str, message: str) -> None:
    assert message in refusal(config(tmp_path, rule))


@pytest.mark.parametrize("other", ["dog", "Dog", "d-o-g", "d o g"])
def test_names_that_read_alike(tmp_path: Path, other: str) -> None:
    first = "d o g" if "-" in other or " " in other else "dog"
    text = refusal(config(tmp_path, f"{{name: {first}, when: x}}", f"{{name: {other}, when: y}}"))
    assert "llama-vid.yaml:4: 'cameras.a.alerts': two rules are named" in text


def test_two_cameras_may_have_rules_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    rule = "alerts: [{name: n, when: w}]"
    path.write_text(f"cameras:\n  a: {{url: x.mp4, {rule}}}\n  b: {{url: y.mp4, {rule}}}\n")
    assert len(load_config(path).cameras) == 2


def test_a_rules_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("alerts:\n  # the dog\n  - {name: dog, when: 'a dog', for: 2s}\n  - {name: cat, when: a cat}\n")
    assert [rule.name for rule in read_rules_file(path)] == ["dog", "cat"]
    write_thresholds(path, {"dog": 0.62})
    assert path.read_text() == (
        "alerts:\n  # the dog\n  - {name: dog, when: 'a dog', for: 2s, threshold: 0.62}\n  - {name: cat, when: a cat}\n"
    )
    assert read_rules_file(path)[0].threshold == 0.62


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alerts:\n  - {name: dog, wen: x}\n", "rules.yaml:2: unknown key 'wen'; did you mean 'when'?"),
        ("alerts: []\n", "rules.yaml:1: 'alerts'"),
        ("alarms: []\n", "rules.yaml:1: unknown key 'alarms'; did you mean 'alerts'?"),
        ("", "'alerts' is missing"),
    ],
)
def test_mistakes_in_a_rules_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as problem:
        read_rules_file(path)
    assert message in str(problem.value)


def test_rules_of_a_camera(tmp_path: Path) -> None:
    path = config(tmp_path, "{name: dog, when: a dog}")
    assert [rule.name for rule in read_rules_file(path, "a")] == ["dog"]
    with pytest.raises(ConfigError, match="no rules of a camera 'b'; cameras with rules: a"):
        read_rules_file(path, "b")
    with pytest.raises(ConfigError, match="unknown key 'cameras'"):
        read_rules_file(path)
