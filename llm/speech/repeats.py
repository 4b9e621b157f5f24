"""Loops: language models that lost the sound say the same words again and again. They are found and cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from llama_vid.llm.speech.words import Word, key

#: How often a run of words may come in a row, by its length: people do say "no, no, no" and, of longer runs, the same
#: thing twice ("ask not what …, ask what …" is no repeat).
ALLOWED: Final = {1: 3, 2: 2}
ALLOWED_LONGER: Final = 2
LONGEST_RUN: Final = 24


#: Nobody says three words or more at less than so many seconds each; Whisper places what it invents at the edge of a
#: window or in a pause ("Thank you very much.") so.
RUSHED_S: Final = 0.06
RUSHED: Final = 3
RUSHED_MOST: Final = 12


def without_rushed(words: Sequence[Word]) -> tuple[Word, ...]:
    """The words without runs that are faster than anybody speaks."""
    kept: list[Word] = []
    at = 0
    while at < len(words):
        rushed = 0
        for count in range(RUSHED, min(RUSHED_MOST, len(words) - at) + 1):
            if words[at + count - 1].end - words[at].start < RUSHED_S * count:
                rushed = count
        if not rushed:
            kept.append(words[at])
        at += rushed or 1
    return tuple(kept)


def cut_repeats(words: Sequence[Word], before: Sequence[Word] = ()) -> tuple[Word, ...]:
    """The words up to where they begin to go in circles; the first time round is kept.

    `before` are the words in front of them, so that a loop is seen that began there.
    """
    keys = [key(word.text) for word in (*before, *words)]
    first = len(before)
    for end in range(first + 1, len(keys) + 1):
        for length in range(1, min(LONGEST_RUN, end // 2) + 1):
            allowed = ALLOWED.get(length, ALLOWED_LONGER)
            times = 1
            run = keys[end - length : end]
            while keys[max(0, end - (times + 1) * length) : end - times * length] == run:
                times += 1
            if times > allowed:
                return tuple(words[: max(0, end - (times - 1) * length - first)])
    return tuple(words)
