"""An example as what training asks: questions with answers, and the packed segments of a row.

What the program asks at run time is one question behind the memory (llm/prompts.py), so each turn of a conversation is
a segment of its own; with `history` the turns before it stand before the question, for conversations that build up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from llama_vid.llm.prompts import CAPTION_SUFFIX, answer_target, question_suffix
from training.data.example import Example, Turn
from training.packing import Segment
from training.qa import tidy

_MARKS: Final = re.compile(r"\s*<(?:image|video)>\s*")
LETTERS: Final = "ABCDEFGHIJ"


def cleaned(text: str) -> str:
    """A turn's text without the marks for the photo or video, and without space around it."""
    return _MARKS.sub("\n", text).strip()


def asked(turn: Turn) -> str:
    """The question as it is put: without marks; multiple choice names its options, each by a letter."""
    question = cleaned(turn.question)
    if not turn.options:
        return question
    options = " ".join(f"({LETTERS[i]}) {option}" for i, option in enumerate(turn.options))
    return f"{question.rstrip('?. ')}? {options}"


def answered(turn: Turn) -> str:
    """The answer as it is taught: the letter and the text of an option, or the text."""
    if turn.right is None:
        return cleaned(turn.answer)
    return f"({LETTERS[turn.right]}) {cleaned(turn.answer)}"


def questions_of(example: Example) -> list[tuple[str, str]]:
    """The questions and answers of an example, turns whose text is nothing but a mark left out."""
    pairs = [(asked(turn), answered(turn)) for turn in example.conversation]
    return [(question, answer) for question, answer in pairs if question and answer]


def segments_of(
    example: Example,
    encode: Callable[[str], Sequence[int]],
    end: int,
    *,
    history: int = 0,
    longest: int | None = None,
) -> list[Segment]:
    """Segments for a memory of the example: one for each caption and each turn, in their order.

    `encode` turns text into token ids, `end` is the id that ends an answer. Up to `history` turns stand before a later
    question. Segments of more than `longest` tokens are left out, as they fit no row.
    """
    texts = [(CAPTION_SUFFIX, answer_target(tidy(caption))) for caption in example.captions]
    pairs = questions_of(example)
    for number, (question, answer) in enumerate(pairs):
        before = pairs[max(0, number - history) : number]
        told = "".join(question_suffix(q) + answer_target(a) for q, a in before)
        texts.append((told + question_suffix(question), answer_target(answer)))
    segments = [Segment(list(encode(suffix)), [*encode(target), end]) for suffix, target in texts]
    return [s for s in segments if longest is None or len(s.suffix) + len(s.target) - 1 <= longest]


def by_media(examples: Iterable[Example]) -> list[Example]:
    """One example for each photo or video (and part of it), with all captions and turns that the given ones have.

    A memory is read once for all that is asked of it, so that sets with a record for each question train faster so.
    The source is that of the first. Memory: all of the examples' texts.
    """
    found: dict[tuple[object, ...], Example] = {}
    for example in examples:
        key = (example.media or example.name, example.kind, example.span)
        known = found.get(key)
        if known is not None:
            captions = tuple(dict.fromkeys((*known.captions, *example.captions)))
            turns = tuple(dict.fromkeys((*known.conversation, *example.conversation)))
            example = replace(known, captions=captions, conversation=turns)
        found[key] = example
    return list(found.values())
