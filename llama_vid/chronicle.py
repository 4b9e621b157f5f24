"""What a camera has seen, told scene by scene while it watches, so that its timeline is there when it is asked for."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from llama_vid.llm.answer import Span
from llama_vid.llm.evidence import Finder
from llama_vid.llm.scenes import Scene, scenes
from llama_vid.memory.bank import MemoryBank
from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.forgetting import WITHOUT_WORDS, rests
from llama_vid.memory.records import ToldSpan

if TYPE_CHECKING:
    from llama_vid.memory.journal import CameraJournal

#: Told scenes that are kept without a journal, the newest: hours of a busy street, weeks of a quiet room.
KEPT: Final = 10_000
#: Scenes that may wait for the language model's sentence; what is older gets a plain one, so that telling keeps pace.
WAITING: Final = 32
#: Times are rounded to milliseconds in what is told.
ROUNDED: Final = 0.001
DONE: Final = object()


class Chronicle:
    """The captioned scenes of a memory. What is told stays as it is when memory consolidates its entries.

    The language model takes up to a second for a sentence, so it tells each scene once, when it is over and there is
    time; until then the scene has the plain sentence that its picture matches best. With a `journal`, what is told is
    written there and read from there. All calls belong to the thread that owns the tensors.
    """

    def __init__(self, bank: MemoryBank, find: Finder, journal: CameraJournal | None = None) -> None:
        self._bank, self._find, self._journal = bank, find, journal
        self._spans: list[Span] = []
        self._until = float("-inf")  # start of the last entry that was told
        self._sentence: Iterator[object] | None = None  # the one that is being made

    def resume(self) -> None:
        """After memory was restored: what was told before is not told again."""
        told = self._journal.told(float("-inf"), float("inf"), limit=1) if self._journal is not None else []
        if told:
            starts = [entry.start for entry in self._bank.entries]
            behind = bisect_left(starts, told[-1].end - ROUNDED)
            self._until = starts[behind - 1] if behind else self._until

    def telling(self) -> Iterator[None]:
        """Tell the scenes that are over by the language model, in short steps. May be closed at any step and called
        anew: a sentence that was begun is gone on with.
        """
        while True:
            if self._sentence is None:
                entries, found = self._waiting()
                if len(found) < 2:
                    return
                self._sentence = self._tell(found[0], entries)
            if next(self._sentence, DONE) is DONE:
                self._sentence = None
            yield

    def _tell(self, scene: Scene, entries: Sequence[MemoryEntry]) -> Iterator[object]:
        caption = yield from self._find.captioning(entries[scene.told])
        if entries[scene.first].start > self._until:  # nobody has told it meanwhile
            self._keep(scene, entries, caption)

    def forget(self, start: float, end: float) -> None:
        """Nothing that was told of [start, end) is told any more; scenes keep their time outside of it, without words.
        The journal forgets by itself.
        """
        self._sentence = None
        spans: list[Span] = []
        for span in self._spans:
            if span.start < end and span.end > start:
                left = rests(span.start, span.end, start, end)
                spans += [Span(first, last, WITHOUT_WORDS, span.motion) for first, last in left]
            else:
                spans.append(span)
        self._spans = spans

    def note(self) -> None:
        """Write the scenes that are not told yet, the one that goes on among them, to the journal with plain sentences,
        so that a crash leaves them told; the language model's sentences replace these.
        """
        if self._journal is None:
            return
        entries, found = self._waiting()
        for scene in found:
            span = _span(scene, self._find.plain(entries[scene.told]))
            self._journal.tell(ToldSpan(span.start, span.end, span.caption, span.motion))

    def spans(self, start: float, end: float) -> list[Span]:
        """The scenes that share time with [start, end], the present one included, in time order."""
        entries, found = self._waiting()
        told: Sequence[Span] = self._spans[bisect_right(self._spans, start, key=lambda span: span.end) :]
        if self._journal is not None:
            # Scenes that wait may be there already, noted: they are told below.
            before = min([span.start for span in told[:1]] + [scene.start for scene in found[:1]], default=float("inf"))
            older = [Span(s.start, s.end, s.caption, s.motion) for s in self._journal.told(start, end)]
            told = [*(span for span in older if span.start < before - ROUNDED), *told]
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
        span = _span(scene, caption)
        self._spans.append(span)
        self._until = entries[scene.last].start
        if self._journal is not None:
            self._journal.tell(ToldSpan(span.start, span.end, span.caption, span.motion))
        if len(self._spans) > (KEPT if self._journal is None else WAITING):
            del self._spans[: len(self._spans) // 2]


def _span(scene: Scene, caption: str) -> Span:
    return Span(round(scene.start, 3), round(scene.end, 3), caption, round(scene.motion, 4))
