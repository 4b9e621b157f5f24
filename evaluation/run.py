"""The evaluations by name: finds the folder, loads the model, runs one with a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from evaluation.report import Result
from llama_vid.errors import ConfigError

if TYPE_CHECKING:
    from evaluation.model import VideoModel
    from evaluation.yesno import Route

#: Each evaluation's folder below the data, and the systems that it can measure.
NAMES: Final = {
    "yesno": ("clips", ("llama-vid", "blind", "last-frame")),
    "moments": ("clips", ("llama-vid", "last-frame")),
    "retrieval": ("flickr8k", ("llama-vid",)),
    "captions": ("flickr8k", ("llama-vid", "constant", "people", "nearest")),
}
ROUTES: Final = ("all", "tokens")


class Tick(Protocol):
    """Called when a piece of the work is done."""

    def __call__(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    name: str
    folder: Path | None = None
    route: str = "all"
    system: str = ""
    limit: int | None = None
    model: str = "mini"
    device: str = "auto"


def data_folder() -> Path | None:
    """The evaluation data: LLAMA_VID_DATA, else `../shared/data` beside the checkout, else None."""
    named = os.environ.get("LLAMA_VID_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None


def check(options: Options) -> Options:
    """The options with their folder found, before anything slow starts. Raises ConfigError."""
    if options.name not in NAMES:
        raise ConfigError(f"there is no evaluation {options.name!r}; known: {', '.join(NAMES)}")
    below, systems = NAMES[options.name]
    if options.route not in ROUTES:
        raise ConfigError(f"--route is {' or '.join(ROUTES)}, not {options.route!r}")
    if options.route != "all" and options.name != "yesno":
        raise ConfigError(f"--route {options.route} is for yesno; {options.name} has one route")
    if options.system and options.system not in systems:
        raise ConfigError(f"{options.name} has no system {options.system!r}; known: {', '.join(systems)}")
    folder = options.folder
    if folder is None:
        data = data_folder()
        if data is None:
            raise ConfigError(f"no evaluation data: give the folder after {options.name!r}, or set LLAMA_VID_DATA")
        folder = data / below
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}; give the folder that holds the {options.name} data")
    return replace(options, folder=folder)


def run(options: Options) -> Result:
    """Load the model and run one evaluation. The options are those that `check` gave back."""
    folder = options.folder
    if folder is None:
        raise ConfigError("the evaluation has no folder")
    from llama_vid.model import LLaMAVID

    model = cast("VideoModel", LLaMAVID.from_pretrained(options.model, device=options.device))
    with _progress(options.name) as tick:
        return evaluate(model, options, folder, tick)


def evaluate(model: VideoModel, options: Options, folder: Path, tick: Tick) -> Result:
    """Run one evaluation of a loaded model."""
    common: dict[str, Any] = {"limit": options.limit, "tick": tick}
    if options.name == "yesno":
        from evaluation.yesno import evaluate_yesno

        return evaluate_yesno(model, folder, route=cast("Route", options.route), system=options.system, **common)
    if options.name == "moments":
        from evaluation.moments import evaluate_moments

        return evaluate_moments(model, folder, system=options.system, **common)
    if options.name == "retrieval":
        from evaluation.retrieval import evaluate_retrieval

        return evaluate_retrieval(model, folder, **common)
    from evaluation.captions import evaluate_captions

    return evaluate_captions(model, folder, system=options.system, **common)


@contextmanager
def _progress(name: str) -> Iterator[Tick]:
    """A bar that counts pieces of work, on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:.0f} done"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda: bar.advance(task)
