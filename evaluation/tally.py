"""Results in columns: each system's figures in one run, ours first, and every case that they count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from evaluation.case import Case, by_kind
from evaluation.model import Missing
from evaluation.scores import accuracy
from evaluation.tasks import ABLATIONS, COLUMNS


class Figures(Protocol):
    """One system's figures."""

    def to_json(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Shares:
    """One system's shares of right answers: by figure (a name for some kinds together) and by kind."""

    figures: dict[str, float | None]
    kinds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return {**self.figures, "by_kind": self.kinds}


@dataclass(frozen=True, slots=True)
class Tally:
    """An evaluation's result: the system's figures, the baselines' in the same run, and every case.

    `n` counts what was asked, `over` what it was asked of ("clips": 61).
    """

    name: str
    n: int
    over: Mapping[str, int]
    route: str
    system: str
    figures: Figures | Missing
    baselines: Mapping[str, Figures | Missing] = field(default_factory=dict)
    cases: tuple[Case, ...] = ()

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = {"name": self.name, "n": self.n, **self.over, "route": self.route}
        result |= {"system": self.system} | dict(self.figures.to_json())
        result.setdefault("by_kind", by_kind(self.cases, self.system))
        result["baselines"] = {name: figures.to_json() for name, figures in self.baselines.items()}
        return result


def systems_of(system: str, route: str = "all") -> tuple[str, ...]:
    """The systems of a run, what is measured first: the one that was asked for, or all columns."""
    if system:
        return (system,)
    return (*COLUMNS, *ABLATIONS) if route == "tokens" else COLUMNS


def side_by_side(
    name: str,
    n: int,
    over: Mapping[str, int],
    route: str,
    systems: Sequence[str],
    measured: Callable[[str], tuple[Figures, Sequence[Case]] | Missing],
) -> Tally:
    """The result of one system after the other, as `measured` gives each one's figures and cases."""
    figures: dict[str, Figures | Missing] = {}
    cases: list[Case] = []
    for system in systems:
        found = measured(system)
        if isinstance(found, Missing):
            figures[system] = found
        else:
            figures[system] = found[0]
            cases += found[1]
    first = figures.pop(systems[0])
    return Tally(name, n, over, route, systems[0], first, figures, tuple(cases))


def shares(cases: Sequence[Case], system: str, figures: Mapping[str, Sequence[str]]) -> Shares:
    """One system's shares; `figures` names those of some kinds together, beside `accuracy` over all."""
    own = [case for case in cases if case.system == system]
    found: dict[str, float | None] = {"accuracy": accuracy([case.right for case in own])}
    found |= {name: accuracy([case.right for case in own if case.kind in kinds]) for name, kinds in figures.items()}
    return Shares(found, by_kind(own, system))
