from __future__ import annotations

import pytest

from llama_vid.llm.words import first_sentence, whole


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (["A dog", " runs.", " It barks."], "A dog runs."),
        (["First", ", a", " man walks. Then"], "A man walks."),
        (["3.5 metres", " high"], "3.5 metres high"),
    ],
)
def test_an_answer_ends_with_its_first_sentence_and_passes_its_waits_on(pieces: list[str], said: str) -> None:
    assert "".join(first_sentence(iter(pieces))) == said
    waiting = [part for piece in pieces for part in ("", piece)]
    told = list(first_sentence(iter(waiting)))
    assert "".join(told) == said
    assert told[0] == ""  # at once, while nothing is there yet


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (["A dog", " runs."], "A dog runs."),
        (["Red"], "Red."),
        (["A man", " in a", " black shirt", " and a woman", " in", " the"], "A man in a black shirt and a woman."),
        (["A man stands in front", " of the"], "A man stands."),
        (["Is", " it?"], "Is it?"),
        (["Two,", " and"], "Two."),
        ([], ""),
    ],
)
def test_a_sentence_that_was_cut_off_ends_with_a_word_that_can_end_it(pieces: list[str], said: str) -> None:
    told = list(whole(iter([part for piece in pieces for part in ("", piece)])))
    assert "".join(told) == said
    assert told.count("") >= len(pieces)  # its waits are passed on


def test_a_sentence_is_told_while_it_is_made() -> None:
    told = whole(iter(["A man", " walks", " on the", " street."]))
    assert next(told) == "A man"
    assert "".join(told) == " walks on the street."
