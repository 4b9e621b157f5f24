"""How likely each rule is satisfied in a frame: a camera's texts against the frame and its regions, in one product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from torch import Tensor

from llama_vid.llm.calibration import logistic
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.telling import seen_text
from llama_vid.tokenizer.regions import region_embeddings
from llama_vid.tokenizer.scoring import SceneScorer
from llama_vid.tokenizer.seen import Seen
from llama_vid.tokenizer.tower import ImageTower

#: The z-score below which no plain sentence fits a picture well enough to be told.
FITS: Final = 2.0


class RuleScorer:
    """Rules' probabilities of frames. Still frames cost nothing: they have what the last one had."""

    def __init__(self, scorer: SceneScorer, tower: ImageTower) -> None:
        self._scorer, self._tower = scorer, tower
        self._rules: tuple[Rule, ...] = ()
        self._last: list[float] | None = None

    def prepare(self, rules: Sequence[Rule]) -> None:
        """Embed the rules' texts."""
        self._rules, self._last = tuple(rules), None

    def score(self, seen: Seen) -> list[float]:
        """The probability of every rule in a frame."""
        if seen.patches is None and self._last is not None:
            return self._last
        regions: Tensor | None = None
        if seen.patches is not None:
            regions = region_embeddings(self._tower, seen.patches[None])
        found = []
        for rule in self._rules:
            if not rule.when:
                found.append(0.0)
                continue
            query = self._scorer.query(rule.when)
            z = float(self._scorer.score(query, seen.embedding[None].float().cpu()))
            if regions is not None:
                z = max(z, float(self._scorer.score_regions(query, regions)))
            found.append(logistic(1.7 * (z - 1.8)))
        self._last = found
        return found

    def told(self, rule: Rule, seen: Seen) -> str:
        """The rule's words, and the plain sentence that the picture matches best, if it matches well."""
        text, z = self._scorer.told(seen.embedding)
        return seen_text(rule, text if z >= FITS else "")
