"""What recognition gives: words with times, lines of them, and the events in which they come."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word. `start` and `end` are media seconds, `text` has its punctuation and no spaces, `probability` is
    the model's own (0…1)."""

    start: float
    end: float
    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class Line:
    """Words that belong together, in the order they were spoken; `text` is them joined with spaces."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...]

    @classmethod
    def of(cls, words: Sequence[Word]) -> Line:
        """The line of one word or more."""
        return cls(words[0].start, words[-1].end, " ".join(word.text for word in words), tuple(words))


@dataclass(frozen=True, slots=True)
class CaptionEvent:
    """`final`: these words follow the final ones before and never change. `partial`: what is heard after them so far,
    which the next event replaces; `line` is None where nothing is."""

    type: Literal["final", "partial"]
    line: Line | None


def key(text: str) -> str:
    """A word as two recognitions of it are compared: small letters and digits alone ("It's," is "its")."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in folded if letter.isalnum()) or folded


def ends_sentence(text: str) -> bool:
    """Whether a sentence ends with this word."""
    return text.rstrip("\"'”’)]").endswith((".", "!", "?", "…", "。", "？", "！"))
