from __future__ import annotations

import pytest

from llama_vid.llm.words import first_sentence


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
