"""`eval alerts`: rules in plain words over clips with complete labels. Which clips raise an alert, and which should?

Each rule's `when` is scored in every second of every clip by the program's own image-text score, and debounced as the
rule engine does it (`evaluation/rules.py`). A clip counts once for each rule: an alert is right in a clip where the
rule is true. Clips where nobody can say are left out. The last frame alone is judged by the same score, without
debouncing. Beside that stand the events that the rule engine itself raises (`evaluation/alert_events.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from evaluation.alert_events import EventFigures, measure_events
from evaluation.case import Case
from evaluation.clips import Clip, read_clips
from evaluation.model import Missing, VideoModel
from evaluation.rules import THRESHOLD, Rule, by_second, fired, level, read_rules
from evaluation.scores import average_precision, spread
from llama_vid.bundle import Bundle
from llama_vid.errors import SourceError
from llama_vid.llm.evidence import Finder

logger = logging.getLogger(__name__)

SYSTEMS: Final = ("llama-vid", "last-frame")
NO_TOKENS: Final = Missing("alerts use the image-text score of frames, no language model")
NO_EVENTS: Final = Missing("the rule engine was not run: it needs the whole model, and is for the system llama-vid")


@dataclass(frozen=True, slots=True)
class Watched:
    """One rule over one clip: whether it is true there, the level up to which it fires, and its alerts in seconds."""

    rule: Rule
    clip: Clip
    truth: bool
    level: float
    alerts: tuple[tuple[float, float], ...]
    seconds: int


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """Precision, recall and F1 at the threshold, average precision over the clips, and false alerts an hour."""

    precision: float | None
    recall: float | None
    f1: float | None
    average_precision: float | None
    false_an_hour: float | None
    true_clips: int

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class AlertFigures:
    """One system's figures over all rules: `f1`, `map` and so on are means over the rules."""

    rules: dict[str, RuleFigures]

    def mean(self, figure: str) -> float | None:
        """A figure's mean over the rules that have it."""
        values = [getattr(rule, figure) for rule in self.rules.values()]
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    def to_json(self) -> dict[str, Any]:
        return {
            "f1": self.mean("f1"),
            "map": self.mean("average_precision"),
            "precision": self.mean("precision"),
            "recall": self.mean("recall"),
            "false_an_hour": self.mean("false_an_hour"),
            "by_kind": {name: rule.f1 for name, rule in self.rules.items()},
            "rules": {name: rule.to_json() for name, rule in self.rules.items()},
        }


@dataclass(frozen=True, slots=True)
class AlertsResult:
    """The system's figures, the baselines' in the same run, every clip that a rule was tried on, and the engine's
    events."""

    n: int
    clips: int
    system: str
    figures: AlertFigures
    baselines: dict[str, AlertFigures | Missing] = field(default_factory=dict)
    cases: tuple[Case, ...] = ()
    events: EventFigures | Missing = NO_EVENTS

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = {"name": "alerts", "n": self.n, "clips": self.clips, "system": self.system}
        result |= {"threshold": THRESHOLD} | self.figures.to_json()
        result["events"] = self.events.to_json()
        result["baselines"] = {name: figures.to_json() for name, figures in self.baselines.items()}
        return result


def watch(
    model: VideoModel, rules: Sequence[Rule], clips: Sequence[Clip], system: str, tick: Callable[[], None]
) -> list[Watched]:
    """Every rule over every clip in which its truth is known; clips that cannot be read raise nothing, and say so."""
    found = []
    for clip in clips:
        try:
            entries = model.open(str(clip.path), last_frame_only=system == "last-frame").entries
        except SourceError as problem:
            logger.warning("%s: %s", clip.path.name, problem)
            entries = ()
        for rule in rules:
            truth = rule.truth(clip)
            if truth is None:
                continue
            shown = by_second(model.responder.find, entries, rule.when)
            if system == "last-frame":
                top = max(shown[-1:], default=0.0)
                found.append(Watched(rule, clip, truth, top, ((0.0, 1.0),) if top >= THRESHOLD else (), 1))
            else:
                alerts = tuple(fired(rule, shown))
                found.append(Watched(rule, clip, truth, level(rule, shown), alerts, max(1, len(shown))))
        tick()
    return found


def measure(watched: Sequence[Watched]) -> AlertFigures:
    """The figures of every rule."""
    names = list(dict.fromkeys(each.rule.name for each in watched))
    return AlertFigures({name: _rule([each for each in watched if each.rule.name == name]) for name in names})


def _rule(watched: Sequence[Watched]) -> RuleFigures:
    right = sum(each.truth and bool(each.alerts) for each in watched)
    raised = sum(bool(each.alerts) for each in watched)
    true = sum(each.truth for each in watched)
    precision = right / raised if raised else None
    recall = right / true if true else None
    hours = sum(each.seconds for each in watched if not each.truth) / 3600
    false = sum(len(each.alerts) for each in watched if not each.truth)
    return RuleFigures(
        precision,
        recall,
        2 * right / (raised + true) if raised + true else None,
        average_precision([each.level for each in watched], [each.truth for each in watched]),
        false / hours if hours else None,
        true,
    )


def cases_of(watched: Sequence[Watched], system: str) -> tuple[Case, ...]:
    """Each rule and clip as a case; the kind is the rule's name, the frames those of its alerts."""
    return tuple(
        Case(
            each.rule.name,
            each.clip.path,
            f"Alert: {each.rule.when}",
            "an alert" if each.truth else "no alert",
            f"{_times(each.alerts)} (highest level {each.level:.2f})",
            each.truth == bool(each.alerts),
            tuple(start for start, _ in each.alerts[:3]) or each.clip.moments,
            system,
        )
        for each in watched
    )


def _times(alerts: Sequence[tuple[float, float]]) -> str:
    return "alert at " + ", ".join(f"{start:.0f}–{end:.0f} s" for start, end in alerts) if alerts else "no alert"


def evaluate_alerts(
    model: VideoModel,
    folder: Path,
    *,
    system: str = "",
    limit: int | None = None,
    tick: Callable[[], None] = lambda: None,
) -> AlertsResult:
    """Run the rules of a folder over its clips; `limit` takes fewer clips."""
    rules, clips = read_rules(folder), spread(read_clips(folder), limit)
    chosen = system or SYSTEMS[0]
    watched = watch(model, rules, clips, chosen, tick)
    cases, baselines = cases_of(watched, chosen), dict[str, AlertFigures | Missing]()
    if not system:
        last = watch(model, rules, clips, "last-frame", tick)
        baselines = {"full": NO_TOKENS, "last-frame": measure(last), "blind": NO_TOKENS}
        cases += cases_of(last, "last-frame")
    events: EventFigures | Missing = NO_EVENTS
    bundle: object = getattr(model, "bundle", None)
    if chosen == SYSTEMS[0] and isinstance(bundle, Bundle) and isinstance(model.responder.find, Finder):
        events = measure_events(bundle, model.responder.find, rules, clips, tick)
    return AlertsResult(len(watched), len(clips), chosen, measure(watched), baselines, cases, events)
