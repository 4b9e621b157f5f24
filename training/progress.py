"""How a run is followed: lines of JSON in a log file, a bar or lines on stderr, and a plot of the loss."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import Progress

Report = Callable[[Mapping[str, float]], None]


def print_line(entry: Mapping[str, float]) -> None:
    """Report one line of JSON on stdout."""
    print(json.dumps(dict(entry)), flush=True)


class RunLog:
    """A run's reports: appended to the JSONL file `path`; shown as a bar on a terminal, else as lines on stderr.

    `total` is how much of the key `along` ("seconds", say) the whole run takes.
    """

    def __init__(self, path: Path, title: str, *, along: str, total: float) -> None:
        self._path, self._title, self._along, self._total = path, title, along, total
        self._bar = Progress(console=Console(stderr=True), disable=not sys.stderr.isatty())

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._bar.start()
        self._task = self._bar.add_task(self._title, total=self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, entry: Mapping[str, float]) -> None:
        line = json.dumps(dict(entry))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        if self._bar.disable:
            print(f"{self._title}: {line}", file=sys.stderr, flush=True)
        elif self._along in entry:
            loss = f" · loss {entry['loss']}" if "loss" in entry else ""
            self._bar.update(self._task, completed=entry[self._along], description=self._title + loss)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The entries of a JSONL file, an unfinished last line left out."""
    entries = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


def plot_loss(curves: Mapping[str, Sequence[tuple[float, float]]], out: Path, *, title: str, along: str) -> Path:
    """A PNG with one curve a name, each a list of (place, loss); returns its path."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        if points:
            axes.plot(*zip(*points, strict=True), label=name)
    axes.set(title=title, xlabel=along, ylabel="loss")
    axes.grid(alpha=0.3)
    if any(curves.values()):
        axes.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    return out
