"""Cold start: from pressing return to the answer about a 10-second clip, imports and model loading included.

    llama-vid bench cold_start          (or: python -m benchmarks.cold_start)

The floor beside it is what importing torch alone takes, measured in the same run, turn about.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.program import ask, run_python
from benchmarks.samples import sample_film

RUNS = 5
LIMIT_S = 120.0
GOAL_S = 8.0
QUESTION = "What is in the video?"


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Wall times in seconds: of each `ask`, of the uncounted first one (cold disk, first conversion), of the floor."""

    asked_s: tuple[float, ...]
    first_s: float
    import_torch_s: tuple[float, ...]
    answer: str

    def to_json(self) -> dict[str, Any]:
        return {
            "name": "cold_start",
            "n": len(self.asked_s),
            "median_s": median(self.asked_s),
            "fastest_s": min(self.asked_s),
            "slowest_s": max(self.asked_s),
            "first_s": self.first_s,
            "goal_s": GOAL_S,
            "floor": {"import_torch_s": median(self.import_torch_s)},
            "answer": self.answer,
        }


def measure(runs: int | None = None) -> ColdStart:
    """Ask in `runs` fresh processes (5 by default) after one that is not counted."""
    film = str(sample_film())
    first = ask(film, QUESTION, limit_s=LIMIT_S)
    asked, floor = [], []
    for _ in range(runs or RUNS):
        asked.append(ask(film, QUESTION, limit_s=LIMIT_S).wall_s)
        floor.append(run_python(["-c", "import torch"], limit_s=LIMIT_S).wall_s)
    return ColdStart(tuple(asked), first.wall_s, tuple(floor), str(first.json()["answer"]))


if __name__ == "__main__":
    from evaluation.report import print_table

    print_table(measure())
