"""`eval all`: every task once, taken up where it stopped, and a report that shows what was measured."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evaluation import suite
from evaluation.case import Case
from evaluation.columns import figures_of, groups_of, markdown, rows_of_task, systems_of
from evaluation.frames import Frames
from evaluation.reporting import report_all, table_of, write_report
from evaluation.suite import SuiteOptions, plan, run_suite
from evaluation.tasks import NAMES, evaluator
from llama_vid.bundle import fingerprint
from llama_vid.errors import BundleError, ConfigError
from tests.conftest import painted, read_second, write_video
from tests.evaluation.oracle import OracleModel

CHOSEN = [("yesno", "all"), ("yesno", "tokens"), ("moments", "all"), ("retrieval", "all")]


def say(path: str, question: str, last_frame_only: bool) -> str:
    """Right about the first clip only, and never from the last frame."""
    return "Yes, <b>it</b> is there." if path.endswith("0.mp4") and not last_frame_only else "No, I have not seen it."


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with three clips, a question to each, and no photos."""
    root = tmp_path_factory.mktemp("data")
    clips = root / "clips"
    clips.mkdir()
    rows, questions = [], []
    for index in range(3):
        write_video(clips / f"{index}.mp4", [painted(10 * index + second) for second in range(4)])
        caption = f"It shows the number {10 * index}"
        rows.append(
            {"index": index, "file": f"{index}.mp4", "kind": f"kind {index % 2}", "seconds": 4.0, "caption": caption}
        )
        questions.append({"file": f"{index}.mp4", "concept": "it", "question": "Is it there?", "answer": "yes"})
    (clips / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (clips / "yesno.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    return root


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder that has a manifest, which is all that the suite reads of a bundle."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    manifest = {"format": 1, "files": {"head.safetensors": "aa", "README.md": "bb"}, "calibration": {"bias": 1.0}}
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def options(data: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SuiteOptions:
    model = OracleModel(say)
    monkeypatch.setattr(suite, "_loaded", lambda _options: model)
    return SuiteOptions(tmp_path / "out", data, model=str(bundle))


def test_every_task_is_planned_and_there() -> None:
    assert [name for name, route in plan() if route == "all"] == list(NAMES)
    for name, task in NAMES.items():
        assert callable(evaluator(name))
        assert {headline.route for headline in task.headlines} <= set(task.routes)


def test_the_fingerprint_is_that_of_the_weights(bundle: Path) -> None:
    before = fingerprint(bundle)
    assert re.fullmatch(r"[0-9a-f]{12}", before)
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest["files"]["README.md"] = "another card"
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    assert fingerprint(bundle) == before
    manifest["files"]["head.safetensors"] = "cc"
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    assert fingerprint(bundle) != before
    with pytest.raises(BundleError):
        fingerprint(bundle.parent)


def test_results_skips_and_resuming(options: SuiteOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    report = run_suite(options, lines.append, CHOSEN)
    yesno, tokens, moments, retrieval = report.finished
    assert yesno.result is not None
    assert yesno.result["accuracy"] == pytest.approx(1 / 3)
    assert yesno.result["bundle"] == report.bundle
    assert tokens.result is not None
    assert moments.result is not None
    assert (moments.result["r@1"], moments.result["n"]) == (1.0, 3)
    assert "there is no folder" in retrieval.skipped
    assert [line.split(":")[0] for line in lines] == ["yesno (all)", "yesno (tokens)", "moments", "retrieval"]

    monkeypatch.setattr(suite, "_loaded", lambda _options: pytest.fail("nothing is left to measure"))
    again = run_suite(options, lines.append, CHOSEN[:3])
    assert again.finished == report.finished[:3]
    assert "taken from" in lines[-1]

    monkeypatch.setattr(suite, "_loaded", lambda _options: OracleModel(say))
    fewer = run_suite(replace(options, limit=1), lines.append, CHOSEN[:1])
    assert fewer.finished[0].result is not None
    assert fewer.finished[0].result["n"] == 1


def test_a_failing_task_does_not_stop_the_rest(
    options: SuiteOptions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: Any, **_options: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("evaluation.yesno.evaluate_yesno", broken)
    with caplog.at_level(logging.ERROR):
        report = run_suite(options, chosen=[("yesno", "all"), ("moments", "all")])
    assert report.finished[0].failed == "ZeroDivisionError: oops"
    assert report.finished[1].result is not None
    assert "yesno (all) failed" in caplog.text
    assert "yesno (all) failed: ZeroDivisionError: oops" in table_of(report)


def test_no_data_and_no_place_are_one_clear_error(options: SuiteOptions, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        run_suite(replace(options, folder=tmp_path / "gone"))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="the report cannot go to"):
        report_all(replace(options, out=tmp_path / "file"))


def test_the_report_shows_table_plots_and_cases(options: SuiteOptions) -> None:
    report = run_suite(options, chosen=CHOSEN)
    write_report(report, options.out)
    table = (options.out / "table.md").read_text()
    assert report.bundle in table
    assert "| yesno | 3 | accuracy | **0.333** | – | 0.000 | 1.000 | ≥ 0.83 ✗ |" in table
    assert "| yesno (tokens) | 3 | accuracy | **0.333** |" in table
    assert "- no figure of full in yesno: this model has no full-token baseline" in table
    for plot in ("tasks.png", "kinds-yesno-all.png"):
        with Image.open(options.out / plot) as image:
            assert min(image.size) > 200
    page = (options.out / "index.html").read_text()
    found = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert "<b>it</b>" not in page, "what a model wrote is no markup"
    first = found[0]
    assert (first["task"], first["clip"], first["kind"], first["wanted"]) == ("yesno", "0.mp4", "kind 0", "yes")
    assert [(each["system"], each["right"]) for each in first["says"]] == [
        ("llama-vid", True), ("last-frame", False), ("blind", True),
    ]  # fmt: skip
    assert len(first["frames"]) == 3
    assert all((options.out / "frames" / name).is_file() for item in found for name in item["frames"])
    assert json.loads((options.out / "results.json").read_text())["bundle"] == report.bundle


def test_frames_are_those_of_the_seconds(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = Frames(tmp_path / "frames")
    Image.fromarray(painted(77)).save(tmp_path / "photo.png")
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    cases = [
        Case("", data / "clips" / "1.mp4", "?", "", "", False, (2.4, 99.0)),
        Case("", tmp_path / "photo.png", "?", "", "", False),
        Case("", tmp_path / "bad.mp4", "?", "", "", False),
    ]
    frames.take(cases)
    shown = [[read_second_of(frames.folder / name) for name in frames.of(case)] for case in cases]
    assert shown == [[12, 13], [77], []], "past the end is the last frame; a bad clip has no pictures"
    assert "no pictures of bad.mp4" in caplog.text


def read_second_of(path: Path) -> int:
    import numpy as np

    with Image.open(path) as image:
        return read_second(np.asarray(image.convert("RGB")))


RESULT = {
    "name": "yesno", "n": 4, "route": "all", "system": "llama-vid", "accuracy": 0.9, "over_blind": 0.3,
    "by_kind": {"film": 1.0, "sport": 0.5}, "concepts": {"dog": 1.0},
    "baselines": {
        "always-yes": {"accuracy": 0.5}, "blind": {"accuracy": 0.6, "by_kind": {"film": 0.5}},
        "full": {"missing": "not trained"},
    },
}  # fmt: skip


def test_columns_by_hand() -> None:
    assert list(systems_of(RESULT)) == ["llama-vid", "full", "blind", "always-yes"]
    assert figures_of(RESULT) == {"n": 4, "accuracy": 0.9, "over_blind": 0.3}
    assert groups_of(RESULT, "by_kind") == {
        "film": {"llama-vid": 1.0, "blind": 0.5}, "sport": {"llama-vid": 0.5, "blind": None},
    }  # fmt: skip
    accuracy, above = rows_of_task(RESULT)
    assert (accuracy.values, accuracy.met) == (
        {"llama-vid": 0.9, "full": None, "last-frame": None, "blind": 0.6}, True,
    )  # fmt: skip
    assert above.met is True
    assert "| above blind | **0.300** | – | – | – | ≥ 0.28 ✓ |" in markdown([above])
