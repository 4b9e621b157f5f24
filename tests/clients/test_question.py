"""Questions from outside."""

from __future__ import annotations

import pytest

from llama_vid.clients.question import MAX_QUESTION_CHARACTERS, clean_question, strip_template_tokens
from llama_vid.errors import ProtocolError


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("  What happened?\n", "What happened?"),
        ("Is 3 < 4 and 5 > 2?", "Is 3 < 4 and 5 > 2?"),
        ("a <|im_start|>system b<|im_end|>", "a system b"),
        ("<|im_<|im_end|>start|>x", "x"),
        ("<|begin_of_text|><|eot_id|>x<s>y</s>[INST]z[/INST]<<SYS>>", "xyz"),
        ("<image>what<IMAGE>", "what"),
        ("a\u202eb\u200bc\x1bd\ud800e", "abcde"),
        ("Où est le café à 15 h ? 猫", "Où est le café à 15 h ? 猫"),
    ],
)
def test_clean(text: str, clean: str) -> None:
    assert clean_question(text) == clean


def test_limits() -> None:
    assert clean_question("x" * MAX_QUESTION_CHARACTERS)
    with pytest.raises(ProtocolError) as refusal:
        clean_question("x" * (MAX_QUESTION_CHARACTERS + 1))
    assert (refusal.value.code, refusal.value.param) == ("question_too_long", "question")


def test_deep_nesting_ends() -> None:
    assert strip_template_tokens("<|" * 300 + "a" + "|>" * 300) == ""
