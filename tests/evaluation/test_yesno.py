"""`eval yesno` counts right, by halves and concepts, and its baselines run beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.case import Case
from evaluation.yesno import evaluate_yesno, first_word
from llama_vid.errors import ConfigError, SourceError
from tests.evaluation.oracle import OracleFull, OracleModel

CLIPS = [("a.mp4", 0), ("b.mp4", 1)]
QUESTIONS = [
    ("a.mp4", "dog", "Is there a dog?", "yes"),
    ("b.mp4", "dog", "Is there a dog?", "no"),
    ("a.mp4", "car", "Is there a car?", "no"),
    ("b.mp4", "car", "Is there a car?", "yes"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    clips = [
        {"index": index, "file": file, "kind": f"kind {file[0]}", "seconds": 6.0, "caption": "x"}
        for file, index in CLIPS
    ]
    for file, _ in CLIPS:
        (tmp_path / file).write_bytes(b"the oracle does not read it")
    (tmp_path / "clips.jsonl").write_text("".join(json.dumps(clip) + "\n" for clip in clips))
    rows = [dict(zip(("file", "concept", "question", "answer"), row, strict=True)) for row in QUESTIONS]
    (tmp_path / "yesno.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Yes, a dog runs.", True),
        ("no.", False),
        (" “No, it is not there.", False),
        ("Nobody is there.", None),
        ("A dog runs. Yes.", None),
        ("", None),
        ("YES", True),
    ],
)
def test_first_word(answer: str, said: bool | None) -> None:
    assert first_word(answer) is said


def say(path: str, question: str, last_frame_only: bool) -> str:
    """Right about clip a; about b it says neither; from the last frame it always says no."""
    if last_frame_only:
        return "No, not seen."
    if path.endswith("b.mp4"):
        return "Perhaps."
    return "Yes, there is." if "dog" in question else "No, not seen."


def test_accuracy_halves_concepts_and_baselines(folder: Path) -> None:
    model = OracleModel(say)
    result = evaluate_yesno(model, folder).to_json()
    assert result["n"] == 4
    assert result["clips"] == 2
    assert result["accuracy"] == 0.5
    assert result["accuracy_even"] == 1.0
    assert result["accuracy_odd"] == 0.0
    assert result["neither_yes_nor_no"] == 2
    assert result["concepts"] == {"car": 0.5, "dog": 0.5}
    assert result["baselines"]["blind"]["accuracy"] == 0.5
    assert result["baselines"]["blind"]["auc"] == 0.5
    last = result["baselines"]["last-frame"]
    assert (last["accuracy"], last["accuracy_even"], last["accuracy_odd"]) == (0.5, 0.5, 0.5)
    assert result["over_blind"] == 0.0
    assert result["baselines"]["always-yes"]["accuracy"] == 0.5
    assert result["baselines"]["full"] == {"missing": "this model has no full-token baseline"}
    assert result["by_kind"] == {"kind a": 1.0, "kind b": 0.0}
    assert "auc" not in result
    assert model.opened == [str(folder / "a.mp4"), str(folder / "b.mp4")] * 2, "each clip is taken in once a system"


def test_route_tokens_uses_probabilities(folder: Path) -> None:
    result = evaluate_yesno(OracleModel(say), folder, route="tokens").to_json()
    assert result["route"] == "tokens"
    assert result["accuracy"] == 0.75
    assert result["auc"] == 0.75
    assert result["baselines"]["no-motion"]["accuracy"] == 0.75
    assert result["baselines"]["no-context"]["accuracy"] == 0.5


def test_full_is_a_column_where_it_is_there(folder: Path) -> None:
    result = evaluate_yesno(OracleModel(say, full=OracleFull()), folder)
    full = result.to_json()["baselines"]["full"]
    assert (full["accuracy"], full["auc"]) == (0.5, 0.5)
    assert {case.system for case in result.cases} == {"llama-vid", "full", "last-frame", "blind"}


def test_full_alone_that_is_not_there_is_one_clear_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match="full cannot be measured: this model has no"):
        evaluate_yesno(OracleModel(say), folder, system="full")


def test_cases_say_what_was_asked_said_and_where_to_look(folder: Path) -> None:
    cases = evaluate_yesno(OracleModel(say), folder, system="llama-vid").cases
    assert [case.right for case in cases] == [True, False, True, False]
    assert cases[1] == Case(
        "kind b", folder / "b.mp4", "Is there a dog?", "no", "Perhaps.", False, (1.0, 3.0, 5.0), "llama-vid"
    )


def test_a_dropped_context_is_averaged_over_all_clips(folder: Path) -> None:
    model = OracleModel(say)
    result = evaluate_yesno(model, folder, route="tokens", system="llama-vid", drop="context").to_json()
    assert result["accuracy"] == 0.5
    assert model.averaged == [str(folder / "a.mp4"), str(folder / "b.mp4")]


def test_a_single_system_has_no_baselines(folder: Path) -> None:
    result = evaluate_yesno(OracleModel(say), folder, system="blind", limit=2).to_json()
    assert (result["system"], result["n"], result["baselines"]) == ("blind", 2, {})


def test_an_unreadable_clip_counts_as_wrong(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(path: str, question: str, last_frame_only: bool) -> str:
        if path.endswith("a.mp4"):
            raise SourceError("a.mp4 is damaged")
        return "No." if "dog" in question else "Yes."

    result = evaluate_yesno(OracleModel(broken), folder, system="llama-vid").to_json()
    assert result["accuracy"] == 0.5
    assert "a.mp4 is damaged" in caplog.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"file": "c.mp4", "question": "x", "answer": "yes"}', "yesno.jsonl:1: needs a file of clips.jsonl"),
        ('{"file": "a.mp4", "question": "x", "answer": "maybe"}', "yesno.jsonl:1: needs"),
        ("{", "yesno.jsonl:1: not JSON"),
        ("[1]", "yesno.jsonl:1: each line must be one JSON object"),
    ],
)
def test_bad_question_files_name_the_line(folder: Path, line: str, message: str) -> None:
    (folder / "yesno.jsonl").write_text(line)
    with pytest.raises(ConfigError, match=message):
        evaluate_yesno(OracleModel(), folder)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"clips\.jsonl cannot be read"):
        evaluate_yesno(OracleModel(), tmp_path)
