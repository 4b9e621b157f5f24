"""The looped film is as long as it says, and is the clip over and over."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.program import run_python
from benchmarks.run import run_benchmarks
from benchmarks.samples import loop_film, sample_film
from llama_vid.errors import ConfigError, LlamaVidError
from llama_vid.stream.file import FileSource
from tests.conftest import painted, read_second, write_video


def test_loop_repeats_the_clip_to_the_second(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", [painted(number) for number in (1, 2, 3, 4)])
    looped = loop_film(clip, tmp_path / "looped.mp4", 10)
    source = FileSource(looped)
    assert source.duration == pytest.approx(10.0, abs=0.05)
    assert [read_second(frame.image) for frame in source] == [1, 2, 3, 4, 1, 2, 3, 4, 1, 2]
    assert source.warnings == []


def test_the_sample_film_lasts_ten_seconds() -> None:
    try:
        film = sample_film()
    except ConfigError as problem:
        pytest.skip(str(problem))
    assert len(list(FileSource(film))) == 10


def test_an_unknown_film_or_benchmark_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"there is no benchmark 'nothing'; known: cold_start, hour, ttft, .*gpu, all"
    ):
        list(run_benchmarks("nothing"))


def test_a_failing_program_is_told_with_its_last_line() -> None:
    with pytest.raises(LlamaVidError, match=r"ended with status 3: no good"):
        run_python(["-c", "import sys; print('no good', file=sys.stderr); sys.exit(3)"], limit_s=30)
    with pytest.raises(LlamaVidError, match="took longer than 1 s"):
        run_python(["-c", "import threading; threading.Event().wait()"], limit_s=1)


def test_wall_time_and_json_of_a_run() -> None:
    run = run_python(["-c", "print('{\"answer\": 1}')"], limit_s=30)
    assert run.json() == {"answer": 1}
    assert 0 < run.wall_s < 30
