"""From committed words to cues: at most two lines of at most 42 characters, cut where a reader would pause.

The limits are those of broadcasters (Netflix's and the BBC's subtitle guidelines agree on two lines, and on 42 and 37
characters). Only committed words come in, so that a cue never changes once it is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

LINE: Final = 42
LINES: Final = 2
#: A cue stays at most so long, and a pause of so many seconds ends it.
LONGEST_S: Final = 7.0
PAUSE_S: Final = 1.0
#: A cue stays this much longer than its last word where nothing follows, and at least this long in all.
LINGER_S: Final = 0.8
SHORTEST_S: Final = 0.6

#: Words that belong to what follows them: a line does not end with one.
_LEANING_WORDS: Final = (
    "a an the this that these those my your his her its our their and or but nor so if as of in on at by to for from "
    "with into over than is are was were be been has have had do does did not very more most who which what when i we "
    "you he she it they may might can could will would shall should must"
)
_LEANING: Final = frozenset(_LEANING_WORDS.split())


class Spoken(Protocol):
    """What is asked of a word (`llm.speech.words.Word`)."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Cue:
    """One caption on the screen: `start` and `end` in media seconds, one or two `lines`, and its `words` with times."""

    start: float
    end: float
    lines: tuple[str, ...]
    words: tuple[Spoken, ...] = ()

    @property
    def text(self) -> str:
        """Its lines in one."""
        return " ".join(self.lines)


class CueMaker:
    """Makes cues out of words as they are committed. Cues are monotone and do not overlap."""

    def __init__(self) -> None:
        self._open: list[Spoken] = []
        self._until = 0.0

    @property
    def since(self) -> float | None:
        """When the cue that is still open begins; None where none is."""
        return self._open[0].start if self._open else None

    def push(self, words: Sequence[Spoken]) -> list[Cue]:
        """Take the next committed words; gives the cues that they complete."""
        cues = []
        for word in words:
            if self._open and (word.start - self._open[-1].end > PAUSE_S or word.end - self._open[0].start > LONGEST_S):
                cues += self._close(len(self._open), word.start)
            for part in _short(word):
                while self._open and not break_lines([*(w.text for w in self._open), part.text]):
                    cues += self._close(_best_cut(self._open), part.start)
                self._open.append(part)
            if _is_end(word.text) and sum(len(w.text) + 1 for w in self._open) > LINE // 2:
                cues += self._close(len(self._open), None)
        return cues

    def tick(self, seconds: float) -> list[Cue]:
        """Everything up to this media second is committed: the open cue is closed where the speaker has paused."""
        paused = self._open and seconds - self._open[-1].end > PAUSE_S
        return self._close(len(self._open), seconds) if paused else []

    def finish(self) -> list[Cue]:
        """The cue that is still open, if any: nothing more will come."""
        return self._close(len(self._open), None)

    def _close(self, count: int, following: float | None) -> list[Cue]:
        """Close a cue of the first `count` open words; what follows begins at `following` where that is known."""
        if not count:
            return []
        words, self._open = self._open[:count], self._open[count:]
        after = self._open[0].start if self._open else following
        start = max(words[0].start, self._until)
        end = max(words[-1].end + LINGER_S, start + SHORTEST_S)
        if after is not None:
            end = min(end, max(after, words[-1].end, start + 0.1))
        self._until = end
        return [Cue(start, end, break_lines([word.text for word in words]), tuple(words))]


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a word that is longer than a line (an address, a chemical)."""

    start: float
    end: float
    text: str


def _short(word: Spoken) -> Sequence[Spoken]:
    if len(word.text) <= LINE:
        return (word,)
    texts = [word.text[at : at + LINE] for at in range(0, len(word.text), LINE)]
    step = (word.end - word.start) / len(texts)
    return [_Part(word.start + n * step, word.start + (n + 1) * step, text) for n, text in enumerate(texts)]


def break_lines(words: Sequence[str]) -> tuple[str, ...]:
    """One line, or two of about equal length that end where the sense allows; empty where the words do not fit."""
    text = " ".join(words)
    if len(text) <= LINE:
        return (text,) if words else ()
    best: tuple[float, tuple[str, str]] | None = None
    for cut in range(1, len(words)):
        upper, lower = " ".join(words[:cut]), " ".join(words[cut:])
        if len(upper) > LINE or len(lower) > LINE:
            continue
        cost = abs(len(upper) - len(lower)) - _worth(words[cut - 1], words[cut])
        if best is None or cost < best[0]:
            best = cost, (upper, lower)
    return best[1] if best else ()


def _worth(before: str, after: str) -> float:
    """How good a place for a break lies between two words, in characters of unequal length it is worth."""
    if _is_end(before):
        return 24.0
    if before.endswith((",", ";", ":", "–", "—")):
        return 16.0
    if before.casefold() in _LEANING:
        return -12.0
    return 8.0 if after.casefold() in _LEANING else 0.0


def _best_cut(words: Sequence[Spoken]) -> int:
    """How many of the words, which fill a cue, go into it: the break with the most sense behind the middle."""
    cuts = [cut for cut in range(1, len(words)) if cut >= len(words) // 2 or _is_end(words[cut - 1].text)]
    full = [(_worth(words[cut - 1].text, words[cut].text) + 12.0 * cut / len(words), cut) for cut in cuts]
    # All of them is a place as good as the next word allows, which is not known here: it counts as neutral.
    return max([*full, (12.0 if words[-1].text.casefold() not in _LEANING else 0.0, len(words))])[1]


def _is_end(text: str) -> bool:
    return text.rstrip("\"'”’)]").endswith((".", "!", "?", "…"))
