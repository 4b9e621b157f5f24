"""Whether what is heard is believed at all: speech in another language, or none, comes out as unsure words."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from llama_vid.llm.speech.words import Word

#: The mean probability of the latest words below which they are not shown. English speech has a mean of 0.9, under
#: noise 0.8; a lecture played backward, which is no language at all, has 0.4.
LOWEST_MEAN: Final = 0.55
_LATEST: Final = 10
#: Before anything was heard: two middling words, so that one unsure word at the beginning does not count for all.
_PRIOR: Final = (0.7, 0.7)


class Doubt:
    """The mean probability of the latest words that two recognitions agreed on."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(_PRIOR, maxlen=_LATEST)

    @property
    def unclear(self) -> bool:
        """Speech is heard that this model does not understand."""
        return sum(self._latest) / len(self._latest) < LOWEST_MEAN

    def sift(self, words: Sequence[Word]) -> tuple[Word, ...]:
        """The words that are believed: all, or none while the latest are unsure on the whole."""
        self._latest.extend(word.probability for word in words)
        return () if self.unclear else tuple(words)

    def reset(self) -> None:
        """Somebody else may speak now."""
        self._latest = deque(_PRIOR, maxlen=_LATEST)
