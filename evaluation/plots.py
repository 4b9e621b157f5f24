"""The report's pictures: a bar for each task and column, the breakdown by kind of clip, and yes/no by concept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evaluation.columns import Row, groups_of, rows_of_task
from evaluation.tasks import COLUMNS, OURS

#: One colour for each column, apart also for those who see colours otherwise (Okabe & Ito 2008), ours the strongest.
COLOURS: Final = {OURS: "#0072b2", "full": "#56b4e9", "last-frame": "#e69f00", "blind": "#b3b3b3"}
LABELS: Final = {OURS: "ours (2 tokens)", "full": "full", "last-frame": "last frame only", "blind": "blind"}
DPI: Final = 110


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture that was written, and what it shows."""

    file: str
    caption: str


def write_plots(results: Sequence[dict[str, Any]], out: Path) -> list[Plot]:
    """Write the PNGs of these results (as `to_json` gives them) into a folder; those with nothing to show are left
    out.
    """
    plots = []
    rows = [row for result in results for row in rows_of_task(result)]
    if rows:
        _bars(rows, out / "tasks.png")
        plots.append(Plot("tasks.png", "Every task's figures in four columns; a line marks the target."))
    kinds = [(result, groups_of(result, "by_kind")) for result in results]
    for result, groups in kinds:
        if len(groups) > 1:
            name, route = str(result["name"]), str(result.get("route", "all"))
            file = f"kinds-{name}-{route}.png"
            _grouped(groups, out / file, f"{name}{' (tokens)' if route == 'tokens' else ''} by kind")
            plots.append(Plot(file, f"{name}{', route tokens' if route == 'tokens' else ''}: share right by kind."))
    for result in results:
        concepts = groups_of(result, "concepts")
        if result["name"] == "yesno" and result.get("route") == "all" and concepts:
            _concepts(concepts, out / "concepts.png")
            plots.append(Plot("concepts.png", "yesno by concept: ours against the blind language model."))
    return plots


def _bars(rows: Sequence[Row], path: Path) -> None:
    """A horizontal bar for each row and column."""
    figure, axes = _figure(10, 1.0 + 0.46 * len(rows))
    for number, row in enumerate(rows):
        there = [column for column in COLUMNS if row.values.get(column) is not None]
        thick = 0.84 / max(2, len(there))
        for at, column in enumerate(there):
            value = row.values[column] or 0.0
            y = number + (at - (len(there) - 1) / 2) * thick
            axes.barh(y, value, thick * 0.92, color=COLOURS[column], zorder=2)
            axes.text(max(value, 0) + 0.006, y, f"{value:.2f}", va="center", fontsize=6, color="#444444")
        if row.target is not None:
            axes.plot([row.target] * 2, [number - 0.44, number + 0.44], color="#111111", linewidth=1.6, zorder=3)
    names = [f"{row.task}{' (tokens)' if row.route == 'tokens' else ''}: {row.label}" for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, max(1.0, 1.08 * max(value for row in rows for value in row.values.values() if value is not None)))
    _finish(figure, axes, path, grid="x", targets=True)


def _grouped(groups: dict[str, dict[str, float | None]], path: Path, title: str) -> None:
    """Vertical bars: a group for each kind, a bar for each column."""
    columns = [name for name in COLUMNS if any(each.get(name) is not None for each in groups.values())]
    figure, axes = _figure(max(6.0, 1.0 + 0.85 * len(groups)), 3.4)
    wide = 0.82 / max(1, len(columns))
    for number, values in enumerate(groups.values()):
        for at, column in enumerate(columns):
            value = values.get(column)
            if value is not None:
                x = number + (at - (len(columns) - 1) / 2) * wide
                axes.bar(x, value, wide * 0.92, color=COLOURS[column], zorder=2)
    axes.set_xticks(range(len(groups)), groups.keys(), fontsize=8, rotation=20 if len(groups) > 6 else 0)
    axes.set_ylim(0, 1.0)
    axes.set_title(title, fontsize=10, loc="left")
    _finish(figure, axes, path, grid="y", columns=columns)


def _concepts(groups: dict[str, dict[str, float | None]], path: Path) -> None:
    """Concepts from worst to best: ours, joined with blind by a line."""
    ranked = sorted(groups.items(), key=lambda item: (item[1].get(OURS) or 0.0, item[0]))
    figure, axes = _figure(8, 1.0 + 0.19 * len(ranked))
    for number, (_, values) in enumerate(ranked):
        ours, blind = values.get(OURS), values.get("blind")
        if ours is None:
            continue
        if blind is not None:
            axes.plot([blind, ours], [number, number], color="#cccccc", linewidth=1.4, zorder=1)
            axes.plot(blind, number, "o", color=COLOURS["blind"], markersize=4, zorder=2)
        axes.plot(ours, number, "o", color=COLOURS[OURS], markersize=5.5, zorder=3)
    axes.set_yticks(range(len(ranked)), [name for name, _ in ranked], fontsize=7)
    axes.set_ylim(-0.8, len(ranked) - 0.2)
    axes.set_xlim(-0.02, 1.02)
    axes.set_title("yesno: share right by concept", fontsize=10, loc="left")
    _finish(figure, axes, path, grid="x", columns=[OURS, "blind"])


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _finish(
    figure: Any, axes: Any, path: Path, *, grid: str, columns: Sequence[str] = COLUMNS, targets: bool = False
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks: list[Any] = [Patch(color=COLOURS[name], label=LABELS[name]) for name in columns]
    if targets:
        marks.append(Line2D([], [], color="#111111", linewidth=1.6, label="target"))
    figure.legend(handles=marks, loc="outside upper right", ncols=len(marks), fontsize=8, frameon=False)
    axes.grid(axis=grid, color="#e5e5e5", linewidth=0.8, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    figure.savefig(path, format="png", dpi=DPI)
