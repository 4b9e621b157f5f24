"""The benchmarks by name. Each is a module of this folder with `measure(runs)`, imported when it is run."""

from __future__ import annotations

import inspect
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
    "tokens": "tokens a frame, an hour, a context, and what they are worth",
    "alerts": "from the frame to the MQTT message, with eight cameras",
    "clients": "200 websocket clients that watch and ask",
    "glass": "from a publisher's glass to pictures, searches, answers and viewers",
    "cluster": "the same cameras in one process and on Ray, a worker killed",
    "capacity": "machines for so many cameras, from the cluster's figures",
    "captions": "a lecture's words: wrong ones, delays, cores",
    "gpu": "a 7B-shaped model and ViT-L/14 on a GPU, beside its ceilings",
}


def run_benchmarks(name: str, *, runs: int | None = None, **options: object) -> Iterator[Result]:
    """Run one benchmark, or `all`, yielding each result as it is there.

    `options` are for those that take them; None leaves a benchmark's own default. Raises ConfigError for an unknown
    name, or an option that the one benchmark does not take.
    """
    if name != "all" and name not in BENCHMARKS:
        raise ConfigError(f"there is no benchmark {name!r}; known: {', '.join(BENCHMARKS)}, all")
    given = {option: value for option, value in options.items() if value is not None}
    for each in BENCHMARKS if name == "all" else [name]:
        measure = import_module(f"benchmarks.{each}").measure
        taken = {option: given[option] for option in given if option in inspect.signature(measure).parameters}
        if name != "all" and (left := sorted(given.keys() - taken)):
            raise ConfigError(f"the benchmark {name} takes no --{left[0]}")
        yield cast(Result, measure(runs, **taken))
