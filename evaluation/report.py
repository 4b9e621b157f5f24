"""What every evaluation and benchmark hands back, and how it is shown."""

from __future__ import annotations

from typing import Any, Protocol

from rich.console import Console
from rich.table import Table


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
