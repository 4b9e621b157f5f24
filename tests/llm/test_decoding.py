from __future__ import annotations

import pytest

from llama_vid.llm.decoding import Spelling, circles
from llama_vid.llm.language import LanguageModel


@pytest.mark.parametrize(
    "text", ["plain", "naïve 🐕 dog", "日本語のテキスト", "👨‍👩‍👧‍👦 family", "e\u0301 combined", "\ufffd real", ""]
)
def test_pieces_never_split_a_character(tiny: LanguageModel, text: str) -> None:
    spelling = Spelling(tiny)
    found = [spelling.spell(token) for token in tiny.tokenize(text)]  # one byte a token
    assert "".join(found) == text
    assert all(piece.encode().decode() == piece for piece in found)


def test_an_unfinished_character_at_the_end_is_left_out(tiny: LanguageModel) -> None:
    spelling = Spelling(tiny)
    assert "".join(spelling.spell(token) for token in tiny.tokenize("ab🐕")[:-1]) == "ab"


@pytest.mark.parametrize(
    ("ids", "going_round"),
    [
        ([1, 2, 3], False),
        ([7, 7, 7], False),
        ([7, 7, 7, 7], True),
        ([1, 2, 1, 2, 1, 2, 1], False),
        ([1, 2, 1, 2, 1, 2, 1, 2], True),
        ([9, 1, 2, 3, 4, 5, 6, 8, 1, 2, 3, 4, 5], False),
        ([9, 1, 2, 3, 4, 5, 6, 8, 1, 2, 3, 4, 5, 6], True),
        (list(range(200)), False),
    ],
)
def test_circles_are_noticed(ids: list[int], going_round: bool) -> None:
    assert circles(ids) is going_round
