"""Questions as they come from outside: trimmed, bounded, and without anything that a chat template would obey."""

from __future__ import annotations

import re

from llama_vid.errors import ProtocolError

#: The longest question in characters. With mini's 8,192-token context a longer one would crowd out the video.
MAX_QUESTION_CHARACTERS = 2000

# <|im_start|> and its kind (ChatML, Llama 3), and the markers of Llama 2 and Vicuna.
_TEMPLATE = re.compile(
    r"<\|[^<>|]{0,64}\|>|</?s>|\[/?INST\]|<</?SYS>>|</?(?:image|video|im_start|im_end|unk|pad|bos|eos)>", re.IGNORECASE
)
# C0/C1 controls except tab and newline, zero-width and bidirectional marks, byte-order marks, lone surrogates.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def clean_question(text: str) -> str:
    """The question as it may reach the model.

    Raises ProtocolError with param `question` and code question_empty or question_too_long.
    """
    if len(text) > MAX_QUESTION_CHARACTERS:
        raise ProtocolError(
            f"The question has {len(text):,} characters; ask in at most {MAX_QUESTION_CHARACTERS:,}.",
            code="question_too_long",
            param="question",
        )
    text = strip_template_tokens(text)
    if not text:
        raise ProtocolError(
            "The question is empty; write what you want to know.", code="question_empty", param="question"
        )
    return text


def strip_template_tokens(text: str) -> str:
    """`text` without chat-template markers and invisible characters. Repeats until none is left, since taking one out
    may join the halves of another (`<|im_<|x|>start|>`)."""
    text = _INVISIBLE.sub("", text)
    while (shorter := _TEMPLATE.sub("", text)) != text:
        text = shorter
    return text.strip()
