"""Scores against a background: what matches scores higher, general words go through their kinds, neighbours smooth."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.tokenizer import scoring
from llama_vid.tokenizer.phrases import PHRASES
from llama_vid.tokenizer.scoring import KEPT, SceneScorer, probability, smoothed
from llama_vid.tokenizer.vocabulary import KINDS, TEMPLATES, looked_for

WIDTH = 64


class WordTower:
    """Texts as the sum of fixed random word vectors: texts that share words are alike."""

    def __init__(self) -> None:
        self.calls = 0

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        self.calls += 1
        rows = [sum((word(w) for w in text.lower().strip(" .").split()), torch.zeros(WIDTH)) for text in texts]
        return F.normalize(torch.stack(rows) + 1e-6, dim=-1)


def word(text: str) -> Tensor:
    return torch.randn(WIDTH, generator=torch.Generator().manual_seed(zlib.crc32(text.encode())))


def pictures(*texts: str) -> Tensor:
    return F.normalize(torch.stack([sum((word(w) for w in t.split()), torch.zeros(WIDTH)) for t in texts]), dim=-1)


@pytest.fixture
def scorer() -> SceneScorer:
    tower: Any = WordTower()
    background = F.normalize(torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(0)), dim=-1)
    return SceneScorer(tower, background)


def test_what_matches_better_scores_higher(scorer: SceneScorer) -> None:
    query = scorer.query("a red car on a bridge")
    z = scorer.score(query, pictures("a red car on a bridge", "red car", "snowy mountain"))
    assert z.tolist() == sorted(z.tolist(), reverse=True)
    assert float(z[0]) > 3
    assert abs(float(scorer.score(query, scorer._background).mean())) < 0.2, "ordinary photos lie around zero"


def test_a_general_word_is_found_through_its_kinds(scorer: SceneScorer) -> None:
    picture = pictures("a dog")
    assert float(scorer.score(scorer.query("an animal"), picture)) > float(
        scorer.score(scorer.query("an animal", kinds=False), picture)
    )


def test_texts_are_encoded_once_and_old_ones_forgotten(scorer: SceneScorer) -> None:
    tower: Any = scorer._tower
    first = scorer.query("a dog")
    assert scorer.query("a dog") is first
    assert tower.calls == 1
    for number in range(KEPT):
        scorer.query(f"thing {number}", kinds=False)
    assert scorer.query("a dog") is not first


def test_the_guide_is_of_unit_length(scorer: SceneScorer) -> None:
    assert float(scorer.query("an animal").guide.norm()) == pytest.approx(1.0, abs=1e-5)
    plain = scorer.plain("Two dogs run.")
    assert plain.phrases == ("Two dogs run.",)
    assert plain.embeddings.shape == (1, WIDTH)


def test_the_sentence_that_a_picture_tells(scorer: SceneScorer) -> None:
    sentence, z = scorer.told(pictures(PHRASES[40].lower().strip("."))[0])
    assert sentence == PHRASES[40]
    assert z > 3
    assert len(set(PHRASES)) == len(PHRASES)
    assert all(phrase.endswith(".") and phrase[0].isupper() for phrase in PHRASES)


def test_probability_rises_with_the_score() -> None:
    values = [probability(z / 4) for z in range(-40, 41)]
    assert values == sorted(values)
    assert 0 <= values[0] < 0.01
    assert 0.99 < values[-1] <= 1
    assert probability(1e9) <= 1
    assert probability(torch.tensor(2.2)) == pytest.approx(0.5)


def test_smoothing_favours_scores_that_last() -> None:
    found = smoothed(torch.tensor([0.0, 4.0, 0.0, 0.0, 4.0, 4.0, 4.0]), range(7))
    assert float(found[5]) > float(found[1])
    apart = smoothed(torch.tensor([1.0, 5.0]), [0.0, 60.0])
    torch.testing.assert_close(apart, torch.tensor([1.0, 5.0]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a person", KINDS["person"]),
        ("Animals?", KINDS["animal"]),
        ("children", KINDS["child"]),
        ("a musical instrument", KINDS["musical instrument"]),
        ("someone cooking", KINDS["cooking"]),
        ("a red car on a bridge", ("a red car on a bridge",)),
        ("a child or a baby", (*KINDS["child"], "a small child")),
    ],
)
def test_looked_for(text: str, expected: tuple[str, ...]) -> None:
    assert set(expected) <= set(looked_for(text))
    if len(expected) == 1:
        assert looked_for(text) == expected


def test_every_kind_is_a_phrase_and_templates_take_it() -> None:
    for kinds in KINDS.values():
        assert len(set(kinds)) == len(kinds) > 1
    assert all(template.format("x").count("x") == 1 for template in TEMPLATES)
    assert looked_for("") == ("",)


def test_texts_that_are_compared_are_kept_within_so_many_bytes(
    scorer: SceneScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    encode = scorer._tower.encode_text

    def encoded(texts: Sequence[str]) -> Tensor:
        read.extend(texts)
        return encode(texts)

    monkeypatch.setattr(scorer._tower, "encode_text", encoded)
    scorer.prepare(["a dog", "a cat"])
    assert len(read) == 2
    row = next(iter(scorer._known.values())).nbytes
    monkeypatch.setattr(scoring, "KNOWN_BYTES", 3 * row)
    picture = pictures("a dog")
    kept = scorer.each(["a dog"], picture)
    scorer.each(["a bus", "a boat"], picture)  # one too many: the cat was used longest ago
    assert list(scorer._known) == ["a dog", "a bus", "a boat"]
    read.clear()
    assert torch.equal(scorer.each(["a dog"], picture), kept)
    assert read == []
    scorer.each(["a dog", "a cat"], picture)
    assert len(read) == 1
    # More at once than are kept are all compared.
    assert scorer.each(["a dog", "a cat", "a bus", "a boat", "a tree"], picture).shape == (1, 5)
    assert len(scorer._known) == 3
