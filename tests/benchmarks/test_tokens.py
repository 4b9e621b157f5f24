"""The table of tokens: counts from real configurations, what fits a context, and where answers' worth is read from."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.run import run_benchmarks
from benchmarks.token_counts import HOUR, PUBLISHED, counts, minutes_in, pooled_llava, vit_patches
from benchmarks.token_quality import read_results
from benchmarks.tokens import Held, Tokens
from llama_vid.errors import ConfigError
from llama_vid.memory.budget import Budget
from tests.bundles import mini


def test_counts_are_what_the_configurations_say() -> None:
    assert vit_patches("ViT-L-14", class_token=True) == 257
    assert vit_patches("ViT-L-14-336", class_token=False) == 576
    assert vit_patches("ViT-B-32", class_token=False) == 49
    assert pooled_llava() == 144
    with pytest.raises(ConfigError, match="no picture and patch size"):
        vit_patches("RN50", class_token=False)
    found = {count.system: count for count in counts(81)}
    assert (found["ours"].per_frame, found["full"].per_frame, found["ours"].per_hour) == (2, 81, 7200)
    assert all(count.how == "cited" and "20" in count.source for count in PUBLISHED[:3])
    assert {count.how for count in counts(81) if count not in PUBLISHED} == {"computed"}


@pytest.mark.parametrize("context", [4096, 8192, 131_072])
def test_minutes_are_those_of_the_memory(context: int) -> None:
    pairs = Budget.for_context(context).pairs
    assert minutes_in(context, 2 * HOUR) == pytest.approx(pairs / 60, abs=0.1)
    assert minutes_in(context, 257 * HOUR) < minutes_in(context, 81 * HOUR) < pairs / 60
    assert minutes_in(100, 2 * HOUR) == 0


def tokens() -> Tokens:
    held = [Held("quiet camera", 3600, 400, 700)]
    right = {"ours": {"all": 0.8}, "full": {"tokens": 0.75}}
    return Tokens(counts(81), held, 20.0, {2: 21.0, 81: 90.0}, {7200: 9000.0, 700: 500.0}, right, "12 questions")


def test_each_figure_stands_beside_its_system() -> None:
    figures = json.loads(json.dumps(tokens().to_json()))
    systems = figures["systems"]
    assert figures["n"] == len(systems) == len(counts(81)) + 1
    assert (systems["ours"]["right_all"], systems["ours"]["right_tokens"]) == (0.8, None)
    assert systems["full"]["right_tokens"] == 0.75
    assert systems["ours"]["read_hour_ms"] == 9000.0
    assert systems["full"]["read_hour_ms"] is None, "an hour of it fits no context of the shipped model"
    adaptive = systems["ours adaptive, quiet camera"]
    assert (adaptive["how"], adaptive["tokens_per_hour"], adaptive["read_hour_ms"]) == ("measured", 700, 500.0)
    assert adaptive["minutes_in_8192"] > 6 * systems["ours"]["minutes_in_8192"]


def test_people_read_one_line_a_system() -> None:
    page = io.StringIO()
    tokens().print_rows(Console(file=page, width=160))
    lines = [line for line in page.getvalue().splitlines() if "7,200" in line]
    assert [line.split("│")[1].strip() for line in lines] == ["ours", "LLaMA-VID"]
    assert "arXiv:2311.17043" in page.getvalue()


def test_shares_come_from_a_results_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    one = {"name": "yesno", "n": 198, "route": "tokens", "accuracy": 0.7, "baselines": {"full": {"accuracy": 0.72}}}
    other = {"name": "yesno", "n": 198, "accuracy": 0.8, "baselines": {"blind": {"accuracy": 0.5}}}
    path.write_text(json.dumps({"results": [one, other, {"name": "moments", "n": 61}]}))
    right, questions = read_results(path)
    assert right == {"ours": {"tokens": 0.7, "all": 0.8}, "full": {"tokens": 0.72}}
    assert questions == "198 questions, from results.json"
    for text, why in (("[]", "holds no yes/no figures"), ("{", "cannot be read")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=why):
            read_results(path)


def test_options_go_to_the_benchmark_that_takes_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the benchmark hour takes no --limit"):
        list(run_benchmarks("hour", limit=3))
    with pytest.raises(ConfigError, match=r"none\.json cannot be read"):
        list(run_benchmarks("tokens", limit=None, results=tmp_path / "none.json"))


@pytest.mark.model
@pytest.mark.slow
def test_some_seconds_are_held_and_read() -> None:
    from benchmarks import tokens as benchmark

    found = benchmark.measure(1, limit=0, seconds=16, most=200, distinct=2, bundle=mini())
    quiet, film = found.held
    assert quiet.frames == film.frames == 16
    assert 0 < quiet.tokens <= 32
    assert 0 < film.tokens <= 32
    assert set(found.frame_ms) == {count.per_frame for count in found.counts}
    assert found.frame_ms[576] > found.floor_ms > 0
    assert set(found.hour_ms) == {quiet.tokens, film.tokens}, "7,200 are more than were to be read at once"
