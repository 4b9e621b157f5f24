"""Committed words as lines for the journal: a sentence each, or as much as was said in one breath."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from llama_vid.llm.speech.words import Line, Word, ends_sentence

#: A pause of so many seconds ends a line, and so does this many words, behind the next comma if one comes soon.
PAUSE_S: Final = 1.5
LONG, LONGEST = 30, 45


class Sentences:
    """Groups words as they are committed; a line is given when it is complete and never changes."""

    def __init__(self) -> None:
        self._words: list[Word] = []

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of the line that is still open."""
        return tuple(self._words)

    def push(self, words: Sequence[Word]) -> list[Line]:
        """Take the next committed words; gives the lines that they complete."""
        lines = []
        for word in words:
            if self._words and word.start - self._words[-1].end > PAUSE_S:
                lines += self.finish()
            self._words.append(word)
            many = len(self._words)
            if (
                (ends_sentence(word.text) and many >= 3)
                or (many >= LONG and word.text.endswith((",", ";", ":")))
                or many >= LONGEST
            ):
                lines += self.finish()
        return lines

    def finish(self) -> list[Line]:
        """The line that is still open, if any: call it when the speaker has paused, too."""
        words, self._words = self._words, []
        return [Line.of(words)] if words else []
