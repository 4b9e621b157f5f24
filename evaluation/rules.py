"""Alert rules over recordings: `rules.jsonl`, the probability of a rule in each second, and when it fires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evaluation.clips import Clip, read_lines
from evaluation.model import Scores
from llama_vid.errors import ConfigError
from llama_vid.memory.entry import MemoryEntry

#: A rule fires when NEEDED of the last WINDOW seconds show it: one odd frame raises no alarm.
NEEDED, WINDOW = 2, 3
#: The probability from which a second counts as showing what a rule watches for: even odds, as calibrated.
THRESHOLD: Final = 0.5


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


def level(probabilities: Sequence[float], needed: int = NEEDED, window: int = WINDOW) -> float:
    """The highest threshold at which a rule fires at some second; 0 of nothing.

    In a film shorter than `needed` seconds every second must show it.
    """
    return max(debounced(probabilities, needed, window), default=0.0)


def debounced(probabilities: Sequence[float], needed: int = NEEDED, window: int = WINDOW) -> list[float]:
    """For each second the highest threshold that `needed` of the last `window` seconds reach (all of them, before there
    are so many).
    """
    found = []
    for at in range(len(probabilities)):
        recent = sorted(probabilities[max(0, at + 1 - window) : at + 1], reverse=True)
        if len(recent) >= needed:
            found.append(recent[needed - 1])
        else:
            found.append(recent[-1] if len(probabilities) < needed else 0.0)
    return found


def fired(probabilities: Sequence[float], threshold: float = THRESHOLD) -> list[tuple[int, int]]:
    """The alerts that a rule raises: seconds [start, end) in which it holds, debounced."""
    alerts: list[tuple[int, int]] = []
    for second, value in enumerate(debounced(probabilities)):
        if value < threshold:
            continue
        if alerts and alerts[-1][1] == second:
            alerts[-1] = (alerts[-1][0], second + 1)
        else:
            alerts.append((second, second + 1))
    return alerts
