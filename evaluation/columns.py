"""A result's figures side by side: ours, `full`, the last frame only, the blind language model, then other baselines.

Works on what `to_json()` gives, so that a report can be made again from the files of an earlier run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from evaluation.tasks import COLUMNS, NAMES, OURS, Headline

#: Parts of a result that are no figures of one system.
ASIDE: Final = frozenset({"name", "route", "system", "baselines", "samples", "by_kind", "missing", "bundle"})
#: Figures of groups, shown in tables of their own.
GROUPS: Final = ("by_kind", "concepts")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: a task's headline figure in each column, None where it was not measured.

    `why` says why a column is empty, where the result says so; `met` whether ours reaches the target.
    """

    task: str
    route: str
    n: int
    label: str
    values: dict[str, float | None]
    why: dict[str, str]
    target: float | None
    lower: bool
    met: bool | None


def systems_of(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each system's figures: the measured one's first, then the four columns in their order, then the rest."""
    baselines: dict[str, dict[str, Any]] = result.get("baselines") or {}
    first = str(result.get("system") or OURS)
    order = [name for name in COLUMNS if name in baselines] + [name for name in baselines if name not in COLUMNS]
    return {first: result} | {name: baselines[name] for name in order}


def figures_of(figures: dict[str, Any], prefix: str = "") -> dict[str, float | int]:
    """The numbers of one system, nested ones named with a slash; without breakdowns."""
    found: dict[str, float | int] = {}
    for key, value in figures.items():
        if (not prefix and key in ASIDE) or key in GROUPS:
            continue
        if isinstance(value, dict):
            found |= figures_of(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[f"{prefix}{key}"] = value
    return found


def groups_of(result: dict[str, Any], group: str) -> dict[str, dict[str, float | None]]:
    """A breakdown: for each kind (or concept) the four columns' figures, where there are any."""
    columns = {name: figures.get(group) for name, figures in systems_of(result).items() if name in COLUMNS}
    kinds = sorted({kind for each in columns.values() if isinstance(each, dict) for kind in each})
    return {kind: {name: each.get(kind) for name, each in columns.items() if isinstance(each, dict)} for kind in kinds}


def rows_of_task(result: dict[str, Any]) -> list[Row]:
    """A result's rows of the table: one for each headline figure of its task and route."""
    name, route = str(result["name"]), str(result.get("route", "all"))
    systems = systems_of(result)
    rows = []
    for headline in headlines_of(name, route):
        values = {column: headline.of(systems[column]) if column in systems else None for column in COLUMNS}
        why = {column: str(each["missing"]) for column, each in systems.items() if "missing" in each}
        ours = values.get(OURS)
        met = headline.met(ours)
        rows.append(
            Row(name, route, int(result["n"]), headline.label, values, why, headline.target, headline.lower, met)
        )
    return rows


def headlines_of(name: str, route: str) -> list[Headline]:
    """The figures of a task that stand in the table."""
    task = NAMES.get(name)
    return [headline for headline in task.headlines if headline.route == route] if task else []


def markdown(rows: Iterable[Row], header: str = "") -> str:
    """The table as Markdown: task, n, figure, the four columns, and the target with whether ours reaches it."""
    rows = list(rows)
    lines = [header, ""] if header else []
    lines += [
        f"| task | n | figure | ours (2 tokens) | {' | '.join(COLUMNS[1:])} | target |",
        f"|---|--:|---|{'--:|' * len(COLUMNS)}---|",
    ]
    for row in rows:
        cells = [shown(row.values.get(name)) for name in COLUMNS]
        lines.append(
            f"| {row.task}{' (tokens)' if row.route == 'tokens' else ''} | {row.n:,} | {row.label} | "
            f"**{cells[0]}** | {' | '.join(cells[1:])} | {goal(row)} |"
        )
    return "\n".join([*lines, "", *(f"- {reason}" for reason in reasons_of(rows))]).rstrip() + "\n"


def reasons_of(rows: Iterable[Row]) -> list[str]:
    """Why columns are empty, each reason once with the tasks that it holds for."""
    tasks: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for column, reason in row.why.items():
            tasks.setdefault((column, reason), []).append(row.task)
    return [
        f"no figure of {column} in {', '.join(dict.fromkeys(names))}: {reason}"
        for (column, reason), names in tasks.items()
    ]


def goal(row: Row) -> str:
    """A row's target and whether it is reached, in words."""
    if row.target is None:
        return ""
    mark = {True: " ✓", False: " ✗", None: ""}[row.met]
    return f"{'≤' if row.lower else '≥'} {row.target:.2f}{mark}"


def shown(value: float | None) -> str:
    """A figure as people read it; None is a dash."""
    return "–" if value is None else f"{value:.3f}"
