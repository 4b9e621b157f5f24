"""The text around the memory: what training appended to it, and so what answering must.

There is no text before the memory. After it comes one of two suffixes, and the answer up to the end token:

    <memory>\\nCaption: A dog runs through the snow.<end>
    <memory>\\nQuestion: Is there a dog?\\nAnswer: Yes, a dog.<end>

Answers begin with a space, as the byte-pair encoding of running text has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Final

CAPTION_SUFFIX: Final = "\nCaption:"
QUESTION_SUFFIX: Final = "\nQuestion: {question}\nAnswer:"
YES: Final = " Yes"
NO: Final = " No"
#: The most tokens of a question that reach the model: the budget's prompt share less the words around it.
QUESTION_TOKENS: Final = 224


def question_suffix(question: str) -> str:
    """The suffix that asks a (sanitised) question; braces in it stay as they are."""
    return QUESTION_SUFFIX.replace("{question}", " ".join(question.split()))


def answer_target(answer: str) -> str:
    """The text that training teaches after a suffix, without the end token."""
    return " " + " ".join(answer.split())


def yes_no_ids(tokenize: Callable[[str], Sequence[int]]) -> tuple[int, int]:
    """The token that begins a yes, and the one that begins a no, to compare their scores."""
    return tokenize(YES)[0], tokenize(NO)[0]


def shortened(question: str, tokenize: Callable[[str], Sized], limit: int = QUESTION_TOKENS) -> str:
    """The question if it has at most `limit` tokens, else its first and last words, joined by an ellipsis.

    What is asked stands mostly at one of the two ends; the middle of a long question is story.
    """
    if len(tokenize(question)) <= limit:
        return question
    words = question.split()
    # A single endless word cannot be divided at spaces.
    words = [word[:40] for word in words]
    low, high = 0, len(words) // 2
    while low < high:  # the most words from both ends that fit; more words never take fewer tokens
        middle = (low + high + 1) // 2
        if len(tokenize(_ends(words, middle))) <= limit:
            low = middle
        else:
            high = middle - 1
    return _ends(words, max(low, 1))


def _ends(words: Sequence[str], count: int) -> str:
    return " ".join([*words[:count], "…", *words[-count:]])
