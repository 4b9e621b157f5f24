"""`eval absent` pairs clips with and without, and tells denials from answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.absent import denies, evaluate_absent, read_absent
from tests.evaluation.oracle import OracleModel
from tests.evaluation.question_sets import clip, write_folder


@pytest.mark.parametrize(
    ("answer", "denial"),
    [
        ("I have not seen a dog.", True),
        ("I have probably not seen a dog.", True),
        ("No, I have not seen a dog.", True),
        ("None.", True),
        ("There is no dog in the video.", True),
        ("Never: I have not seen a dog.", True),
        ("I cannot tell.", True),
        ("A dog runs in the snow.", False),
        ("Two.", False),
        ("At 0:03–0:05.", False),
        ("A man with nothing on his head.", False),
        ("", False),
    ],
)
def test_denies(answer: str, denial: bool) -> None:
    assert denies(answer) is denial


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    yesno = [("0.mp4", "dog", "yes"), ("1.mp4", "dog", "no"), ("2.mp4", "cat", "yes"), ("1.mp4", "moon", "no")]
    rules = [{"name": "snow", "true_in": ["1.mp4"], "uncertain_in": ["0.mp4", "2.mp4"]}]
    return write_folder(tmp_path, [clip(index) for index in range(4)], yesno=yesno, rules=rules)


def test_questions_are_balanced_and_leave_uncertain_clips_out(folder: Path) -> None:
    asked = [(item.clip.index, item.concept, item.present) for item in read_absent(folder)]
    assert asked == [(0, "dog", True), (1, "dog", False), (1, "snow", True), (3, "snow", False)]
    by_concept = {item.concept: set() for item in read_absent(folder)}
    for item in read_absent(folder):
        by_concept[item.concept].add(item.question)
    assert all(len(forms) == 1 for forms in by_concept.values()), "with and without are asked the same"


def say(path: str, _question: str, last_frame_only: bool) -> str:
    return "A thing." if last_frame_only else "I have not seen it." if path.endswith(("0.mp4", "1.mp4")) else "White."


def test_figures(folder: Path) -> None:
    result = evaluate_absent(OracleModel(say), folder)
    figures = result.to_json()
    assert (figures["denied"], figures["false_denials"], figures["accuracy"]) == (0.5, 1.0, 0.25)
    assert (figures["accuracy_even"], figures["accuracy_odd"]) == (0.0, pytest.approx(1 / 3))
    assert figures["baselines"]["last-frame"] == {
        "denied": 0.0, "false_denials": 0.0, "accuracy": 0.5, "accuracy_even": 1.0, "accuracy_odd": pytest.approx(1 / 3)
    }  # fmt: skip
    assert {case.wanted for case in result.cases} == {
        "dog is there", "denied: no dog", "snow is there", "denied: no snow"
    }  # fmt: skip
