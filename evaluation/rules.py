"""Alert rules over recordings: `rules.jsonl`, the probability of a rule in each second, and when it fires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evaluation.clips import Clip, read_lines
from evaluation.model import Scores
from llama_vid.errors import ConfigError
from llama_vid.llm.rules.rule import Rule as EngineRule
from llama_vid.llm.rules.watcher import AUTO
from llama_vid.memory.entry import MemoryEntry
from llama_vid.rule_tuning import events_at

#: The clips are seconds long, the shortest with a true rule two: rules fire after two, and at once again.
HOLD, COOLDOWN = 2.0, 0.0
#: The probability from which a second counts as showing what a rule watches for: even odds, as calibrated.
THRESHOLD: Final = AUTO


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule in plain words, with the clips (file names) in which it is true and those where nobody can say."""

    name: str
    when: str
    true_in: frozenset[str]
    uncertain_in: frozenset[str]

    def truth(self, clip: Clip) -> bool | None:
        """Whether the rule is true in a clip; None where that is uncertain."""
        name = clip.path.name
        return None if name in self.uncertain_in else name in self.true_in

    @property
    def engine(self) -> EngineRule:
        """As the rule engine takes it, for clips that last seconds."""
        return EngineRule(self.name, self.when, hold=HOLD, cooldown=COOLDOWN)


def read_rules(folder: Path) -> list[Rule]:
    """The rules of `rules.jsonl`. Raises ConfigError that names the line."""
    source = folder / "rules.jsonl"
    rules = []
    for number, row in enumerate(read_lines(source), 1):
        try:
            rule = Rule(
                str(row["name"]),
                str(row["when"]),
                frozenset(map(str, row["true_in"])),
                frozenset(map(str, row["uncertain_in"])),
            )
        except (KeyError, TypeError) as problem:
            raise ConfigError(f"{source}:{number}: needs name, when, true_in and uncertain_in ({problem})") from None
        rules.append(rule)
    if not rules:
        raise ConfigError(f"{source} has no rules")
    return rules


def by_second(scorer: Scores, entries: Sequence[MemoryEntry], text: str) -> list[float]:
    """p(a rule's text) in each second of a film, in 0…1; a second without a frame has what the one before had."""
    if not entries:
        return []
    found: list[float] = []
    for entry, z in zip(entries, scorer.scores(tuple(entries), text).tolist(), strict=True):
        until = max(len(found) + 1, round(entry.end))
        found += [scorer.sure(float(z))] * (until - len(found))
    return found


def fired(rule: Rule, probabilities: Sequence[float], threshold: float = THRESHOLD) -> list[tuple[float, float]]:
    """The alerts [start, end) that a rule raises over a film, by its seconds, as the rule engine debounces them."""
    seconds = [(float(at), at + 1.0, probability) for at, probability in enumerate(probabilities)]
    return events_at(rule.engine, seconds, threshold)


def level(rule: Rule, probabilities: Sequence[float]) -> float:
    """The highest threshold at which a rule fires over a film; 0 where it does at none."""
    tried = sorted({p for p in probabilities if p > 0}, reverse=True)
    return next((threshold for threshold in tried if fired(rule, probabilities, threshold)), 0.0)
