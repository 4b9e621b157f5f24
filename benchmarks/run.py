"""The benchmarks by name. Each is a module of this folder with `measure(runs)`, imported when it is run."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Final, cast

from evaluation.report import Result
from llama_vid.errors import ConfigError

#: What each measures, in a few words; `all` runs them in this order.
BENCHMARKS: Final[dict[str, str]] = {
    "cold_start": "from pressing return to an answer",
    "hour": "an hour of video, asked once",
    "ttft": "first token after 1 to 240 minutes, 1 to 32 askers",
    "frame": "where the milliseconds of a frame go",
    "file": "an hour of 720p film to its first answer",
    "cameras": "how many cameras before one is late",
    "day": "24 hours of a quiet camera",
    "recompute": "everything encoded anew for each question",
}


def run_benchmarks(name: str, *, runs: int | None = None) -> Iterator[Result]:
    """Run one benchmark, or `all`, yielding each result as it is there. Raises ConfigError for an unknown name."""
    if name != "all" and name not in BENCHMARKS:
        raise ConfigError(f"there is no benchmark {name!r}; known: {', '.join(BENCHMARKS)}, all")
    for each in BENCHMARKS if name == "all" else [name]:
        yield cast(Result, import_module(f"benchmarks.{each}").measure(runs))
