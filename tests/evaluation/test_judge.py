"""Free answers are judged as a person would: by key words, exact colours and numbers, choices, and meaning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from evaluation.judge import alternatives, judge, key_words, threshold_pairs
from evaluation.meaning import Meaning, Vectors
from evaluation.wording import words_of


def bags(texts: Sequence[str]) -> Vectors:
    """Texts as bags of words: alike only where they share words."""
    rows = np.zeros((len(texts), 512), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in words_of(text).content:
            rows[row, sum(map(ord, word)) % 512] += 1
    return rows


@pytest.mark.parametrize(
    ("question", "reference", "answer", "right"),
    [
        ("What covers his head?", "A helmet (mask).", "A man with a helmet.", True),
        ("What covers his head?", "A helmet (mask).", "A golden mask", True),
        ("What covers his head?", "A helmet (mask).", "A hat.", False),
        ("What large vehicle is passed?", "A white bus (coach).", "A bus.", True),
        ("What large vehicle is passed?", "A white bus (coach).", "A white truck.", False),
        ("What is on the table?", "A birthday cake with candles.", "A cake.", True),
        ("What is on the table?", "A birthday cake with candles.", "Some candles.", False),
        ("What is she doing?", "Applying make-up.", "She puts on makeup.", True),
        ("What is odd?", "He lies down while riding.", "The man is lying on it.", True),
        ("What colour is the shirt?", "Red-orange.", "Red.", True),
        ("What colour is the armour?", "Red and gold.", "Red.", False),
        ("What colour is the armour?", "Red and gold.", "It is gold and red.", True),
        ("What colour is the coat?", "Blue.", "A red coat and blue jeans.", False),
        ("What colour is the coat?", "Blue.", "A man in a blue coat and red jeans.", True),
        ("What colour is the sofa?", "Blue.", "Red, green, blue and white.", False),
        ("Name a colour of a car.", "Red or white.", "White.", True),
        ("How many people are there?", "Two.", "There are 2 people.", True),
        ("How many people are there?", "Two.", "Three people.", False),
        ("Is the scene dark or bright?", "Dark.", "Dark.", True),
        ("Is the scene dark or bright?", "Dark.", "It is bright, not dark.", False),
        ("Is the scene dark or bright?", "Dark.", "Yes.", False),
        ("Is it a cartoon or real?", "An animation.", "It is a cartoon.", True),
        ("Is this a close-up?", "Yes.", "Yes, at 0:03: a hand.", True),
        ("Is this a close-up?", "Yes.", "No.", False),
        ("What does he hold?", "A bat.", "I have not seen a bat.", False),
        ("What does he hold?", "A bat.", "", False),
    ],
)
def test_judge(question: str, reference: str, answer: str, right: bool) -> None:
    assert judge(question, reference, answer, Meaning(bags)).right is right


def test_meaning_counts_where_key_words_fail_but_not_against_a_colour() -> None:
    same = Meaning(lambda texts: np.ones((len(texts), 2), dtype=np.float32))
    found = judge("What goods are sold?", "White pottery.", "Plates.", same)
    assert (found.keys, found.meaning, found.right) == (False, True, True)
    assert not judge("What goods are sold?", "White pottery.", "Black plates.", same).right
    assert not judge("What colour is it?", "Blue.", "Red.", same).right, "colours are exact"


def test_alternatives_and_heads() -> None:
    assert alternatives("A (bass) guitar.") == ["A guitar", "bass"]
    assert alternatives("Red-orange.") == ["Red", "orange"]
    assert key_words("In a car on a motorway") == (("car",), "car")


def test_threshold_pairs_hold_what_they_say() -> None:
    same, other = threshold_pairs(
        [("What animal is it?", "A kitten (cat)."), ("What animal is shown?", "A bear."), ("Is it dark?", "Yes.")]
    )
    assert ("A kitten", "cat") in same
    assert ("A kitten", "A bear") in other
    assert not any("Yes" in text for pair in same + other for text in pair)
