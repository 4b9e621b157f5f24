"""What the benchmarks make of their measurements: percentiles, ratios, JSON; and the questions and names they use."""

from __future__ import annotations

import importlib
import inspect
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.asking import percentile
from benchmarks.cameras import Cameras, Load, Stage
from benchmarks.pictures import SCENE, narrowed, scenes, shuffled
from benchmarks.processes import own_cpu_s, resident_mb
from benchmarks.questions import open_questions
from benchmarks.recompute import Pair, Recompute
from benchmarks.run import BENCHMARKS
from benchmarks.ttft import Crowd, TimeToFirstToken, Watched
from evaluation.report import rows_of
from llama_vid.commands.work import BENCH_HELP
from llama_vid.errors import ConfigError
from llama_vid.llm.questions import QuestionKind, sort_question
from tests.conftest import painted, read_second, write_video


def test_percentile_is_the_nearest_rank() -> None:
    values = [float(number) for number in range(32, 0, -1)]
    assert percentile(values, 0.5) == 16.0
    assert percentile(values, 0.95) == 31.0
    assert percentile(values, 0.0) == 1.0
    assert percentile(values, 1.0) == 32.0
    assert percentile([7.0], 0.95) == 7.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_every_question_is_open_and_about_something_else() -> None:
    texts = list(open_questions())
    sorted_ones = [sort_question(text) for text in texts]
    assert {question.kind for question in sorted_ones} == {QuestionKind.WHAT}
    assert len({question.subject for question in sorted_ones}) == len(texts) > 150


def test_help_lists_every_benchmark_and_each_can_be_measured() -> None:
    assert BENCH_HELP.removesuffix(", or all.").split(", ") == list(BENCHMARKS)
    for name in BENCHMARKS:
        try:
            module = importlib.import_module(f"benchmarks.{name}")
        except ModuleNotFoundError as problem:
            pytest.fail(f"no benchmark {name}: {problem}")
        parameters = list(inspect.signature(module.measure).parameters.values())
        assert parameters[0].name == "runs"
        assert parameters[0].default is None
        assert all(parameter.default is not inspect.Parameter.empty for parameter in parameters)
        assert f"llama-vid bench {name}" in (module.__doc__ or "")


def watched(*first: float) -> Watched:
    return Watched(60, 60, 1.0, "", 9.0, first, first, first, 2_000_000)


def test_ttft_gives_medians_ratios_and_askers() -> None:
    crowd = Crowd((1.0, 2.0, 3.0, 4.0), (2.0, 6.0, 9.0, 12.0), 5.0, 13.0)
    found = TimeToFirstToken(
        {1: watched(0.1, 0.2, 0.9), 60: watched(0.3), 240: watched(0.33)}, {4: crowd}, 60, watched(0.1)
    )
    figures = json.loads(json.dumps(found.to_json()))
    assert figures["name"] == "ttft"
    assert figures["minutes"]["1"]["first_token_s"] == 0.2
    assert figures["minutes"]["1"]["cached_mb"] == 2.0
    assert figures["240_by_60"] == pytest.approx(1.1)
    assert figures["60_by_1"] == pytest.approx(1.5)
    assert figures["askers"]["4"]["p95_s"] == 4.0
    assert figures["askers"]["4"]["times_better_p95"] == 3.0
    assert figures["floor"]["after_1_s"]["first_token_s"] == 0.1
    assert found.ratio(60, 10) is None


def stage(number: int, *late: float, fewest: int = 20, dropped: int = 0, reconnects: int = 0) -> Stage:
    load = Load(1.0, 0.1, 900.0)
    return Stage(number, 20.0, late, fewest, dropped, reconnects, load, load, (0.01,))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (stage(20, 0.2, 1.0), "late by a second"),
        (stage(20, 0.2, dropped=1), "dropped"),
        (stage(20, 0.2, fewest=17), "fell short"),
        (stage(20, 0.2, reconnects=1), "broke"),
        (stage(20), "nothing came"),
    ],
)
def test_cameras_counts_what_was_kept_up_with(bad: Stage, why: str) -> None:
    good = stage(10, 0.2, 0.99, fewest=18)
    found = Cameras({"quiet": {10: good, 20: bad, 30: stage(30, 0.1)}, "busy": {1: bad}})
    assert good.kept_up
    assert not bad.kept_up, why
    assert (found.most("quiet"), found.most("busy")) == (10, 0)
    figures = json.loads(json.dumps(found.to_json()))
    assert figures["quiet"]["most"] == 10
    assert figures["quiet"]["10"]["late_most_s"] == 0.99
    assert figures["floor"]["cores_to_read_and_decode"]["quiet"]["10"] == 1.0
    assert all(isinstance(text, str) for _, text in rows_of(figures))


def test_recompute_divides_medians() -> None:
    pair = Pair(60, 2.0, 0.5, (0.2, 0.4, 0.3), (0.1, 0.1, 0.1), (3.0, 30.0, 2.0))
    figures: dict[str, Any] = json.loads(json.dumps(Recompute({1.0: pair}).to_json()))
    assert figures["minutes"]["1"]["ratio"] == pytest.approx(10.0)
    assert figures["baselines"] == {"recompute_1_min_s": 3.0}


def test_process_meters_move() -> None:
    before = own_cpu_s()
    held = np.ones(40_000_000)  # 320 MB that are really written
    resident = resident_mb()
    assert resident > 320
    assert held.sum() == 40_000_000
    assert own_cpu_s() > before


def test_scenes_are_cut_from_every_clip_and_shuffled_whole(tmp_path: Path) -> None:
    one = write_video(tmp_path / "one.mp4", [painted(number) for number in range(20)])
    two = write_video(tmp_path / "two.mp4", [painted(number) for number in range(100, 111)])
    found = scenes(3, [(one, 1.0), (two, 1.0)])
    shown = [[read_second(picture.image) for picture in scene] for scene in found]
    assert shown == [list(range(8)), list(range(8, 16)), list(range(100, 108))]
    assert [picture.number for scene in found for picture in scene] == list(range(24))
    endless = shuffled(found)
    first_round = [next(endless).number for _ in range(24)]
    assert sorted(first_round) == list(range(24))
    assert all(number + 1 == after for number, after in pairwise(first_round) if after % SCENE)
    with pytest.raises(ConfigError, match="no clip lasts as long as one scene"):
        scenes(3, [(write_video(tmp_path / "short.mp4", [painted(1)]), 1.0)])


def test_wide_pictures_are_made_smaller_in_proportion() -> None:
    image = np.zeros((720, 1280, 3), np.uint8)
    assert narrowed(image).shape == (360, 640, 3)
    small = np.zeros((96, 160, 3), np.uint8)
    assert narrowed(small) is small
