"""Words that a rule listens for, found in the lines of a transcript."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: A transcript line: start and end in seconds, and what was said.
Line = tuple[float, float, str]
#: Seconds of silence over which a phrase may run from one line into the next.
PAUSE: Final = 2.0
_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Heard:
    """A phrase that was said: the times of the line or lines that hold it, and their text."""

    phrase: str
    start: float
    end: float
    text: str


def words_of(text: str) -> list[str]:
    """A text's words in lower case, apostrophes straight, everything else left out."""
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]


def heard_in(phrases: Sequence[str], lines: Sequence[Line]) -> list[Heard]:
    """Every line in which one of the phrases ends, in time order, each line and phrase once.

    Whole words count, whatever their case and punctuation: "fire" is not in "fireplace". A phrase may begin in the line
    before, if that ended at most PAUSE seconds earlier. `lines` are in time order.
    """
    found: list[Heard] = []
    before: tuple[Line, list[str]] | None = None
    for line in lines:
        start, end, text = line
        words = words_of(text)
        joined = before is not None and start - before[0][1] <= PAUSE
        earlier = before[1] if before is not None and joined else []
        for phrase in phrases:
            wanted = words_of(phrase)
            if not wanted:
                continue
            if _holds(words, wanted):
                found.append(Heard(phrase, start, end, text.strip()))
            elif before is not None and _holds(earlier[-len(wanted) + 1 :] + words if len(wanted) > 1 else [], wanted):
                found.append(Heard(phrase, before[0][0], end, f"{before[0][2].strip()} {text.strip()}"))
        if words:
            before = (line, words)
    return found


def _holds(words: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether the wanted words stand in `words` one after another."""
    size = len(wanted)
    return any(list(words[at : at + size]) == list(wanted) for at in range(len(words) - size + 1))
