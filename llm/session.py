"""One film's or camera's conversation with the language model: its memory stays read, questions branch off from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from datetime import tzinfo
from typing import Final

import torch
from torch import Tensor

from llama_vid.errors import QuestionError
from llama_vid.llm.cache import ForkedCache, KVCache
from llama_vid.llm.decoding import decode, pieces
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import MARKS, Segment, layout, same
from llama_vid.memory.entry import MemoryEntry

#: Tokens that are prefilled at once: 0.2 s on two CPU cores, so that a question waits no longer for its turn.
BATCH_TOKENS: Final = 256


class VideoContext:
    """The KV cache of one film or camera.

    `sync` makes it hold a memory's entries; `generate` and `logits` answer suffixes on forks of it, which leave it as
    it was: while an answer is under way, `sync` may append or rebuild and other questions may be asked. Not
    thread-safe: all calls belong to the one thread that owns the tensors.
    """

    def __init__(self, model: LanguageModel, *, zone: tzinfo | None = None, marks: int = MARKS) -> None:
        self._model = model
        self._zone = zone
        self._marks = marks
        self._cache: KVCache | None = None
        self._segments: list[Segment] = []
        self._ends: list[int] = []  # tokens up to and including each segment

    @property
    def length(self) -> int:
        """Tokens that are prefilled."""
        return 0 if self._cache is None else self._cache.length

    def sync(self, entries: Sequence[MemoryEntry]) -> None:
        """Hold exactly `entries`: prefill what is new, or everything from the first entry that changed.

        Raises LlamaVidError if they exceed the context window.
        """
        for _ in self.syncing(entries):
            pass

    def syncing(self, entries: Sequence[MemoryEntry]) -> Generator[int, None, None]:
        """Like `sync`, in batches of at most BATCH_TOKENS: yields the tokens left after each batch but the last.

        The caller may serve questions between batches. They see what was appended so far; while something earlier is
        being rebuilt they see the memory as it was before. May be closed at any batch and called anew.
        """
        wanted = layout(entries, zone=self._zone, marks=self._marks)
        kept = 0
        for old, new in zip(self._segments, wanted, strict=False):
            if not same(old, new):
                break
            kept += 1
        embeds = [_embedded(self._model, segment) for segment in wanted[kept:]]
        left = sum(len(tokens) for tokens in embeds)
        rebuilt = kept < len(self._segments)
        cache = self._cache
        if cache is None:
            cache = self._cache = self._model.new_cache()
        elif rebuilt:
            # Answers under way still read the old tokens, so the new ones go to a second cache, swapped in when done.
            cache = cache.copy_of(self._ends[kept - 1] if kept else 0)
        segments, ends = (self._segments[:kept], self._ends[:kept]) if rebuilt else (self._segments, self._ends)
        at = kept
        for batch in _batches(embeds):
            self._model.forward(torch.cat(batch), cache)
            for tokens in batch:
                ends.append((ends[-1] if ends else 0) + len(tokens))
            segments.extend(wanted[at : at + len(batch)])
            at += len(batch)
            left -= sum(len(tokens) for tokens in batch)
            if left:
                yield left
                if not rebuilt and (self._segments is not segments or len(segments) != at):
                    # Another caller wrote meanwhile (a question while frames follow): on from what is there now.
                    yield from self.syncing(entries)
                    return
        self._cache, self._segments, self._ends = cache, segments, ends

    def generate(
        self,
        suffix: Tensor,
        *,
        max_tokens: int,
        stop: Collection[int] = (),
        cancel: Callable[[], bool] = lambda: False,
    ) -> Iterator[str]:
        """The answer to `suffix` (n, D) after the memory, greedily, in pieces of whole characters, as they come.

        Ends at an end token or one of `stop`, after `max_tokens` (or where the context window ends), when it repeats
        itself, or soon after `cancel()` turns true; closing the iterator frees it. Raises QuestionError if the suffix
        does not fit behind the memory.
        """
        # Not a generator itself: the fork is of the memory at the time of the call, and errors come at once.
        room = min(max_tokens, self._room(suffix))
        fork = self._fork(len(suffix) + room)

        def tokens() -> Iterator[int]:
            if cancel():
                return
            hidden = self._model.forward(suffix, fork)[-1]
            yield from decode(self._model, fork, hidden, max_tokens=room, stop=stop, cancel=cancel)

        return pieces(self._model, tokens())

    def logits(self, suffix: Tensor) -> Tensor:
        """Scores (V,) in float32 of the token after `suffix` (n, D) behind the memory. Raises like `generate`."""
        self._room(suffix)
        hidden = self._model.forward(suffix, self._fork(len(suffix)))[-1]
        with torch.inference_mode():
            return self._model.logits(hidden)

    def release(self) -> None:
        """Free the cache; the next `sync` prefills everything again. Answers under way keep theirs until they end."""
        self._cache, self._segments, self._ends = None, [], []

    def _fork(self, capacity: int) -> ForkedCache:
        if self._cache is None:
            self._cache = self._model.new_cache()
        return self._cache.fork(capacity)

    def _room(self, suffix: Tensor) -> int:
        if not len(suffix):
            raise ValueError("a suffix needs one token at least")
        room = self._model.context - self.length - len(suffix)
        if room < 1:
            raise QuestionError(
                f"the question takes {len(suffix)} tokens, but the language model's context has only "
                f"{self._model.context - self.length} left beside the memory; ask a shorter question"
            )
        return room


def embed_segments(model: LanguageModel, segments: Sequence[Segment]) -> Tensor:
    """Input embeddings (n, D) of a layout, as the language model reads it: for an evidence block before a question."""
    if not segments:
        return model.embed([])
    return torch.cat([_embedded(model, segment) for segment in segments])


def _embedded(model: LanguageModel, segment: Segment) -> Tensor:
    if isinstance(segment, str):
        return model.embed_text(segment)
    return torch.stack((segment.context, segment.motion)).to(model.device, model.dtype)


def _batches(embeds: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Groups of at most BATCH_TOKENS tokens, segments never divided (none is that long)."""
    batch: list[Tensor] = []
    count = 0
    for tokens in embeds:
        if batch and count + len(tokens) > BATCH_TOKENS:
            yield batch
            batch, count = [], 0
        batch.append(tokens)
        count += len(tokens)
    if batch:
        yield batch
