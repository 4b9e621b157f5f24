"""One film's or camera's conversation with the language model: its memory stays read, questions branch off from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from datetime import tzinfo
from typing import Final

from torch import Tensor

from llama_vid.errors import QuestionError
from llama_vid.llm.batching import Answering, Batch, Request
from llama_vid.llm.cache import Snapshot
from llama_vid.llm.decoding import LOOP_TOKENS
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import MARKS
from llama_vid.llm.pages import PAGE_TOKENS
from llama_vid.llm.reading import BATCH_TOKENS, Reading, Wanted, embed_segments, embedded
from llama_vid.memory.budget import ANSWER_TOKENS, EVIDENCE_FRAMES, MARK_TOKENS, PAIR_TOKENS, PROMPT_TOKENS
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair

__all__ = ["BATCH_TOKENS", "RESERVE", "VideoContext", "embed_segments"]

#: Tokens that are kept free behind an old layout for question, evidence and answer.
RESERVE: Final = PROMPT_TOKENS + EVIDENCE_FRAMES * (PAIR_TOKENS + MARK_TOKENS) + ANSWER_TOKENS


class VideoContext:
    """The KV cache of one film or camera.

    `sync` makes it hold a memory's entries; `generate` and `logits` answer suffixes behind it, which leave it as it
    was: while an answer is under way, `sync` may append or rebuild and other questions may be asked. Questions under
    way at the same time share their steps. When the model's pool has no page left, a context that was not used for
    longest is released and prefills again when it is asked. Not thread-safe: all calls belong to the one thread that
    owns the tensors.
    """

    def __init__(
        self, model: LanguageModel, *, zone: tzinfo | None = None, marks: int = MARKS, reserve: int = RESERVE
    ) -> None:
        self._model = model
        self._zone = zone
        self._marks = marks
        self._reserve = reserve
        self._front: Reading | None = None  # what questions see
        self._next: Reading | None = None  # what will replace it, if something earlier changed
        self._batch = Batch(model)
        self._known: tuple[Sequence[MemoryEntry], Wanted] | None = None  # the layout asked for last
        self._writers = 0  # generators of syncing and catching_up that are under way
        self._era = 0  # grows when part of the memory was forgotten: what was wanted before is not read any more

    @property
    def length(self) -> int:
        """Tokens that are prefilled."""
        return 0 if self._front is None else self._front.cache.length

    @property
    def cached_bytes(self) -> int:
        """Bytes of its pages, those of a rebuild under way included; pages shared by both count once."""
        pages = {page for reading in (self._front, self._next) if reading for page in reading.cache.pages}
        return len(pages) * PAGE_TOKENS * self._model.pool.shape.bytes_per_token

    @property
    def busy(self) -> bool:
        """Whether it is being prefilled or asked: the pool then leaves it its pages."""
        return self._writers > 0 or self._batch.busy

    def fits(self, entries: Sequence[MemoryEntry]) -> bool:
        """Whether reading `entries` takes no page from another context: what idle time may do unasked."""
        pool = self._model.pool
        tokens = PAIR_TOKENS * len(entries) + MARK_TOKENS * self._marks
        held = len(self._front.cache.pages) if self._front is not None else 0
        return -(-tokens // PAGE_TOKENS) - held <= pool.free

    def sync(self, entries: Sequence[MemoryEntry]) -> None:
        """Hold exactly `entries`: prefill what is new, or everything from the first entry that changed.

        Raises LlamaVidError if they exceed the context window, or if the pool can release nothing for them.
        """
        for _ in self.syncing(entries):
            pass

    def syncing(self, entries: Sequence[MemoryEntry]) -> Generator[int, None, None]:
        """Like `sync`, in batches of at most BATCH_TOKENS: yields the tokens left after each batch but the last.

        The caller may serve questions between batches. They see what was appended so far; while something earlier is
        being rebuilt, in a second cache, they see the memory as it was before (`catching_up` reads what is new behind
        it). May be closed at any batch: a rebuild goes on where it stopped if what it has read is still the beginning
        of what is wanted then.
        """
        wanted = self._wanted(entries)
        mine: Reading | None = None
        era = self._era
        with self._writing():
            while era == self._era:
                front = self._opened()
                mine = self._best(wanted, [each for each in (front, self._next, mine) if each is not None])
                self._next = None if mine is front else mine
                at = mine.read(wanted, len(mine.segments))
                if at == len(wanted.segments):
                    break
                # Someone else may write meanwhile (another question, newer frames): look again at what is there.
                yield self._tokens(wanted, at)
            else:
                return
            self._front, self._next = mine, None
            del mine, front
            self._model.pool.settle()  # what was replaced goes back at once

    def catching_up(self, entries: Sequence[MemoryEntry]) -> Generator[int, None, None]:
        """Make a question possible at once: prefill what is newer than what was read, in batches as `syncing` does.

        If something earlier has changed, the old layout stays (a rebuild is for idle time) and newer entries are read
        behind it, as long as the reserve for question and answer is left. Yields the tokens left after each batch.
        """
        wanted = self._wanted(entries)
        era = self._era
        with self._writing():
            while era == self._era:
                front = self._opened()
                kept = front.common(wanted)
                if kept == len(front.segments):
                    room, at = None, kept
                elif kept == len(wanted.segments):
                    return  # all of it, and more
                else:
                    room, at = self._model.context - self._reserve, wanted.newer(front.until)
                stop = front.read(wanted, at, room) if at < len(wanted.segments) else at
                if stop == at or stop == len(wanted.segments):
                    return
                yield self._tokens(wanted, stop)

    def generate(
        self,
        suffix: Tensor,
        *,
        max_tokens: int,
        stop: Collection[int] = (),
        cancel: Callable[[], bool] = lambda: False,
        loop: int = LOOP_TOKENS,
    ) -> Answering:
        """The answer to `suffix` (n, D) after the memory as it is now, greedily, in pieces of whole characters.

        Ends at an end token or one of `stop`, after `max_tokens` (or where the context window ends), when it repeats
        itself (the same `loop` tokens), or soon after `cancel()` turns true; closing or dropping the iterator frees it.
        Pulling it may work for other answers too, and gives "" when this one has to wait. Raises QuestionError if the
        suffix does not fit behind the memory.
        """
        room = min(max_tokens, self._room(suffix))
        return self._batch.ask(Request(suffix, self._snapshot(), room, stop, cancel, loop=loop))

    def logits(self, suffix: Tensor) -> Tensor:
        """Scores (V,) in float32 of the token after `suffix` (n, D) behind the memory. Raises like `generate`."""
        self._room(suffix)
        return Batch(self._model).scores(Request(suffix, self._snapshot(), 0))

    def release(self) -> None:
        """Free the cache; the next `sync` prefills everything again. Answers under way keep theirs until they end."""
        self._front = self._next = None

    def forget(self) -> None:
        """As `release`; what of an older memory is being read is given up, too, so that nothing of it comes back."""
        self.release()
        self._known = None
        self._era += 1

    def _best(self, wanted: Wanted, readings: list[Reading]) -> Reading:
        """The reading that has most of `wanted` and can go on to it; a branch where none can, or one saves more."""
        common = [reading.common(wanted) for reading in readings]
        whole = [count for count, one in zip(common, readings, strict=True) if count == len(one.segments)]
        most = max(common)
        if whole and max(whole) == most:
            return next(one for one in readings if len(one.segments) == most and one.begins(wanted))
        known = readings[common.index(most)]
        self._next = None  # its pages may be needed
        readings.clear()
        return known.branch(most)

    def _opened(self) -> Reading:
        self._model.pool.touch(self)
        self._batch.prune()
        if self._front is None:
            self._front = Reading(self._model)
        return self._front

    def _snapshot(self) -> Snapshot:
        return self._opened().snapshot()

    def _wanted(self, entries: Sequence[MemoryEntry]) -> Wanted:
        known = self._known
        if known is None or known[0] is not entries or not isinstance(entries, tuple):  # a list may have changed
            wanted = Wanted.of(entries, zone=self._zone, marks=self._marks, preface=self._model.preface)
            self._known = known = (entries, wanted)
        return known[1]

    def _tokens(self, wanted: Wanted, at: int) -> int:
        """Tokens of the segments from `at` on."""
        return sum(
            PAIR_TOKENS if isinstance(segment, TokenPair) else len(embedded(self._model, segment))
            for segment in wanted.segments[at:]
        )

    @contextmanager
    def _writing(self) -> Generator[None, None, None]:
        self._writers += 1
        try:
            yield
        finally:
            self._writers -= 1

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
