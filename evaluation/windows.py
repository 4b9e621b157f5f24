"""Times from the two tokens alone: a yes/no question put to short windows of pairs, one after another.

A window holds the pairs of one frame, or of two that follow each other, behind a time mark. The language model's margin
of yes over no says how much a window shows what is asked; over the film's windows it rises where something begins and
falls where it ends. The turning point is where it crosses the middle between its lowest and its highest value, so that
a bias towards yes or no, which every question has, takes no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from torch import Tensor

from evaluation.model import VideoModel
from llama_vid.memory.entry import MemoryEntry
from llama_vid.token_route import mean_context, without
from llama_vid.tokenizer.pair import TokenPair

FLAT: Final = 0.25  # a margin that varies by less says the same of every window


class Windows:
    """The pairs of films by their entries; with `drop` without what one of the two tokens carries."""

    def __init__(self, model: VideoModel, *, drop: str = "") -> None:
        self._model: Any = model
        self._drop = drop
        self._mean: Tensor | None = None

    def average_over(self, paths: Sequence[str]) -> None:
        """Let the mean context token of these films stand for a dropped one."""
        films = ([entry.pair for entry in self._model.open(path).entries] for path in paths)
        self._mean = mean_context(films)

    def entries(self, path: str, *, last_frame_only: bool = False) -> list[MemoryEntry]:
        """Memory of a film in time order, its pairs as `drop` leaves them."""
        found = list(self._model.open(path, last_frame_only=last_frame_only).entries)
        return [replace(entry, pair=self._left(entry.pair)) for entry in found]

    def margins(self, entries: Sequence[MemoryEntry], question: str, size: int) -> list[float]:
        """The margin of yes over no for the window that ends with each entry; the first has `size` - 1 fewer pairs.

        Windows of one length are read at once.
        """
        pairs = [entry.pair for entry in entries]
        windows = [pairs[max(0, i + 1 - size) : i + 1] for i in range(len(pairs))]
        out = [0.0] * len(windows)
        for length in sorted({len(window) for window in windows}):
            rows = [i for i, window in enumerate(windows) if len(window) == length]
            for row, margin in zip(rows, self.read([windows[i] for i in rows], question), strict=True):
                out[row] = margin
        return out

    def read(self, windows: Sequence[Sequence[TokenPair]], question: str) -> list[float]:
        """The margin of yes over no for windows of as many pairs each."""
        found: list[float] = self._model.responder.find.margins(windows, question)
        return found

    def _left(self, pair: TokenPair) -> TokenPair:
        return without(pair, self._drop, still=self._model.bundle.compressor.still_token, mean=self._mean)


def shown(margins: Sequence[float]) -> list[bool]:
    """Which windows show what is asked: those above the middle between the lowest and the highest margin.

    None do where the margin hardly varies.
    """
    if not margins or max(margins) - min(margins) < FLAT:
        return [False] * len(margins)
    middle = (max(margins) + min(margins)) / 2
    return [margin > middle for margin in margins]


def begins(entries: Sequence[MemoryEntry], flags: Sequence[bool]) -> float | None:
    """The second at which the first flagged entry starts; None if none is flagged."""
    return next((entry.start for entry, flag in zip(entries, flags, strict=True) if flag), None)


def ends(entries: Sequence[MemoryEntry], flags: Sequence[bool]) -> float | None:
    """The second at which the last flagged entry ends; None if none is flagged."""
    found = [entry.end for entry, flag in zip(entries, flags, strict=True) if flag]
    return found[-1] if found else None


def lasts(entries: Sequence[MemoryEntry], flags: Sequence[bool]) -> float:
    """How many seconds the flagged entries take in all."""
    return sum(entry.end - entry.start for entry, flag in zip(entries, flags, strict=True) if flag)
