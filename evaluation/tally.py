"""Results over films with exact truth: each system's shares of right answers, by kind and in all, and every case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from evaluation.case import Case, by_kind
from evaluation.model import Missing
from evaluation.scores import accuracy

SYSTEMS: Final = ("llama-vid", "full", "last-frame", "blind")
#: On the token route: the system with a token of each pair taken away.
ABLATIONS: Final = {"no-motion": "motion", "no-context": "context"}


@dataclass(frozen=True, slots=True)
class Shares:
    """One system's shares of right answers: by figure (a name for some kinds together) and by kind."""

    figures: dict[str, float | None]
    kinds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return {**self.figures, "by_kind": self.kinds}


@dataclass(frozen=True, slots=True)
class Tally:
    """An evaluation's result: the system's shares, the baselines' in the same run, and every case."""

    name: str
    n: int
    films: int
    route: str
    system: str
    figures: Shares | Missing
    baselines: dict[str, Shares | Missing] = field(default_factory=dict)
    cases: tuple[Case, ...] = ()

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = {"name": self.name, "n": self.n, "films": self.films, "route": self.route}
        result |= {"system": self.system} | self.figures.to_json()
        result["baselines"] = {name: shares.to_json() for name, shares in self.baselines.items()}
        return result


def systems_of(system: str, route: str) -> tuple[str, ...]:
    """The systems of a run: the one that was asked for, or all."""
    if system:
        return (system,)
    return (*SYSTEMS, *ABLATIONS) if route == "tokens" else SYSTEMS


def shares(cases: Sequence[Case], system: str, figures: Mapping[str, Sequence[str]]) -> Shares:
    """One system's shares; `figures` names those of some kinds together, beside `accuracy` over all."""
    own = [case for case in cases if case.system == system]
    found: dict[str, float | None] = {"accuracy": accuracy([case.right for case in own])}
    found |= {name: accuracy([case.right for case in own if case.kind in kinds]) for name, kinds in figures.items()}
    return Shares(found, by_kind(own, system))
