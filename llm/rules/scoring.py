"""How likely each rule is satisfied in a frame: a camera's texts against the frame and its regions.

Three things are seen in a frame, each in units of what ordinary photos show: how well the whole picture matches a text,
how well its best region does, and how likely the tower's own classifier finds one of the things that the text means
(`tokenizer/classes.py`). A logistic regression makes a probability of them: even odds are where false alerts
and missed ones are about as many. What a rule names under `unless` must match less well than what it looks for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm.calibration import logistic
from llama_vid.llm.rules.places import Places, places_of
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.telling import seen_text
from llama_vid.llm.rules.view import Phrases, View
from llama_vid.tokenizer.people import WARY, Named, names_people
from llama_vid.tokenizer.scoring import Query, SceneScorer
from llama_vid.tokenizer.seen import Seen
from llama_vid.tokenizer.tower import ImageTower

#: The weights of the three, and the log odds of none: fitted on even-numbered clips (docs/training-log.md).
FRAME, REGION, CLASS, BIAS = 0.46, 0.59, 0.56, -0.73
#: How well an ordinary photo's best region, and a single one, matches a text, in deviations of whole photos: mean and
#: deviation over 600 COCO photos and 60 everyday things.
BEST_OF_NINE, ONE_ALONE = (1.13, 0.93), (0.10, 1.05)
#: The chance of a text's classes below which nothing is told apart, and what stands in where a text means none.
FLOOR, UNKNOWN = 1e-3, 0.01
#: Log odds by which one deviation more of what a rule looks for than of its `unless` counts.
AGAINST: Final = 2.0
#: Log odds that a text which names a man, a woman or a child may lack: captions say too little of who is who.
SORT: Final = 3.0
#: The z-score below which no plain sentence fits a picture well enough to be told.
FITS: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Text:
    """A text of a rule: its phrases' columns, what ordinary photos score, and the classes that it means."""

    columns: slice
    mean: float
    deviation: float
    classes: Tensor | None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A rule that looks at pictures: its number, its texts (`when` first), where it looks, and whom it names.

    `by_people` says that people alone decide it, where it is known whether they are there.
    """

    number: int
    rule: Rule
    texts: tuple[_Text, ...]
    places: Places | None
    people: Named
    by_people: bool


class RuleScorer:
    """Rules' probabilities of frames, for one camera. Still frames cost nothing: they have what the last one had."""

    def __init__(self, scorer: SceneScorer, tower: ImageTower) -> None:
        self._scorer, self._tower = scorer, tower
        self._prepared: tuple[_Prepared, ...] = ()
        self._count = 0
        self._phrases: Phrases | None = None
        self._newest: Seen | None = None  # the last frame that was new
        self._last: list[float] | None = None

    def prepare(self, rules: Sequence[Rule]) -> None:
        """Embed the rules' texts: milliseconds a text, some seconds more for the first one of a model."""
        queries: list[Query] = []
        found: list[_Prepared] = []
        at = 0
        for number, rule in enumerate(rules):
            if not rule.when:
                continue
            people = names_people(rule.when)
            by_people = people == "anybody" and not rule.unless and self._tower.people is not None
            texts = []
            for text in (rule.when, *rule.unless):
                query = self._scorer.query(text)
                mean, deviation = self._scorer.spread(query)
                columns = slice(at, at + len(query.phrases))
                texts.append(_Text(columns, mean, deviation, None if by_people else self._meant(query)))
                queries.append(query)
                at += len(query.phrases)
            places = places_of(rule.zone, self._tower.patches) if rule.zone is not None else None
            found.append(_Prepared(number, rule, tuple(texts), places, people, by_people))
        self._prepared, self._count, self._last = tuple(found), len(rules), None
        if queries:
            deviation_ = torch.cat([query.deviation for query in queries])
            directions = (torch.cat([query.embeddings for query in queries]) / deviation_[:, None]).T.contiguous()
            self._phrases = Phrases(directions, torch.cat([query.mean for query in queries]) / deviation_)

    def score(self, seen: Seen) -> Sequence[float]:
        """The probability of every rule in a frame; 0 of those that only listen."""
        if seen.patches is not None:
            self._newest = replace(seen, patches=seen.patches.clone())
        elif self._last is not None:
            return self._last
        self._last = self._scored(self._newest if seen.patches is None and self._newest is not None else seen)
        return self._last

    def score_anew(self, seen: Seen) -> Sequence[float]:
        """As `score`, of a frame by itself: what was seen before it counts for nothing."""
        self._newest = self._last = None
        return self.score(seen)

    def told(self, rule: Rule, seen: Seen) -> str:
        """The rule's words, and the plain sentence that the picture matches best, if it matches well."""
        text, z = self._scorer.told(seen.embedding)
        return seen_text(rule, text if z >= FITS else "")

    def _scored(self, seen: Seen) -> list[float]:
        if self._phrases is None or not self._prepared:
            return [0.0] * self._count
        odds = [-math.inf] * self._count
        view = View(seen, self._tower, self._phrases)
        for each in self._prepared:
            people = view.people(each.places) if each.people else None
            odds[each.number] = people if each.by_people and people is not None else _judged(each, view, people)
        return [logistic(value) if value > -math.inf else 0.0 for value in odds]

    def _meant(self, query: Query) -> Tensor | None:
        """The classes (1000,) that a text means, as weights; None where it means none."""
        known = self._tower.classes
        if known is None:
            return None
        meant = known.meant(query.embeddings)
        return meant.float() if bool(meant.any()) else None


def _judged(each: _Prepared, view: View, people: float | None) -> float:
    """A rule's log odds by its texts, and by the people in it (log odds; None where nothing can tell)."""
    inside = view.within(each.places) if each.places is not None else None
    if inside is not None:
        # Outside of the zone nothing counts: its best region stands for the frame, too.
        parts = [(inside, FRAME + REGION, _expected(len(inside)))]
        chances = view.chances_within(each.places)
    else:
        parts = [(view.whole, FRAME, (0.0, 1.0))]
        if view.regions is not None:
            parts.append((view.regions, REGION, BEST_OF_NINE))
        chances = view.chances
    shown = [_shown(text, parts, chances) for text in each.texts]
    return min([_with_people(each.people, shown[0] + BIAS, people), *(AGAINST * (shown[0] - it) for it in shown[1:])])


def _with_people(named: Named, odds: float, people: float | None) -> float:
    """The log odds of a text that names people, by what is known of people in the frame."""
    if people is None:
        return odds
    # Of what sort somebody is, and what they do, is for the text to say; that there is nobody is not.
    if named == "anybody":
        return people
    return min(people, odds + SORT) if named == "somebody" else min(odds, people + WARY)


def _shown(text: _Text, parts: Sequence[tuple[Tensor, float, tuple[float, float]]], chances: Tensor | None) -> float:
    """How much a frame shows of a text, in log odds without the bias."""
    total = 0.0
    for rows, weight, (mean, deviation) in parts:
        if len(rows):
            best = (float(rows[:, text.columns].max()) - text.mean) / text.deviation
            total += weight * (best - mean) / deviation
    chance = UNKNOWN if chances is None or text.classes is None else float(chances @ text.classes)
    return total + CLASS * math.log(FLOOR + chance)


def _expected(regions: int) -> tuple[float, float]:
    """What the best of so many regions of an ordinary photo scores: mean and deviation."""
    share = math.log(max(1, regions)) / math.log(9)
    mean, deviation = (one + share * (nine - one) for one, nine in zip(ONE_ALONE, BEST_OF_NINE, strict=True))
    return mean, deviation
