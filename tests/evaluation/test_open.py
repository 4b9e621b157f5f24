"""`eval open` counts right answers by halves, kinds and systems."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.meaning import Meaning
from evaluation.open import evaluate_open
from llama_vid.errors import ConfigError
from tests.evaluation.oracle import OracleFull, OracleModel
from tests.evaluation.question_sets import clip, write_folder
from tests.evaluation.test_judge import bags


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dog, cat = [("What animal is it?", "A dog."), ("Is it dark?", "Yes.")], [("What animal is it?", "A cat.")]
    return write_folder(tmp_path, [clip(0, qa=dog), clip(1, qa=cat, kind="people")])


def say(path: str, question: str, last_frame_only: bool) -> str:
    if last_frame_only:
        return "A dog."
    return "No." if "dark" in question else "A dog." if path.endswith("0.mp4") else "A kitten."


def test_figures_baselines_and_cases(folder: Path) -> None:
    result = evaluate_open(OracleModel(say, full=OracleFull()), folder, meaning=Meaning(bags))
    figures = result.to_json()
    assert (figures["n"], figures["clips"]) == (3, 2)
    assert figures["accuracy"] == pytest.approx(2 / 3)
    assert (figures["accuracy_even"], figures["accuracy_odd"]) == (0.5, 1.0)
    assert figures["by_kind"] == {"animal": 0.5, "people": 1.0}
    assert figures["baselines"]["last-frame"]["accuracy"] == pytest.approx(1 / 3)
    assert figures["baselines"]["blind"]["accuracy"] == pytest.approx(1 / 3), "its yes is right about the dark"
    assert figures["baselines"]["full"]["accuracy"] == pytest.approx(1 / 3)
    assert len(result.cases) == 12
    wrong = [case for case in result.cases if case.system == "llama-vid" and not case.right]
    assert [(case.question, case.said) for case in wrong] == [("Is it dark?", "No.")]


def test_a_missing_baseline_is_a_dash_with_its_reason(folder: Path) -> None:
    result = evaluate_open(OracleModel(say), folder, meaning=Meaning(bags))
    assert "no full-token baseline" in result.to_json()["baselines"]["full"]["missing"]


def test_tokens_route_asks_the_token_route(folder: Path) -> None:
    model = OracleModel(say)
    result = evaluate_open(model, folder, route="tokens", system="llama-vid", meaning=Meaning(bags))
    assert result.to_json()["accuracy"] == pytest.approx(2 / 3)
    assert model.opened == [], "no film is asked as a user would"


def test_clips_without_questions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="asks nothing"):
        evaluate_open(OracleModel(say), write_folder(tmp_path, [clip(0)]), meaning=Meaning(bags))
