"""One evaluation from the command line: finds the folder, loads the model, runs it with a progress bar."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from evaluation.report import Result
from evaluation.tasks import NAMES, ROUTES, evaluator
from llama_vid.errors import ConfigError

if TYPE_CHECKING:
    from evaluation.model import VideoModel

#: Tokens that `--drop` can take away.
DROPS: Final = ("", "motion", "context")


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
    drop: str = ""


def data_folder() -> Path | None:
    """The evaluation data: LLAMA_VID_DATA, else `../shared/data` beside the checkout, else None."""
    named = os.environ.get("LLAMA_VID_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None


def check(options: Options) -> Options:
    """The options with their folder found, before anything slow starts. Raises ConfigError."""
    task = NAMES.get(options.name)
    if task is None:
        raise ConfigError(f"there is no evaluation {options.name!r}; known: all, {', '.join(NAMES)}")
    if options.route not in ROUTES:
        raise ConfigError(f"--route is {' or '.join(ROUTES)}, not {options.route!r}")
    if options.route not in task.routes:
        others = ", ".join(name for name, other in NAMES.items() if options.route in other.routes)
        raise ConfigError(f"--route {options.route} is for {others}; {options.name} has one route")
    if options.system and options.system not in task.systems:
        raise ConfigError(f"{options.name} has no system {options.system!r}; known: {', '.join(task.systems)}")
    if options.drop not in DROPS:
        raise ConfigError(f"--drop is motion or context, not {options.drop!r}")
    if options.drop and (options.route != "tokens" or not _takes(options.name, "drop")):
        raise ConfigError(f"--drop {options.drop} needs --route tokens, and an evaluation that can do without a token")
    folder = options.folder
    if folder is None:
        data = data_folder()
        if data is None:
            raise ConfigError(f"no evaluation data: give the folder after {options.name!r}, or set LLAMA_VID_DATA")
        folder = data / task.below
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}; give the folder that holds the {options.name} data")
    return replace(options, folder=folder)


def _takes(name: str, option: str) -> bool:
    """Whether an evaluation has an option."""
    return option in inspect.signature(evaluator(name)).parameters


def run(options: Options) -> tuple[Result, str]:
    """Load the model, run one evaluation: the result and the bundle's fingerprint. `options` are those of `check`."""
    folder = options.folder
    if folder is None:
        raise ConfigError("the evaluation has no folder")
    from evaluation.shelf import Shelf
    from llama_vid.bundle import find_bundle, fingerprint
    from llama_vid.model import LLaMAVID

    bundle = fingerprint(find_bundle(options.model))
    model = cast("VideoModel", Shelf(LLaMAVID.from_pretrained(options.model, device=options.device)))
    with progress(options.name) as tick:
        return evaluate(model, options, folder, tick), bundle


def evaluate(model: VideoModel, options: Options, folder: Path, tick: Tick) -> Result:
    """Run one evaluation of a loaded model."""
    wanted: dict[str, Any] = {"route": options.route, "system": options.system, "drop": options.drop}
    given = {name: value for name, value in wanted.items() if _takes(options.name, name)}
    result: Result = evaluator(options.name)(model, folder, limit=options.limit, tick=tick, **given)
    return result


@contextmanager
def progress(name: str) -> Iterator[Tick]:
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
