"""LocalAgreement-2: what two recognitions in a row agree on is committed and never changes.

Source of the policy: Liu, Spanakis and Niehues, "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by
Partial Hypothesis Selection" (Interspeech 2020); for Whisper: Macháček, Dabre and Bojar, "Turning Whisper into
Real-Time Transcription System" (IJCNLP-AACL 2023, demo).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from llama_vid.llm.speech.words import Word, key

#: A new word that ends this many seconds before the last committed one is a second reading of it.
_BEFORE: Final = 0.25


class Agreement:
    """The words of one stream: `committed` ones still inside the window, and the volatile `tail` behind them."""

    def __init__(self) -> None:
        self.committed: list[Word] = []
        self.tail: tuple[Word, ...] = ()
        self._until = -math.inf

    @property
    def until(self) -> float:
        """The end of the last committed word in media seconds."""
        return self._until

    def insert(self, heard: Sequence[Word], *, edge: float = math.inf, settled: float = -math.inf) -> tuple[Word, ...]:
        """Take a new recognition of the window; gives the words that it commits.

        Words are committed from the front on while the recognition before said the same, up to `edge` seconds (where
        the sound ends, words are cut in half); those that end by `settled` are committed as they are.
        """
        new = self._behind_committed(heard)
        agreed = 0
        for now, before in zip(new, self.tail, strict=False):
            if key(now.text) != key(before.text) or now.end > edge:
                break
            agreed += 1
        while agreed < len(new) and new[agreed].end <= settled:
            agreed += 1
        self.tail = new[agreed:]
        return self._commit(new[:agreed])

    def settle(self) -> tuple[Word, ...]:
        """Commit the tail as it is: nothing more will be heard of it."""
        rest, self.tail = self.tail, ()
        return self._commit(rest)

    def forget(self, seconds: float) -> None:
        """The window begins at `seconds` now: committed words before it are heard no more."""
        self.committed = [word for word in self.committed if word.end > seconds + 0.05]

    def _commit(self, words: Sequence[Word]) -> tuple[Word, ...]:
        """Words as committed: none begins before the one before it ends."""
        taken = []
        for word in words:
            start = max(word.start, self._until)
            self._until = max(word.end, start)
            taken.append(Word(start, self._until, word.text, word.probability))
        self.committed += taken
        return tuple(taken)

    def _behind_committed(self, heard: Sequence[Word]) -> tuple[Word, ...]:
        """The part of a recognition that lies behind the committed words.

        They may have been heard a little differently this time, so that the beginning of `heard` is sought that is
        nearest to them (fewest edits, then nearest in time); times alone would repeat or swallow words.
        """
        said = [key(word.text) for word in self.committed]
        row = [float(cost) for cost in range(len(heard) + 1)]
        for at, wanted in enumerate(said, 1):
            above, row = row, [float(at)]
            for n, word in enumerate(heard, 1):
                swap = 0.0 if key(word.text) == wanted else 1.0
                row.append(min(above[n - 1] + swap, above[n] + 1.0, row[n - 1] + 1.0))
        best = 0
        if said:
            ends = [self.committed[0].start, *(word.end for word in heard)]
            best = min(range(len(row)), key=lambda n: (row[n], abs(ends[n] - self._until)))
        while best < len(heard) and heard[best].end < self._until - _BEFORE:
            best += 1
        return tuple(heard[best:])
