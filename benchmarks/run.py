"""The benchmarks by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from benchmarks import cold_start, hour
from evaluation.report import Result
from llama_vid.errors import ConfigError

BENCHMARKS: Final[dict[str, Callable[[int | None], Result]]] = {
    "cold_start": cold_start.measure,
    "hour": hour.measure,
}


def run_benchmarks(name: str, *, runs: int | None = None) -> Iterator[Result]:
    """Run one benchmark, or `all`, yielding each result as it is there. Raises ConfigError for an unknown name."""
    if name != "all" and name not in BENCHMARKS:
        raise ConfigError(f"there is no benchmark {name!r}; known: {', '.join(BENCHMARKS)}, all")
    for each in BENCHMARKS if name == "all" else [name]:
        yield BENCHMARKS[each](runs)
