"""Scores on a tower made by hand: whole pictures, regions, classes, zones, `unless`, and stillness."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.llm.rules import view
from llama_vid.llm.rules.places import places_of
from llama_vid.llm.rules.rule import Rule, Zone
from llama_vid.llm.rules.scoring import RuleScorer
from llama_vid.tokenizer.scoring import SceneScorer
from llama_vid.tokenizer.seen import Seen
from tests.llm.rules.frames import PAIR

WORDS = ("dog", "cat", "tree")


class Tower:
    """Texts and patches live in one space of four dimensions, the last of which is nothing in particular."""

    patches, channels, width = 36, 4, 4
    classes: Any = None
    people: Any = None

    def __init__(self) -> None:
        self.asked: list[int] = []

    def encode_text(self, texts: list[str]) -> Tensor:
        rows = [next((at for at, word in enumerate(WORDS) if word in text), 3) for text in texts]
        return torch.eye(4)[rows]


@pytest.fixture
def tower(monkeypatch: pytest.MonkeyPatch) -> Tower:
    """A tower whose regions are the means of their patches."""
    tower = Tower()

    def regions(_tower: Any, patches: Tensor) -> Tensor:
        tower.asked.append(len(patches))
        blocks = patches.view(-1, 3, 2, 3, 2, 4).permute(0, 1, 3, 2, 4, 5).reshape(-1, 9, 4, 4)
        return F.normalize(blocks.mean(2), dim=-1)

    monkeypatch.setattr(view, "region_embeddings", regions)
    monkeypatch.setattr(
        view, "chosen_region", lambda _tower, patches, places: F.normalize(patches[:, places].mean(1), dim=-1)
    )
    return tower


@pytest.fixture
def background() -> Tensor:
    return F.normalize(torch.randn(256, 4, generator=torch.Generator().manual_seed(0)) * 0.3 + torch.eye(4)[3], dim=1)


def frame(*things: tuple[str, int], seconds: float = 0.0, whole: str = "") -> Seen:
    """Patches that show nothing but the named things at their places; the whole picture shows `whole`."""
    patches = torch.eye(4)[3].expand(36, 4).clone()
    for word, place in things:
        patches[place] = torch.eye(4)[WORDS.index(word)] * 4
    embedding = torch.eye(4)[WORDS.index(whole) if whole else 3]
    return Seen(seconds, seconds + 1, embedding.half(), patches, PAIR)


def scores(tower: Tower, background: Tensor, rules: list[Rule], seen: Seen) -> list[float]:
    scorer = RuleScorer(SceneScorer(tower, background), tower)  # type: ignore[arg-type]
    scorer.prepare(rules)
    return list(scorer.score(seen))


def test_what_is_small_is_found_in_a_region(tower: Tower, background: Tensor) -> None:
    rules = [Rule("dog", "a spotted dog"), Rule("listens", heard=("x",)), Rule("cat", "a black cat")]
    dog, listens, cat = scores(tower, background, rules, frame(("dog", 0)))
    nothing, _, _ = scores(tower, background, rules, frame())
    both, _, _ = scores(tower, background, rules, frame(("dog", 0), whole="dog"))
    assert nothing < dog < both
    assert (cat < dog, listens) == (True, 0.0)


def test_unless_takes_away_what_matches_it_more(tower: Tower, background: Tensor) -> None:
    plain, unless = Rule("dog", "a spotted dog"), Rule("dog", "a spotted dog", unless=("a black cat",))
    cat_and_dog = frame(("dog", 0), ("cat", 1), ("cat", 2), ("cat", 35), whole="cat")
    assert scores(tower, background, [unless], cat_and_dog)[0] < 0.5
    dog = frame(("dog", 0), ("dog", 1), whole="dog")
    assert scores(tower, background, [unless], dog) == scores(tower, background, [plain], dog)


def test_only_the_zone_counts(tower: Tower, background: Tensor) -> None:
    left, right = Zone.box(0, 0, 0.4, 1), Zone.box(0.6, 0, 1, 1)
    tiny = Zone.box(0.0, 0.0, 0.1, 0.1)
    rules = [Rule(str(at), "a spotted dog", zone=zone) for at, zone in enumerate((left, right, tiny))]
    inside, outside, small = scores(tower, background, rules, frame(("dog", 0), whole="cat"))
    assert outside < inside
    assert outside < small
    # What the whole picture shows counts no more, either.
    assert scores(tower, background, rules, frame(whole="dog"))[1] == pytest.approx(outside, abs=0.02)


def test_zones_are_regions_or_a_block_of_their_size() -> None:
    places = places_of(Zone.box(0, 0, 1 / 3, 1), 81)
    assert places is not None
    assert (places.regions, places.block, len(places.patches)) == ((0, 3, 6), None, 27)
    small = places_of(Zone.box(0.9, 0.9, 1, 1), 81)
    assert small is not None
    assert small.block is not None
    assert (small.regions, small.block.tolist()) == ((), [60, 61, 62, 69, 70, 71, 78, 79, 80])
    assert places_of(Zone.box(0, 0, 1, 1), 49) is None
    corner = places_of(Zone(((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))), 81)
    assert corner is not None
    assert corner.regions == (0, 1, 3), "a triangle: those that lie in it by half"


def test_a_class_that_the_text_means_helps(tower: Tower, background: Tensor) -> None:
    class Classes:
        sure = 0.9

        def meant(self, phrases: Tensor) -> Tensor:
            return torch.tensor([bool(phrases[:, 0].max() > 0.5), False])

        def chances(self, patches: Tensor) -> Tensor:
            return torch.tensor([[self.sure, 1 - self.sure]])

    tower.classes = Classes()
    rules = [Rule("dog", "a spotted dog"), Rule("cat", "a black cat")]
    dog, cat = scores(tower, background, rules, frame())
    Classes.sure = 0.001
    unlikely, same = scores(tower, background, rules, frame())
    assert unlikely < dog
    assert same == cat, "a text that no class stands for"


def test_still_frames_cost_nothing_and_new_rules_see_the_last_picture(tower: Tower, background: Tensor) -> None:
    scorer = RuleScorer(SceneScorer(tower, background), tower)  # type: ignore[arg-type]
    scorer.prepare([Rule("cat", "a black cat")])
    shown = frame(("dog", 0), whole="dog")
    first = scorer.score(shown)
    still = Seen(1.0, 2.0, shown.embedding, None, PAIR)
    assert scorer.score(still) is first
    assert tower.asked == [1]
    scorer.prepare([Rule("dog", "a spotted dog")])
    assert list(scorer.score(still)) == scores(tower, background, [Rule("dog", "a spotted dog")], shown)
    scorer.prepare([])
    assert list(scorer.score(still)) == []


class Probe:
    """Says of every frame how likely people are in it; of zones that there is nobody."""

    def __init__(self, odds: float) -> None:
        self.said = odds
        self.asked = 0

    def each(self, patches: Tensor) -> Tensor:
        self.asked += 1
        return patches[..., 0]

    def odds_of(self, each: Tensor, inside: Tensor | None = None) -> Tensor:
        return torch.tensor([self.said if inside is None else -5.0])


def test_who_is_there_is_for_the_people_probe_to_say(tower: Tower, background: Tensor) -> None:
    seen = frame((WORDS[0], 0))
    corner = Zone.box(0.0, 0.0, 0.4, 0.4)
    rules = [
        Rule("any", "a person at the door"),
        Rule("doing", f"someone with a {WORDS[0]}"),
        Rule("zone", "a person", zone=corner),
        Rule("thing", f"a {WORDS[0]}"),
    ]
    without = scores(tower, background, rules, seen)
    tower.people = Probe(4.0)
    there = scores(tower, background, rules, seen)
    tower.people = Probe(-4.0)
    nobody = scores(tower, background, rules, seen)
    assert there[0] > 0.9 > 0.1 > nobody[0]
    assert there[1] == pytest.approx(without[1]), "what they do is for the text to say"
    assert nobody[1] < 0.2
    assert there[2] < 0.1, "nobody is in the zone"
    assert without[3] == there[3] == nobody[3]


def test_what_no_rule_asks_for_is_not_computed(tower: Tower, background: Tensor) -> None:
    class Classes:
        asked = 0

        def meant(self, phrases: Tensor) -> Tensor:
            self.asked += 1
            return torch.zeros(2, dtype=torch.bool)

        def chances(self, patches: Tensor) -> Tensor:
            self.asked += 1
            return torch.tensor([[0.5, 0.5]])

    tower.classes, tower.people = Classes(), Probe(4.0)
    people = [Rule("any", "a person"), Rule("zone", "a person at the door", zone=Zone.box(0, 0, 0.4, 0.4))]
    there, zone = scores(tower, background, people, frame())
    assert there > 0.9 > 0.1 > zone
    assert (tower.asked, tower.classes.asked, tower.people.asked) == ([], 0, 1), "people are all that is asked for"
    unless = Rule("unless", "a person", unless=("a spotted dog",))
    assert scores(tower, background, [unless], frame(("dog", 0), whole="dog"))[0] < 0.5
    assert tower.asked == [1], "what must not be there is looked for by its words"
    scores(tower, background, [Rule("zone", "a spotted dog", zone=Zone.box(0, 0, 0.1, 0.1))], frame())
    assert tower.asked == [1], "a zone smaller than a region has one of its own"
    assert tower.people.asked == 2, "nobody asked for people"
