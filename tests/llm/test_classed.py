"""What the tower's classes say of candidates."""

from __future__ import annotations

import pytest
import torch

from llama_vid.llm.classed import FLOOR, chances, further, head, worth


@pytest.mark.parametrize(
    ("candidate", "chance"),
    [
        ("a wok", 0.5),
        ("a drum", 0.3),  # a steel drum is one
        ("a snare drum", 0.3),
        ("drums", 0.3),
        ("a dog", 0.15),  # by its kind
        ("a beagle", 0.15),
        ("a bear", 0.05),
        ("a violin", 0.0),
        ("in the snow", 0.0),
    ],
)
def test_a_class_names_what_ends_in_its_word_or_is_its_kind(candidate: str, chance: float) -> None:
    seen = {"wok": 0.5, "drum": 0.2, "steel drum": 0.1, "beagle, dog": 0.15, "brown bear, bear": 0.05}
    assert chances([candidate], seen).tolist() == pytest.approx([chance])


def test_a_kind_of_a_kind_is_known_without_its_last_word() -> None:
    seen = {"tabby": 0.2, "golden retriever, dog": 0.4}
    assert chances(["a cat", "a dog", "a retriever"], seen).tolist() == pytest.approx([0.2, 0.4, 0.4])


def test_what_is_not_seen_counts_nothing() -> None:
    assert worth(torch.zeros(2)).tolist() == [0.0, 0.0]
    certain = float(worth(torch.ones(1)))
    assert certain == pytest.approx(float(torch.log(torch.tensor((1 + FLOOR) / FLOOR))))
    assert chances(["a cat"], {}).tolist() == [0.0]


def test_what_is_clearly_seen_is_a_candidate_unless_it_is_one() -> None:
    seen = {"wok": 0.5, "oscilloscope": 0.2, "drum": 0.3, "mop": 0.02}
    assert further(seen, ["a snare drum", "a bowl"]) == ("a wok", "an oscilloscope")
    assert [head(text) for text in ("steel drums", "glass", "a bus")] == ["drum", "glass", "bus"]
