"""One frame as a camera's rules look at it: what none of them asks for is not computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from llama_vid.llm.rules.places import Places
from llama_vid.tokenizer.regions import chosen_region, region_embeddings
from llama_vid.tokenizer.seen import Seen
from llama_vid.tokenizer.tower import ImageTower


@dataclass(frozen=True, slots=True)
class Phrases:
    """All texts of a camera's rules: `directions` (E, K), each phrase by the deviation of its scores over ordinary
    photos, and `means` (K,) of these.
    """

    directions: Tensor
    means: Tensor

    def z(self, embeddings: Tensor) -> Tensor:
        """How well pictures (n, E) match every phrase (n, K), in deviations of ordinary photos."""
        return embeddings @ self.directions - self.means


class View:
    """A frame, and what is known of it so far. Every part is computed once, when a rule asks for it first."""

    def __init__(self, seen: Seen, tower: ImageTower, phrases: Phrases) -> None:
        self._tower, self._phrases = tower, phrases
        self._embedding = seen.embedding
        self._patches = seen.patches[None] if seen.patches is not None else None

    @cached_property
    def whole(self) -> Tensor:
        """How well the whole picture matches every phrase (1, K)."""
        return self._phrases.z(self._embedding[None].float().cpu())

    @cached_property
    def regions(self) -> Tensor | None:
        """How well its regions do (R, K); None where there are none."""
        found = region_embeddings(self._tower, self._patches) if self._patches is not None else None
        return self._phrases.z(found[0]) if found is not None else None

    def within(self, places: Places) -> Tensor | None:
        """How well the regions of a zone do (n, K); None where the frame has none."""
        if places.block is None:
            return self.regions[list(places.regions)] if self.regions is not None else None
        found = chosen_region(self._tower, self._patches, places.block) if self._patches is not None else None
        return self._phrases.z(found) if found is not None else None

    @cached_property
    def chances(self) -> Tensor | None:
        """The tower's own classes' chances in the whole picture (1000,); None where it has none."""
        return self.chances_within(None)

    def chances_within(self, places: Places | None) -> Tensor | None:
        """As `chances`, of the patches of a zone alone."""
        classes = self._tower.classes
        if classes is None or self._patches is None:
            return None
        return classes.chances(self._patches if places is None else self._patches[:, places.patches])[0]

    def people(self, places: Places | None) -> float | None:
        """The log odds of people in it, or in a zone of it; None where nothing can tell."""
        if self._tower.people is None or self._who is None:
            return None
        return float(self._tower.people.odds_of(self._who, places.patches if places is not None else None))

    @cached_property
    def _who(self) -> Tensor | None:
        """What speaks for a person in every patch (1, P)."""
        probe = self._tower.people
        return probe.each(self._patches) if probe is not None and self._patches is not None else None
