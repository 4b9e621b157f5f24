"""What was said in front of a camera, as answers read it: the newest lines at hand, the older ones in the journal."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from llama_vid.caption_desk import TRANSCRIPT, words_of
from llama_vid.llm.speech.words import Line

if TYPE_CHECKING:
    from llama_vid.memory.journal import CameraJournal

#: Lines at hand: what is said in two hours. Without a journal, that is all there is.
AT_HAND: Final = 1_500
#: Lines of the journal that one question looks through, the newest: two weeks of two lectures a day.
MOST: Final = 20_000


class CameraTranscript:
    """Fulfils `llama_vid.llm.transcript.Transcript`. Lines may come from any thread."""

    def __init__(self, journal: CameraJournal | None, *, captioned: bool) -> None:
        """`captioned` says that somebody listens to this camera now."""
        self._journal, self._captioned = journal, captioned
        self._lock = threading.Lock()
        self._lines: list[Line] = []

    def add(self, line: Line) -> None:
        """A line was said. The journal has it a moment later."""
        with self._lock:
            self._lines.append(line)
            del self._lines[:-AT_HAND]

    def forget(self, start: float, end: float) -> None:
        """Lines that share time with [start, end) are gone."""
        with self._lock:
            self._lines = [line for line in self._lines if line.end < start or line.start >= end]

    def listening(self, *, asked: bool) -> Iterator[None]:
        """Nothing: captions come as they are said."""
        return iter(())

    def lines(self, start: float, end: float) -> Sequence[Line]:
        """Lines that share time with [start, end], in time order; those from the journal without words."""
        with self._lock:
            newest = list(self._lines)
        first = newest[0].start if newest else float("inf")
        newest = [line for line in newest if line.end >= start and line.start <= end]
        if self._journal is None or start >= first:
            return newest
        said = self._journal.said(TRANSCRIPT, start, end, MOST)
        older = [Line(begin, until, text, ()) for begin, until, text in said if begin < first - 0.001]
        return [*older, *newest]

    def worded(self, line: Line) -> Line:
        """The line with its words, where they were kept."""
        if line.words or self._journal is None:
            return line
        found = self._journal.records(TRANSCRIPT, line.start, line.start)
        at = bisect_left([record.start for record in found], line.start - 0.001)
        if at < len(found) and (words := words_of(found[at])):
            return Line(line.start, line.end, line.text, tuple(words))
        return line

    @property
    def silent(self) -> str:
        """Why nothing is heard, where that is so."""
        return "" if self._captioned else "captions are off for this camera; set captions: true for it"
