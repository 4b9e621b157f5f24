"""Frames and scores made by hand, for tests of rules that need no model."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from llama_vid.llm.rules.rule import Rule
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.seen import Seen

NOTHING = torch.zeros(3)
PAIR = TokenPair(NOTHING, NOTHING, 0.0, held=False, cut=False)


def seen(start: float, *, step: float = 1.0, gap: bool = False) -> Seen:
    """A frame that stands for [start, start + step) seconds."""
    return Seen(start, start + step, NOTHING, None, PAIR, gap)


class Scripted:
    """A scorer that knows the probability of every rule in every second (0 where nothing is written)."""

    def __init__(self, script: dict[str, Sequence[float]], begin: float = 0.0) -> None:
        self.script, self.begin = script, begin
        self.rules: tuple[Rule, ...] = ()

    def prepare(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)

    def score(self, frame: Seen) -> list[float]:
        at = round(frame.seconds - self.begin)
        rows = [self.script.get(rule.name, ()) for rule in self.rules]
        return [float(row[at]) if 0 <= at < len(row) else 0.0 for row in rows]

    def told(self, rule: Rule, frame: Seen) -> str:
        return f"{rule.when} at {frame.seconds:g}"
