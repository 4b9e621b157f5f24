"""The words of a topic as lines of a transcript have them: in another form, or heard a little differently."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

from llama_vid.llm.speech.chapters import STOP_WORDS
from llama_vid.llm.speech.words import key

#: Words so long may be heard a little differently ("Gutenburg"): this alike they count as the same.
LONG: Final = 6
ALIKE: Final = 0.84
#: Words beside the topic itself that questions have and lines need not.
_ASKED_WORDS: Final = (
    "speaker lecturer teacher professor presenter narrator mention mentioned discuss discussed explain explained"
    " called named kind sort type video film lecture does happen happened"
)
_ASKED: Final = frozenset(_ASKED_WORDS.split())


class Topic:
    """A topic, asked of the lines of one transcript. A word weighs the more the fewer of the lines have it."""

    def __init__(self, text: str, lines: Sequence[str]) -> None:
        words = [word for word in map(key, text.split()) if word]
        telling = [word for word in words if word not in STOP_WORDS and word not in _ASKED]
        #: A phrase of small words alone ("to be or not to be") is looked for as it stands.
        self._phrase = "" if telling else " ".join(words)
        self.words: tuple[str, ...] = tuple(dict.fromkeys(telling))
        counts = Counter(word for line in lines for word in set(_keys(line)))
        self._forms = {word: {other for other in counts if _same(word, other)} for word in self.words}
        self._stems = {word: {other for other in counts if _related(word, other)} for word in self.words}
        self._weights = {
            word: math.log(1 + (len(lines) + 1) / (0.5 + sum(counts[form] for form in self._forms[word])))
            for word in self.words
        }

    def share(self, line: str) -> float:
        """How much of the topic's words a line has, by weight, 0…1; another form of a word counts a little less."""
        has = set(_keys(line))
        if self._phrase:
            return float(self.named(line))
        total = sum(self._weights.values())
        found = 0.0
        for word, weight in self._weights.items():
            if has & self._forms[word]:
                found += weight
            elif has & self._stems[word]:
                found += 0.7 * weight
        return found / total if total else 0.0

    def named(self, line: str) -> bool:
        """Whether a line has all the topic's words."""
        if self._phrase:
            return bool(re.search(rf"(?:^| ){re.escape(self._phrase)}(?: |$)", " ".join(_keys(line))))
        has = set(_keys(line))
        return bool(self.words) and all(has & self._forms[word] for word in self.words)

    def is_word(self, text: str) -> bool:
        """Whether a spoken word is the first word of the topic that matters, or a form of it."""
        word = key(text)
        first = self.words[0] if self.words else self._phrase.partition(" ")[0]
        return _same(first, word)

    def mentions(self, line: str) -> int:
        """How often a line names the topic: as often as the rarest of its words is in it."""
        if self._phrase:
            return int(self.named(line))
        said = Counter(_keys(line))
        return min((sum(said[form] for form in self._forms[word]) for word in self.words), default=0)


def _keys(line: str) -> list[str]:
    return [word for word in map(key, re.split(r"[\s–—-]+", line)) if word]


def _same(word: str, other: str) -> bool:
    """Whether two words are one: in singular and plural, or nearly alike."""
    if _singular(word) == _singular(other):
        return True
    near = min(len(word), len(other)) >= LONG and abs(len(word) - len(other)) <= 2 and word[0] == other[0]
    return near and SequenceMatcher(None, word, other).ratio() >= ALIKE and _stem(word) != _stem(other)


def _related(word: str, other: str) -> bool:
    """Whether two words have one stem: print, printed, printing, printer."""
    return _stem(word) == _stem(other)


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _stem(word: str) -> str:
    word = _singular(word)
    for ending in ("ing", "ed", "er", "ers"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            word = word[: -len(ending)]
            break
    word = word[:-1] if len(word) > 4 and word[-1] == word[-2] else word
    return word.removesuffix("e") if len(word) > 4 else word
