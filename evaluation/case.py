"""One question put to one system: what the report breaks down and, where it went wrong, shows with its frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Case:
    """A question about `clip`, what was `wanted`, what `system` `said`, and whether that is `right`.

    `kind` groups cases (the kind of clip: film, people, sport, …; or what was asked for), `seconds` are the times in
    the clip whose frames are worth looking at (none: its middle).
    """

    kind: str
    clip: Path
    question: str
    wanted: str
    said: str
    right: bool
    seconds: tuple[float, ...] = ()
    system: str = "llama-vid"

    def to_json(self) -> dict[str, Any]:
        """The case as JSON; `clip` as a string, `seconds` as a list."""
        return {
            "kind": self.kind,
            "clip": str(self.clip),
            "question": self.question,
            "wanted": self.wanted,
            "said": self.said,
            "right": self.right,
            "seconds": list(self.seconds),
            "system": self.system,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Case:
        """The case that `to_json` wrote. Raises KeyError or TypeError for anything else."""
        return cls(**{**value, "clip": Path(value["clip"]), "seconds": tuple(value["seconds"])})


def by_kind(cases: Iterable[Case], system: str = "llama-vid") -> dict[str, float]:
    """The share of one system's cases that are right, for each kind in alphabetical order."""
    groups: dict[str, list[bool]] = defaultdict(list)
    for case in cases:
        if case.system == system:
            groups[case.kind].append(case.right)
    return {kind: sum(right) / len(right) for kind, right in sorted(groups.items())}
