"""`eval alerts`: rules debounced over seconds, and counted by clip."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from evaluation.alerts import evaluate_alerts
from evaluation.rules import Rule, by_second, fired, level, read_rules
from evaluation.scores import average_precision
from llama_vid.errors import ConfigError, SourceError
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair

RULE = Rule("dog", "a dog", frozenset(), frozenset())
PAIR = TokenPair(torch.zeros(2), torch.zeros(2), 0.0, held=False, cut=False)


def test_average_precision_by_hand() -> None:
    assert average_precision([0.9, 0.8, 0.1], [True, False, True]) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision([0.5, 0.5], [True, False]) == 0.5, "ties earn nothing"
    assert average_precision([0.5], [False]) is None


def test_alerts_are_debounced_as_the_engine_does_it() -> None:
    assert fired(RULE, [0.9, 0.1, 0.1, 0.1, 0.1, 0.8, 0.9, 0.1, 0.1]) == [(5, 7)]
    assert fired(RULE, [0.1, 0.9, 0.1, 0.1]) == [], "one odd frame"
    assert fired(RULE, [0.9, 0.9, 0.4, 0.4, 0.9, 0.9]) == [(0, 6)], "what hovers around the threshold is one alert"
    assert fired(RULE, [0.9, 0.9, *[0.0] * 5, 0.9, 0.9]) == [(0, 2), (7, 9)], "five seconds without end it"
    assert fired(RULE, [0.9]) == fired(RULE, []) == []


@pytest.mark.parametrize(
    ("shown", "highest"),
    [([0.2, 0.7, 0.4, 0.6], 0.6), ([0.9, 0.3], 0.3), ([0.5, 0.5, 0.5], 0.5), ([0.3], 0.0), ([0.0, 0.0], 0.0)],
)
def test_the_level_is_the_highest_threshold_that_fires(shown: list[float], highest: float) -> None:
    assert level(RULE, shown) == highest
    assert fired(RULE, shown, highest) or highest == 0.0
    assert not fired(RULE, shown, highest + 1e-6)


class Shown:
    """A scorer to whom an entry's start says what it shows: the text's number or not."""

    def scores(self, entries: Any, text: str) -> torch.Tensor:
        return torch.tensor([float(str(int(entry.start)) in text) for entry in entries])

    def sure(self, z: float) -> float:
        return 0.2 + 0.6 * z


def entry(start: float, end: float) -> MemoryEntry:
    return MemoryEntry(start, end, PAIR, torch.zeros(2))


def test_by_second_fills_what_an_entry_lasts() -> None:
    found = by_second(Shown(), [entry(0, 1), entry(1, 4), entry(4, 5)], "second 1")
    assert found == pytest.approx([0.2, 0.8, 0.8, 0.8, 0.2])
    assert by_second(Shown(), [], "second 1") == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three clips; a rule that is true in a, false in b, uncertain in c."""
    rows = []
    for index, name in enumerate("abc"):
        (tmp_path / f"{name}.mp4").write_bytes(b"not read")
        rows.append({"index": index, "file": f"{name}.mp4", "kind": "x", "seconds": 4.0, "caption": "y"})
    (tmp_path / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rule = {"name": "dog", "when": "a dog at 1, 2 and 3", "true_in": ["a.mp4"], "uncertain_in": ["c.mp4"]}
    (tmp_path / "rules.jsonl").write_text(json.dumps(rule) + "\n")
    return tmp_path


class Model:
    """Film a shows seconds 0…5, film b 6…9; film c cannot be read."""

    responder = SimpleNamespace(find=Shown())

    def open(self, path: str, *, last_frame_only: bool = False) -> Any:
        name = Path(path).stem
        if name == "c":
            raise SourceError("c.mp4 is damaged")
        seconds = {"a": range(6), "b": range(6, 10)}[name]
        entries = tuple(entry(second, second + 1) for second in seconds)
        return SimpleNamespace(entries=entries[-1:] if last_frame_only else entries)


def test_clips_are_counted_once_for_each_rule(folder: Path) -> None:
    result = evaluate_alerts(Model(), folder)  # type: ignore[arg-type]
    figures = result.to_json()
    assert (figures["n"], figures["clips"]) == (2, 3), "the uncertain clip is left out"
    assert (figures["f1"], figures["precision"], figures["recall"], figures["map"]) == (1.0, 1.0, 1.0, 1.0)
    assert figures["rules"]["dog"]["false_an_hour"] == 0.0
    assert figures["baselines"]["last-frame"]["recall"] == 0.0, "its last second shows no dog"
    assert "missing" in figures["baselines"]["full"]
    assert [case.right for case in result.cases if case.system == "llama-vid"] == [True, True]
    assert result.cases[0].said.startswith("alert at 1–4 s")


def test_false_alerts_are_counted_by_the_hour(folder: Path) -> None:
    rule = {"name": "dog", "when": "a dog at 7 and 8", "true_in": ["a.mp4"], "uncertain_in": []}
    (folder / "rules.jsonl").write_text(json.dumps(rule) + "\n")
    figures = evaluate_alerts(Model(), folder, system="llama-vid").to_json()  # type: ignore[arg-type]
    assert (figures["precision"], figures["recall"], figures["f1"]) == (0.0, 0.0, 0.0)
    # One alert; film b has ten seconds up to its end, and the damaged clip counts as one second of nothing.
    assert figures["false_an_hour"] == pytest.approx(3600 / 11)


def test_bad_rules_name_the_line(folder: Path) -> None:
    (folder / "rules.jsonl").write_text('{"name": "dog"}\n')
    with pytest.raises(ConfigError, match=r"rules\.jsonl:1: needs name, when"):
        read_rules(folder)
    (folder / "rules.jsonl").write_text("")
    with pytest.raises(ConfigError, match="has no rules"):
        read_rules(folder)
