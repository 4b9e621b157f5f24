"""What every evaluation and benchmark hands back, and how it is shown."""

from __future__ import annotations

from typing import Any, Protocol

from rich.console import Console
from rich.table import Table

from evaluation.columns import GROUPS, figures_of, groups_of, systems_of


class Result(Protocol):
    """A finished measurement: a frozen dataclass that knows its JSON form.

    `to_json()` has `name`, `n` (how many were measured), the measurement's own figures, and `baselines` or `floor`:
    what was measured beside it in the same run.
    """

    def to_json(self) -> dict[str, Any]: ...


def text_of(value: object) -> str:
    """A figure as people read it; None is a dash."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


def rows_of(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures as (name, text), nested ones named with a slash: `baselines/blind/accuracy`."""
    rows: list[tuple[str, str]] = []
    for key, value in result.items():
        if isinstance(value, dict):
            rows += [(f"{key}/{inner}", text) for inner, text in rows_of(value)]
        else:
            rows.append((key, text_of(value)))
    return rows


def print_table(result: Result, console: Console | None = None) -> None:
    """The result as a table on stdout."""
    figures = result.to_json()
    table = Table(title=str(figures.pop("name")), title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, text in rows_of(figures):
        table.add_row(name, text)
    (console or Console()).print(table)


def print_columns(result: Result, console: Console | None = None, *, bundle: str = "") -> None:
    """An evaluation's result on stdout: its figures with a column for each system, then the breakdown by kind.

    `bundle` is the fingerprint of the bundle that was measured.
    """
    out = console or Console()
    found = result.to_json()
    systems = systems_of(found)
    figures = {name: figures_of(each) for name, each in systems.items()}
    title = " ".join(filter(None, (str(found["name"]), f"(route {found['route']})" if "route" in found else "")))
    title += f", n = {found['n']}" + (f", bundle {bundle}" if bundle else "")
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    for name in systems:
        table.add_column(name, justify="right")
    for key in dict.fromkeys(key for each in figures.values() for key in each):
        if key != "n":
            table.add_row(key, *(text_of(each.get(key)) for each in figures.values()))
    out.print(table)
    for name, each in systems.items():
        if "missing" in each:
            out.print(f"{name}: {each['missing']}")
    for group in GROUPS:
        kinds = groups_of(found, group)
        if kinds:
            names = list(next(iter(kinds.values())))
            breakdown = Table(title=group.replace("_", " "), title_justify="left")
            breakdown.add_column("")
            for name in names:
                breakdown.add_column(name, justify="right")
            for kind, values in kinds.items():
                breakdown.add_row(kind, *(text_of(values.get(name)) for name in names))
            out.print(breakdown)
