"""Thresholds proposed from examples that were marked right or wrong: what would have fired at which threshold?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from llama_vid.config import load_section
from llama_vid.errors import ConfigError
from llama_vid.llm.rules.debounce import Closed, Debouncer, Limits, Opened
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.watcher import AUTO, Second
from llama_vid.settings_section import Section

#: Thresholds that are tried: between them a score decides nothing that an example could tell.
STEPS: Final = tuple(round(0.02 * step, 2) for step in range(1, 50))

Interval = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]


class Example(Section):
    """A recording and a rule: `right` says whether it should fire at all, or `intervals` (seconds) when it should."""

    video: str = Field(min_length=1)
    rule: str = Field(min_length=1)
    right: bool | None = None
    intervals: list[Interval] | None = None


class ExamplesFile(Section):
    """The file's one list."""

    examples: list[Example] = Field(min_length=1)


def read_examples(path: Path, rules: Sequence[Rule]) -> list[Example]:
    """The examples of a YAML file `examples: [{video, rule, right}, {video, rule, intervals}]`.

    A relative video counts from the file's folder. Raises ConfigError that names the line or the example.
    """
    names = {rule.name for rule in rules if rule.when}
    found = []
    for number, example in enumerate(load_section(path, ExamplesFile).examples, 1):
        where = f"{path.name}: example {number} ({example.video})"
        if example.rule not in names:
            raise ConfigError(f"{where} names a rule {example.rule!r} that looks at no pictures; there are: "
                              f"{', '.join(sorted(names)) or 'none'}")  # fmt: skip
        if (example.right is None) == (example.intervals is None):
            raise ConfigError(f"{where} needs either right: true|false or intervals: [[start, end], …]")
        if any(start >= end for start, end in example.intervals or ()):
            raise ConfigError(f"{where} has an interval that ends before it begins")
        place = example.video if "://" in example.video else str(path.absolute().parent / example.video)
        found.append(example.model_copy(update={"video": place}))
    return found


@dataclass(frozen=True, slots=True)
class Counts:
    """Wanted alerts that came, wanted ones that did not, and unwanted ones."""

    found: int
    missed: int
    false: int

    @property
    def precision(self) -> float | None:
        """The share of alerts that were wanted."""
        return self.found / (self.found + self.false) if self.found + self.false else None

    @property
    def recall(self) -> float | None:
        """The share of wanted alerts that came."""
        return self.found / (self.found + self.missed) if self.found + self.missed else None

    @property
    def f1(self) -> float:
        """Both in one."""
        total = 2 * self.found + self.missed + self.false
        return 2 * self.found / total if total else 1.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """A threshold for a rule, what it gives on the examples, and what the calibrated one (`auto`) gives."""

    rule: str
    threshold: float
    counts: Counts
    auto: Counts
    examples: int

    def to_json(self) -> dict[str, object]:
        """As `rules tune --json` prints it."""
        return {
            "rule": self.rule,
            "threshold": self.threshold,
            "precision": self.counts.precision,
            "recall": self.counts.recall,
            "auto": {"threshold": AUTO, "precision": self.auto.precision, "recall": self.auto.recall},
            "examples": self.examples,
        }


def events_at(rule: Rule, scores: Sequence[tuple[float, float, float]], threshold: float) -> list[tuple[float, float]]:
    """The events [start, end) of scores (start, end, probability) at a threshold, without a second look."""
    debouncer = Debouncer(Limits(threshold, rule.hold, rule.cooldown))
    found: list[tuple[float, float]] = []
    steps: list[Opened | Closed] = []
    for start, end, probability in scores:
        steps += debouncer.see(start, end, probability)
    if scores:
        steps += debouncer.stop(scores[-1][1])
    opened = 0.0
    for step in steps:
        if isinstance(step, Opened):
            opened = step.start
        else:
            found.append((opened, step.end))
    return found


def counted(rule: Rule, examples: Sequence[Example], scores: Mapping[str, Sequence[Second]], at: float) -> Counts:
    """What a rule would have raised on its examples at a threshold; `scores` are by video."""
    found = missed = false = 0
    for example in examples:
        rows = [(second.start, second.end, second.scores[rule.name]) for second in scores[example.video]]
        events = events_at(rule, rows, at)
        if example.intervals is None:
            found += bool(example.right and events)
            missed += bool(example.right and not events)
            false += bool(not example.right and events)
            continue
        hit = [[start < end_ and begin < end for begin, end_ in events] for start, end in example.intervals]
        found += sum(any(row) for row in hit)
        missed += sum(not any(row) for row in hit)
        false += sum(not any(row[number] for row in hit) for number in range(len(events)))
    return Counts(found, missed, false)


def propose(rule: Rule, examples: Sequence[Example], scores: Mapping[str, Sequence[Second]]) -> Proposal:
    """The threshold with the best F1 on a rule's examples; of several in a row the middle one, nearest to `auto`."""
    counts = {step: counted(rule, examples, scores, step) for step in STEPS}
    best = max(each.f1 for each in counts.values())
    runs: list[list[float]] = []
    for step in STEPS:
        if counts[step].f1 < best:
            continue
        if runs and abs(runs[-1][-1] - step) < 0.021:
            runs[-1].append(step)
        else:
            runs.append([step])
    middles = [run[len(run) // 2] for run in runs]
    threshold = min(middles, key=lambda step: abs(step - AUTO))
    return Proposal(rule.name, threshold, counts[threshold], counted(rule, examples, scores, AUTO), len(examples))
