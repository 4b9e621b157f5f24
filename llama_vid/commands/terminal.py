"""How commands speak: JSON or words on stdout, progress on stderr if it is a terminal."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

#: Seconds done, and the whole duration in seconds where it is known.
Progress = Callable[[float, float | None], None]

Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout: one object, or one a line.")]
ModelName = Annotated[
    str, typer.Option("--model", "-m", help="A bundle's name, a folder, or a hub id.", envvar="LLAMA_VID_MODEL_NAME")
]
Device = Annotated[
    str, typer.Option("--device", help="auto, cpu or cuda.", envvar="LLAMA_VID_MODEL_DEVICE", show_default=True)
]


def plain(value: Any) -> Any:
    """A value as JSON knows it: dataclasses as objects, numbers rounded to a ten-thousandth."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 4)
    return value


def write_json(value: Any) -> None:
    """One JSON object on a line of its own, at once."""
    sys.stdout.write(json.dumps(plain(value)) + "\n")
    sys.stdout.flush()


def clock(seconds: float) -> str:
    """Seconds as people write times: 0:07, 12:05, 1:02:33."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def span(start: float, end: float) -> str:
    """A span as `0:07–0:12`, or one time where both fall into one second."""
    return clock(start) if int(start) == int(end) else f"{clock(start)}–{clock(end)}"


@contextmanager
def watching(what: str) -> Iterator[Progress]:
    """A progress bar over the seconds of a video, on stderr, where that is a terminal; otherwise silent."""
    if not sys.stderr.isatty():
        yield lambda _done, _duration: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[at]}"), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None, at="")

        def update(done: float, duration: float | None) -> None:
            at = clock(done) if duration is None else f"{clock(done)} of {clock(duration)}"
            bar.update(task, completed=done, total=duration, at=at)

        yield update


@contextmanager
def busy(what: str) -> Iterator[None]:
    """A spinner on stderr, where that is a terminal, while something of unknown length runs."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield
