"""The five benchmarks in miniature through lmms-eval itself: its task files, its evaluator, its scoring; our bundle.

Runs where lmms-eval is installed (evaluation/README.md); `test_lmms.py` shows the same wiring without it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest

from evaluation.judge import Judgement
from evaluation.lmms.judge import server
from tests.bundles import skip_without_mini
from tests.conftest import painted, write_video
from tests.evaluation.lmms_fake import VERSION, FakeInstance, FakeLmms
from tests.evaluation.lmms_mini import MINIS, write

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("lmms_eval") is None,
        reason="lmms-eval is not installed: it has an environment of its own, see evaluation/README.md",
    ),
    pytest.mark.slow,
    pytest.mark.model,
]

#: NExT-QA's open answers are scored with WordNet, which has to be fetched: here they are written and not scored.
UNSCORED = ("nextqa_oe",)


def rule(question: str, reference: str, answer: str) -> Judgement:
    """Right is what holds the reference; the judge's own rule has tests of its own."""
    right = reference.rstrip(".").lower() in answer.lower()
    return Judgement(right, right, right, float(right))


def evaluated(names: list[str], files: Path, home: Path, out: Path, judge: str, *options: str) -> None:
    """Run lmms-eval's command line on our plugin."""
    # A process of its own: lmms-eval reads HF_HOME when it is imported, and sets up logging for the whole process.
    environment = os.environ | {
        "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OPENAI_API_URL": judge,
        "MODEL_VERSION": "gpt-4o-2024-11-20", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    command = [sys.executable, "-m", "lmms_eval", "--model", "llama_vid_live", "--model_args", "model=mini,device=cpu"]
    command += ["--tasks", ",".join(names), "--include_path", str(files), "--output_path", str(out), "--log_samples"]
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Error during evaluation" not in done.stdout, done.stdout[-2000:]


def samples(out: Path, task: str) -> list[dict[str, Any]]:
    (file,) = out.rglob(f"*samples_{task}.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_plugin_is_found_and_the_fake_interface_is_the_real_one() -> None:
    from lmms_eval.api.instance import Instance
    from lmms_eval.api.model import lmms

    from evaluation.lmms.model import LlamaVidLive

    assert version("lmms_eval") == VERSION
    assert issubclass(LlamaVidLive, lmms)
    assert {name for name in vars(FakeLmms) if not name.startswith("_")} <= set(dir(lmms))
    assert FakeLmms.__abstractmethods__ == lmms.__abstractmethods__  # type: ignore[attr-defined, unused-ignore]
    request = Instance("generate_until", ("q", {}), 0, {"task": "t", "doc_id": 0, "repeats": 1})
    assert request.args == FakeInstance("generate_until", ("q", {})).args
    if not entry_points(group="lmms_eval.models"):
        pytest.skip("the package was installed before it had the entry point: install it again")
    from lmms_eval.models import get_model

    assert get_model("llama_vid_live") is LlamaVidLive


def test_five_benchmarks_in_miniature(tmp_path: Path) -> None:
    skip_without_mini()
    import lmms_eval.tasks

    if not entry_points(group="lmms_eval.models"):
        pytest.skip("the package was installed before it had the entry point: install it again")
    video = write_video(tmp_path / "made.mp4", [painted(second) for second in range(3)])
    files, home = write(tmp_path, Path(lmms_eval.tasks.__file__).parent, video)
    scored, out = [mini for mini in MINIS if mini.name not in UNSCORED], tmp_path / "out"
    with server(0, rule) as judging:
        thread = threading.Thread(target=judging.serve_forever, args=(0.05,), name="judge")
        thread.start()
        address = f"http://127.0.0.1:{judging.server_port}/v1/chat/completions"
        try:
            evaluated([mini.task for mini in scored], files, home, out, address)
        finally:
            judging.shutdown()
            thread.join()
    evaluated([mini.task for mini in MINIS if mini not in scored], files, home, out, "", "--predict_only")

    (results, _) = sorted(out.rglob("*results.json"))
    figures = json.loads(results.read_text())["results"]
    for mini in scored:
        for figure in mini.figures:
            value = figures[mini.task][f"{figure},none"]
            assert 0 <= value <= 100, (mini.name, figure)
    for mini in MINIS:
        rows = samples(out, mini.task)
        assert [row["input"] for row in rows] == list(mini.prompts), "the prompt is the one that the tests take it for"
        for row in rows:
            said = row["filtered_resps"]
            said = said if isinstance(said, str) else said[0]
            assert said
            assert said != "unreadable video"
            if mini.name in ("mvbench", "videomme", "nextqa_mc"):
                assert said in "ABCDE"
    # Right and wrong are counted from what was said.
    (row,) = samples(out, "mini_mvbench")
    assert figures["mini_mvbench"]["mvbench_accuracy,none"] == 100 * (row["filtered_resps"] in ("B", ["B"]))
