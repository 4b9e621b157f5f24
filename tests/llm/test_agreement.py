"""Which sentence others agree with, and the table of how rare words are."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from llama_vid.errors import BundleError
from llama_vid.llm.agreement import Rarity, agreed, agreement, grams, hashed
from llama_vid.llm.proposals import Proposal


def equal(*texts: str) -> list[Proposal]:
    return [Proposal(text, 1 / len(texts)) for text in texts]


CAPTIONS = [
    ["A man rides a horse.", "A man on a horse."],
    ["A man is in the water.", "A man swims."],
    ["A man in a field.", "A man stands."],
    ["A horse in a field.", "A brown horse."],
    ["A man with a hat.", "A man sits."],
    ["A man walks.", "A man in the street."],
]


def table(fewest: int = 1) -> Rarity:
    return Rarity.of(Rarity.counted(CAPTIONS, fewest=fewest), "rarity.safetensors")


def test_the_consensus_is_preferred_and_an_invention_is_not() -> None:
    proposals = equal(
        "A zebra dances on a trampoline at night.",
        "A brown dog runs through the grass.",
        "A dog runs in the grass.",
        "A brown dog is running through grass.",
        "A dog runs through tall grass.",
    )
    scores = agreement(proposals)
    assert scores.index(min(scores)) == 0
    assert "dog runs" in agreed(proposals)
    assert all(0 <= score <= 1 for score in scores)


def test_what_is_drawn_often_counts_more() -> None:
    rare, often = "A cat sleeps.", "A boat sails."
    assert agreed([Proposal(rare, 0.2), Proposal(often, 0.8)]) == often
    assert agreed([Proposal(rare, 0.8), Proposal(often, 0.2)]) == rare


def test_rare_words_weigh_more_than_common_ones() -> None:
    proposals = equal("A man in a coat.", "A man on a bus.", "A horse walks.", "A horse stands.", "A man at a desk.")
    assert "man" in agreed(proposals), "without a table all words weigh the same"
    weights = table()
    assert weights.weight("man") < weights.weight("horse") < weights.weight("hat") == 1.0
    assert weights.weight("a") == 0.0
    assert weights.weight("zeppelin") == 1.0, "what the table lacks is rare"
    assert "horse" in agreed(proposals, weights), "the horse is agreed on"


def test_other_lengths_count_less() -> None:
    long = "A dog runs and a dog runs and a dog runs and a dog runs and a dog runs"
    scores = agreement(equal("A dog runs", "A dog runs.", long))
    assert scores[2] < scores[0] == scores[1]


def test_nothing_and_one() -> None:
    assert agreement([]) == []
    assert agreed([]) == ""
    assert agreed([Proposal("...", 1.0)], table()) == "..."
    assert agreed([Proposal("A dog.", 1.0)]) == "A dog."


def test_what_few_have_is_left_out() -> None:
    assert len(Rarity.counted(CAPTIONS, fewest=3)["keys"]) < len(Rarity.counted(CAPTIONS, fewest=1)["keys"])
    assert table(fewest=3).weight("hat") == 1.0
    keys = Rarity.counted(CAPTIONS, fewest=1)["keys"]
    assert keys.tolist() == sorted(keys.tolist())
    assert hashed("man") in keys.tolist()
    assert grams("A man, the man's T-shirt!", 2)[0] == {"a": 1, "man": 1, "the": 1, "man's": 1, "t-shirt": 1}


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"keys": torch.zeros(3, dtype=torch.int32)},
        {"keys": torch.zeros(3), "weights": torch.zeros(3, dtype=torch.uint8)},
        {"keys": torch.zeros(3, dtype=torch.int32), "weights": torch.zeros(2, dtype=torch.uint8)},
    ],
)
def test_a_damaged_table_is_one_clear_error(tensors: Mapping[str, Tensor]) -> None:
    with pytest.raises(BundleError, match=r"here/rarity\.safetensors is no table .* python -m training\.rarity"):
        Rarity.of(tensors, "here/rarity.safetensors")
