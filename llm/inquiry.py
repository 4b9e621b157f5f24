"""One question under way: the memory it is put to, the entries it is about, and the evidence found so far."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Protocol

from torch import Tensor

from llama_vid.llm.answer import Evidence
from llama_vid.llm.decoding import LOOP_TOKENS
from llama_vid.llm.questions import Question
from llama_vid.llm.recall import Archive
from llama_vid.llm.transcript import Heard
from llama_vid.llm.words import clock, stretch
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair


class ReadMemory(Protocol):
    """A memory in front of the language model: `VideoContext`, or `VllmContext` where the model runs elsewhere."""

    def catching_up(self, entries: Sequence[MemoryEntry], /) -> Iterator[int]: ...
    def generate(
        self,
        suffix: Tensor,
        *,
        max_tokens: int,
        stop: Collection[int] = (),
        cancel: Callable[[], bool] = ...,
        loop: int = LOOP_TOKENS,
    ) -> Iterator[str]: ...


class Watched(Protocol):
    """A memory as answers see it. `zone` is None for recordings; `reread` gives frames' pairs anew under a guide,
    `regions` embeddings (n, R, E) of parts of them, `people` the log odds (n,) that they show some (None where there
    are none), `classes` the mean chances of what a classifier sees in them, by name (`PhotoClasses.told`). `heard` is
    what was said meanwhile, where anything can hear it.

    `archive` holds in detail what `entries` hold coarsely, where there is one. `guide` is the text with which in mind
    the frames were read as they came, if there was one.
    """

    @property
    def entries(self) -> tuple[MemoryEntry, ...]: ...
    @property
    def frames(self) -> int: ...
    @property
    def zone(self) -> tzinfo | None: ...
    @property
    def context(self) -> ReadMemory: ...
    @property
    def archive(self) -> Archive | None: ...
    @property
    def heard(self) -> Heard | None: ...
    @property
    def guide(self) -> str | None: ...
    def reread(self, seconds: Sequence[float], guide_text: str) -> list[TokenPair]: ...
    def regions(self, seconds: Sequence[float]) -> Tensor | None: ...
    def people(self, seconds: Sequence[float]) -> Tensor | None: ...
    def classes(self, seconds: Sequence[float]) -> Mapping[str, float]: ...


@dataclass(slots=True)
class Inquiry:
    """A sorted question and what it is put to. `entries` are those within the time that it names."""

    question: Question
    watched: Watched
    entries: tuple[MemoryEntry, ...]
    cancel: Callable[[], bool]
    now: float = 0.0  # the end of memory: what "yesterday" is counted from
    evidence: list[Evidence] = field(default_factory=list)

    def note(self, start: float, end: float, score: float, caption: str) -> None:
        """Add a span to the evidence."""
        self.evidence.append(Evidence(round(start, 3), round(end, 3), round(score, 4), caption))

    def clock(self, seconds: float) -> str:
        """A time in words, of the recording or the camera's zone."""
        return clock(seconds, self.watched.zone, now=self.now)

    def stretch(self, start: float, end: float) -> str:
        """A span in words."""
        return stretch(start, end, self.watched.zone, now=self.now)

    def run(self, run: tuple[int, int]) -> str:
        """A run [first, last] of entries in words."""
        return self.stretch(self.entries[run[0]].start, self.entries[run[1]].end)

    @property
    def seconds(self) -> float:
        """How long the entries are in all, gaps included."""
        return self.entries[-1].end - self.entries[0].start
