"""The candidate on which pictures and language model agree is the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.llm.calibration import Calibration
from llama_vid.llm.candidates import candidates
from llama_vid.llm.evidence import READ, Finder
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.naming import ENCODED_AT_ONCE, Parts, Weights, answered, is_sure, names, parts, preparing, shown
from llama_vid.llm.wanted import Wanted
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.scoring import SceneScorer

ANIMALS = Wanted("kind", "{} on the sofa", tuple(f"a {name}" for name in ("dog", "cat", "bear", "cow")))


class Words:
    """A text tower in which each word has a direction of its own."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        self.read += texts
        return F.normalize(
            torch.stack([sum((direction(word) for word in text.split()), torch.zeros(64)) for text in texts]), dim=-1
        )


def direction(word: str) -> Tensor:
    return torch.randn(64, generator=torch.Generator().manual_seed(sum(map(ord, word))))


def finder(language: LanguageModel, tower: Words) -> Finder:
    background = F.normalize(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)), dim=-1)
    clip: Any = tower
    return Finder(language, SceneScorer(clip, background), Calibration())


def memory(model: LanguageModel, count: int, word: str) -> list[MemoryEntry]:
    width = model.embed([1]).shape[-1]
    pair = TokenPair(torch.zeros(width), torch.zeros(width), 0.0, held=False, cut=False)
    return [MemoryEntry(float(t), t + 1.0, pair, F.normalize(direction(word), dim=0)) for t in range(count)]


def run(
    find: Finder,
    entries: Sequence[MemoryEntry],
    nearest: int,
    sentence: str = "",
    seen: Mapping[str, float] | None = None,
    wanted: Wanted = ANIMALS,
) -> Parts:
    question = "What animal is on the sofa?"
    work = parts(find, question, wanted, entries, [entries[0].pair], nearest=nearest, sentence=sentence, seen=seen)
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: Parts = end.value
            return found


def test_what_the_pictures_show_is_chosen(tiny: LanguageModel) -> None:
    tower = Words()
    find = finder(tiny, tower)
    found = run(find, memory(tiny, 3, "bear"), nearest=4)
    seen = Weights(tokens=0.0)
    assert found.candidates[int(seen.worth(found).argmax())] == "a bear"
    assert "a cat on a sofa" in tower.read
    read = len(tower.read)
    run(find, memory(tiny, 3, "cow"), nearest=4)
    assert len(tower.read) == read, "texts are encoded once"


def test_only_the_nearest_are_weighed(tiny: LanguageModel) -> None:
    found = run(finder(tiny, Words()), memory(tiny, 3, "cow"), nearest=2)
    assert len(found.candidates) == len(found.tokens) == len(found.blind) == 2
    assert "a cow" in found.candidates


def test_what_the_sentence_names_is_weighed_and_counts(tiny: LanguageModel) -> None:
    find, entries = finder(tiny, Words()), memory(tiny, 3, "sofa")
    found = run(find, entries, 4, "A dog sleeps.")
    assert dict(zip(found.candidates, found.told.tolist(), strict=True)) == {
        "a dog": 1, "a cat": 0, "a bear": 0, "a cow": 0,
    }  # fmt: skip
    assert names("Two men are riding bikes.", "riding a horse", "doing")
    assert names("A man rides.", "riding a horse", "doing")
    assert not names("A man rides.", "on a horse", "place")
    assert names("Dogs sleep.", "a dog", "kind")


def test_what_the_classifier_sees_is_weighed_and_counts(tiny: LanguageModel) -> None:
    find, entries = finder(tiny, Words()), memory(tiny, 3, "sofa")
    found = run(find, entries, 4, seen={"brown bear, bear": 0.6, "wok": 0.3})
    assert found.candidates[int(found.classes.argmax())] == "a bear"
    assert "a wok" not in found.candidates, "no animal"
    pure = Weights(thing=0.0, statement=0.0, tokens=0.0)
    assert found.candidates[int(pure.worth(found).argmax())] == "a bear"
    things = Wanted("thing", "{} on the sofa", ("a dog", "a cat"))
    assert "a wok" in run(find, entries, 4, seen={"wok": 0.3}, wanted=things).candidates


def test_the_language_model_decides_between_equals() -> None:
    equal = torch.zeros(2)
    one = Parts(("a dog", "a cat"), equal, equal, torch.tensor([-2.0, -1.0]), torch.tensor([-2.0, -2.0]), equal, equal)
    assert int(Weights().worth(one).argmax()) == 1
    blind = Parts(
        ("a dog", "a cat"), equal, equal, torch.tensor([-1.0, -1.0]), torch.tensor([-3.0, -1.0]), equal, equal
    )
    assert int(Weights().worth(blind).argmax()) == 0, "what is said anyway says nothing of the pictures"


def test_the_frames_that_count(tiny: LanguageModel) -> None:
    entries = memory(tiny, 12, "dog")
    z = torch.arange(12.0)
    assert [entry.start for entry in shown(entries, z)] == [float(t) for t in range(12 - READ, 12)]
    assert shown(entries[:2], z[:2]) == entries[:2]


@pytest.mark.parametrize(("candidate", "answer"), [("a dog", "A dog."), ("in the snow", "In the snow.")])
def test_a_candidate_as_an_answer(candidate: str, answer: str) -> None:
    assert answered(candidate) == answer


def test_an_answer_that_may_be_wrong_says_perhaps() -> None:
    assert answered("a dog", sure=False) == "Perhaps a dog."
    assert is_sure(torch.tensor([3.7, 3.6, 3.5])), "worth much"
    assert is_sure(torch.tensor([0.5, -2.0, -2.0])), "far more than the others"
    assert not is_sure(torch.tensor([2.0, 1.9, 1.8]))


def test_what_is_asked_for_most_is_prepared_in_steps(tiny: LanguageModel) -> None:
    tower = Words()
    find = finder(tiny, tower)
    most = 0
    for _ in preparing(find):
        most, read = max(most, len(tower.read)), len(tower.read)
        tower.read.clear()
        assert 0 < read <= ENCODED_AT_ONCE
    assert most == ENCODED_AT_ONCE
    # A question then finds them read.
    words = candidates()
    for listed in (words.colours, words.people, words.objects("hold")):
        find.scorer.each(listed, torch.zeros(1, 64))
    assert tower.read == []
