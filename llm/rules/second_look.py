"""The second look: the language model reads an event's best frames and says yes or no.

Its word and the pictures' score err differently; a logistic regression over both decides (fitted on even-numbered
clips). What is confirmed is told with the caption of its best frame.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Generator
from typing import Final

from llama_vid.errors import LlamaVidError
from llama_vid.llm.calibration import logistic
from llama_vid.llm.evidence import Finder
from llama_vid.llm.rules.album import Album
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.telling import seen_text
from llama_vid.llm.steps import Pause
from llama_vid.memory.entry import MemoryEntry

logger = logging.getLogger(__name__)

#: Frames that are read, the best ones.
READ: Final = 4
#: The weights of the pictures' log odds and of the language model's margin of yes over no, and the bias: what is
#: withdrawn is clearly denied by the tokens, since a missed alert is worse than a false one.
PICTURES, TOKENS, BIAS = 0.66, 0.21, 0.37
CERTAIN: Final = 1e-6


class LanguageLook:
    """Second looks by the language model, for all cameras."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder

    def looking(self, rule: Rule, album: Album) -> Generator[Pause | None, None, tuple[float, str]]:
        """Looks at an event's best frames, in short steps: p(it is so) in 0…1, and the event's text."""
        best = sorted(album, key=lambda shown: -shown.probability)[:READ]
        if not best:
            return 1.0, ""
        odds = log_odds(best[-1].probability if len(best) < 2 else best[1].probability)
        yield None
        pairs = [shown.seen.pair for shown in sorted(best, key=lambda shown: shown.seen.seconds)]
        try:
            margin = yield from self._finder.margining(pairs, question(rule))
        except LlamaVidError as problem:  # the language model runs elsewhere and is away: the pictures decide
            logger.warning("%s; an event of the rule %s is judged by its pictures alone", problem, rule.name)
            margin = 0.0
        yield None
        probability = logistic(PICTURES * odds + TOKENS * margin + BIAS)
        if probability < 0.5:
            return probability, ""
        seen = best[0].seen
        entry = MemoryEntry(seen.seconds, seen.end, seen.pair, seen.embedding, energy=seen.pair.energy)
        caption = yield from self._finder.captioning(entry)
        return probability, seen_text(rule, caption)


def question(rule: Rule) -> str:
    """The yes/no question of a rule."""
    return f"Is there {rule.when.strip().rstrip('.')} in the video?"


def log_odds(p: float) -> float:
    """The logarithm of the odds of a probability."""
    p = min(1 - CERTAIN, max(CERTAIN, p))
    return math.log(p / (1 - p))
