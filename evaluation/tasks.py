"""The evaluations by name: where each one's data lies, what can be measured, and the figures that the table shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

OURS: Final = "llama-vid"
#: The four columns of every table, ours first.
COLUMNS: Final = (OURS, "full", "last-frame", "blind")
#: On the token route: ours with one of the two tokens taken away, and which.
ABLATIONS: Final = {"no-motion": "motion", "no-context": "context"}
ROUTES: Final = ("all", "tokens")
#: Routes of tasks that have only one.
ONE: Final = ("all",)


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure that stands in the table: its `key` in the result (nested ones with a slash), what it is called, and
    the target, which is the most allowed where `lower` is better.
    """

    key: str
    label: str
    target: float | None = None
    route: str = "all"
    lower: bool = False

    def of(self, figures: dict[str, Any]) -> float | None:
        """The figure in a result or a baseline's part of one; None where it is not there."""
        value: Any = figures
        for part in self.key.split("/"):
            value = value.get(part) if isinstance(value, dict) else None
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def met(self, value: float | None) -> bool | None:
        """Whether a value reaches the target; None where there is nothing to compare."""
        if value is None or self.target is None:
            return None
        return value <= self.target if self.lower else value >= self.target


@dataclass(frozen=True, slots=True)
class Task:
    """One evaluation: the data's folder `below` the data folder, what it asks, systems, routes, and its headlines."""

    below: str
    asks: str
    systems: tuple[str, ...]
    headlines: tuple[Headline, ...]
    routes: tuple[str, ...] = ONE


NAMES: Final[dict[str, Task]] = {
    "yesno": Task(
        "clips",
        "Is it in the video? Yes or no.",
        (*COLUMNS, *ABLATIONS),
        (
            Headline("accuracy", "accuracy", 0.83),
            Headline("over_blind", "above blind", 0.28),
            Headline("accuracy", "accuracy", 0.78, route="tokens"),
        ),
        ROUTES,
    ),
    "open": Task(
        "clips",
        "What, who, which, where: free answers, judged by key words and by meaning.",
        COLUMNS,
        (Headline("accuracy", "right", 0.50), Headline("accuracy", "right", None, route="tokens")),
        ROUTES,
    ),
    "absent": Task(
        "clips",
        "Questions that presuppose what is not there: denied, and only those?",
        COLUMNS,
        (Headline("denied", "denied", 0.80), Headline("false_denials", "denied falsely", 0.10, lower=True)),
    ),
    "sofar": Task(
        "clips",
        "Ten clips joined: what has happened so far, and when?",
        COLUMNS,
        (Headline("scenes_named", "scenes named in time", 0.60), Headline("invented", "invented", 0.10, lower=True)),
    ),
    "moments": Task(
        "clips",
        "Find the moment that a sentence tells of, in all clips joined.",
        (OURS, "last-frame"),
        (Headline("r@1", "R@1", 0.60), Headline("r@5", "R@5", 0.88)),
    ),
    "long": Task(
        "clips",
        "A clip's questions, asked with the clip somewhere in an hour of film.",
        (OURS, "last-frame", "blind"),
        (Headline("accuracy", "yes/no right"), Headline("lost", "lost against the clip alone", 0.05, lower=True)),
    ),
    "time": Task(
        "flickr8k",
        "When, in which order, how long: films drawn from photos, with exact truth.",
        (*COLUMNS, *ABLATIONS),
        (
            Headline("within_2s", "time within 2 s", 0.80),
            Headline("order", "order"),
            Headline("how_long", "how long"),
            Headline("within_2s", "time within 2 s", None, route="tokens"),
        ),
        ROUTES,
    ),
    "change": Task(
        "flickr8k",
        "What changed, still or moving, camera or object: films with exact truth.",
        (*COLUMNS, *ABLATIONS),
        (Headline("accuracy", "right"), Headline("accuracy", "right", None, route="tokens")),
        ROUTES,
    ),
    "alerts": Task(
        "clips",
        "Rules in plain words: in which clips do they fire?",
        (OURS, "last-frame"),
        (
            Headline("events/precision", "event precision", 0.85),
            Headline("events/recall", "event recall", 0.85),
            Headline(
                "events/quiet_hour/engine/worst_rule", "worst rule's false events in a quiet hour", 1.0, lower=True
            ),
            Headline("f1", "F1, clip by clip"),
            Headline("map", "mean average precision"),
        ),
    ),
    "retrieval": Task(
        "flickr8k",
        "Does a sentence find its photo among 1,000?",
        (OURS,),
        (
            Headline("text_to_image/r@1", "text to image R@1", 0.28),
            Headline("text_to_image/r@10", "text to image R@10", 0.72),
            Headline("searched/r@1", "read again R@1"),
            Headline("searched/r@10", "read again R@10"),
        ),
    ),
    "captions": Task(
        "flickr8k",
        "One sentence for a photo, from its tokens alone.",
        (OURS, "full", "constant", "people", "nearest"),
        (Headline("cider", "CIDEr", 0.60),),
    ),
}


def evaluator(name: str) -> Callable[..., Any]:
    """The function `evaluate_NAME` of the module `evaluation.NAME`."""
    found: Callable[..., Any] = getattr(import_module(f"evaluation.{name}"), f"evaluate_{name}")
    return found
