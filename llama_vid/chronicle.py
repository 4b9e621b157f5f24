"""What a camera has seen, told scene by scene while it watches, so that its timeline is there when it is asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

from llama_vid.llm.answer import Span
from llama_vid.llm.evidence import Finder
from llama_vid.llm.scenes import Scene, scenes
from llama_vid.memory.bank import MemoryBank
from llama_vid.memory.entry import MemoryEntry

#: Told scenes that are kept, the newest: hours of a busy street, weeks of a quiet room; some 300 bytes each.
KEPT: Final = 10_000
#: Scenes that may wait for the language model's sentence; what is older gets a plain one, so that telling keeps pace.
WAITING: Final = 32


class Chronicle:
    """The captioned scenes of a memory. What is told stays as it is when memory consolidates its entries.

    The language model takes up to a second for a sentence, so it tells each scene once, when it is over and there is
    time; until then the scene has the plain sentence that its picture matches best. All calls belong to the thread
    that owns the tensors.
    """

    def __init__(self, bank: MemoryBank, find: Finder) -> None:
        self._bank, self._find = bank, find
        self._spans: list[Span] = []
        self._until = float("-inf")  # start of the last entry that was told

    def telling(self) -> Iterator[None]:
        """Tell the scenes that are over, one by the language model at each step. May be closed and called anew."""
        while True:
            entries, found = self._waiting()
            if len(found) < 2:
                return
            self._keep(found[0], entries, self._find.caption([entries[found[0].told]])[0])
            yield

    def spans(self, start: float, end: float) -> list[Span]:
        """The scenes that share time with [start, end], the present one included, in time order."""
        entries, found = self._waiting()
        told = self._spans[bisect_right(self._spans, start, key=lambda span: span.end) :]
        return [
            *(span for span in told if span.start <= end),
            *(
                _span(scene, self._find.plain(entries[scene.told]))
                for scene in found
                if scene.end > start and scene.start <= end
            ),
        ]

    def _waiting(self) -> tuple[Sequence[MemoryEntry], list[Scene]]:
        """The entries that are not told, and their scenes: the last goes on, at most WAITING before it are over."""
        entries = self._bank.entries
        entries = entries[bisect_right(entries, self._until, key=lambda entry: entry.start) :]
        found = scenes(entries)
        late = max(0, len(found) - 1 - WAITING)
        for scene in found[:late]:
            self._keep(scene, entries, self._find.plain(entries[scene.told]))
        return entries, found[late:]

    def _keep(self, scene: Scene, entries: Sequence[MemoryEntry], caption: str) -> None:
        self._spans.append(_span(scene, caption))
        self._until = entries[scene.last].start
        if len(self._spans) > KEPT:
            del self._spans[: KEPT // 10]


def _span(scene: Scene, caption: str) -> Span:
    return Span(round(scene.start, 3), round(scene.end, 3), caption, round(scene.motion, 4))
