"""What a KV cache has read: the segments of a memory's layout, and where each ends in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final, Self

import torch
from torch import Tensor

from llama_vid.llm.cache import KVCache, Snapshot
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import Segment, layout, same
from llama_vid.llm.preface import Preface
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair

#: Tokens that are prefilled at once, so that a question waits no longer for its turn: 0.2 s on two CPU cores at the
#: beginning of a memory, half a second behind an hour.
BATCH_TOKENS: Final = 256
_NEVER: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A memory's layout, and for each segment the start of the newest entry read once it is read.

    An entry whose end grows while its pair stays (a still scene) is the same: its tokens do not change.
    """

    segments: Sequence[Segment]
    starts: Sequence[float]

    @classmethod
    def of(
        cls, entries: Sequence[MemoryEntry], *, zone: tzinfo | None, marks: int, preface: Preface | None = None
    ) -> Self:
        """The layout of `entries`, in time order."""
        segments = layout(entries, zone=zone, marks=marks, preface=preface)
        starts: list[float] = []
        left = iter(entries)
        for segment in segments:
            if isinstance(segment, TokenPair):
                starts.append(next(left).start)
            else:
                starts.append(starts[-1] if starts else _NEVER)
        return cls(segments, starts)

    def newer(self, start: float) -> int:
        """The first segment that belongs to entries that start after `start`."""
        at = next((index for index, each in enumerate(self.starts) if each > start), len(self.segments))
        return at - 1 if 0 < at < len(self.segments) and isinstance(self.segments[at - 1], str) else at


class Reading:
    """A KV cache with the segments that are in it. It only grows; a change is a branch."""

    def __init__(self, model: LanguageModel, cache: KVCache | None = None) -> None:
        self._model = model
        self.cache = cache or model.new_cache()
        self.segments: list[Segment] = []
        self._starts: list[float] = []
        self._ends: list[int] = []  # tokens up to and including each segment

    @property
    def until(self) -> float:
        """The start of the newest entry that was read."""
        return self._starts[-1] if self._starts else _NEVER

    def snapshot(self) -> Snapshot:
        """What is read now, for a question."""
        return Snapshot(self.cache, self.cache.length)

    def common(self, wanted: Wanted) -> int:
        """How many segments at the beginning are those of `wanted`."""
        kept = 0
        for old, new in zip(self.segments, wanted.segments, strict=False):
            if not same(old, new):
                break
            kept += 1
        return kept

    def begins(self, wanted: Wanted) -> bool:
        """Whether all that was read is the beginning of `wanted`."""
        return self.common(wanted) == len(self.segments)

    def branch(self, kept: int) -> Reading:
        """One that has read the first `kept` segments, on the same pages, and goes on by itself."""
        twin = Reading(self._model, self.cache.branch(self._ends[kept - 1] if kept else 0))
        twin.segments, twin._starts, twin._ends = self.segments[:kept], self._starts[:kept], self._ends[:kept]
        return twin

    def read(self, wanted: Wanted, at: int, room: int | None = None) -> int:
        """Read segments of `wanted` from `at` on: one batch of at most BATCH_TOKENS tokens. Gives where to go on.

        No segment is divided (none is that long). With `room`, at most so many tokens in the cache: if the next segment
        does not fit, nothing is read. Raises LlamaVidError if they exceed the context window or the pool.
        """
        most = BATCH_TOKENS if room is None else min(BATCH_TOKENS, room - self.cache.length)
        batch: list[Tensor] = []
        count = 0
        for segment in wanted.segments[at:]:
            tokens = embedded(self._model, segment)
            if count + len(tokens) > most and (batch or room is not None):
                break
            batch.append(tokens)
            count += len(tokens)
        if not batch:
            return at
        stop = at + len(batch)
        end = self.cache.length
        self._model.forward(torch.cat(batch), self.cache)
        for tokens in batch:
            end += len(tokens)
            self._ends.append(end)
        self.segments.extend(wanted.segments[at:stop])
        self._starts.extend(wanted.starts[at:stop])
        return stop


def embedded(model: LanguageModel, segment: Segment) -> Tensor:
    """Input embeddings (n, D) of one segment."""
    if isinstance(segment, str):
        return model.embed_text(segment)
    if isinstance(segment, Preface):
        return model.embed([*segment.begin, *model.tokenize(segment.text)])
    if segment.motion.dim() == 2:  # a frame in more than two tokens: evidence of a published checkpoint
        return torch.cat((segment.context[None], segment.motion)).to(model.device, model.dtype)
    return torch.stack((segment.context, segment.motion)).to(model.device, model.dtype)


def embed_segments(model: LanguageModel, segments: Sequence[Segment]) -> Tensor:
    """Input embeddings (n, D) of a layout, as the language model reads it: for an evidence block before a question."""
    if not segments:
        return model.embed([])
    return torch.cat([embedded(model, segment) for segment in segments])
