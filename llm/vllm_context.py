"""One film's or camera's memory in front of a language model that a vLLM server runs.

Every question sends the whole prompt: the memory's layout, then what the question adds. The server reads only what it
has not read before: its prefix cache knows a block of 16 tokens by its own embeddings and all before it (vLLM hashes
their bytes, https://docs.vllm.ai/en/stable/design/prefix_caching/). So the beginning of two prompts has to be the same
bit for bit, which it is between two consolidations: what is appended stands at the end, and a still scene's longer last
entry has the same two tokens. After a consolidation, which is once in many minutes (`MemoryBank`), the new layout is
sent ahead of the next question in idle time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from datetime import tzinfo
from typing import Final

import torch
from torch import Tensor

from llama_vid.errors import QuestionError
from llama_vid.llm.decoding import LOOP_TOKENS, UNFINISHED, Spelling, circles
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import MARKS
from llama_vid.llm.prompt_rows import PromptRows, common_rows
from llama_vid.llm.reading import Wanted
from llama_vid.llm.session import RESERVE, VideoContext
from llama_vid.llm.steps import Pause
from llama_vid.llm.vllm_errors import VllmError
from llama_vid.llm.vllm_language import VllmLanguage
from llama_vid.llm.vllm_line import Arriving
from llama_vid.llm.vllm_request import Sampling
from llama_vid.memory.entry import MemoryEntry

logger = logging.getLogger(__name__)

#: Seconds that the tensors' thread waits for a token before it lets frames and other questions have their turn.
LOOK_S: Final = 0.001
#: Tokens that the server has not read yet from which on they are sent ahead of a question: what a GPU reads in a tenth
#: of a second. A quarter of an hour of moving frames is as much.
AHEAD_TOKENS: Final = 2048


class VllmContext:
    """As `VideoContext`, without a KV cache here. All calls belong to the thread that owns the tensors."""

    def __init__(
        self, model: VllmLanguage, *, zone: tzinfo | None = None, marks: int = MARKS, reserve: int = RESERVE
    ) -> None:
        self._model, self._zone, self._marks, self._reserve = model, zone, marks, reserve
        self._rows = PromptRows(model)
        self._entries: Sequence[MemoryEntry] = ()
        self._sent: Tensor | None = None  # the rows that the server was last sent
        self._local: VideoContext | None = None
        self._open = 0

    @property
    def length(self) -> int:
        """Tokens of the memory's layout."""
        return len(self._rows)

    @property
    def cached_bytes(self) -> int:
        """Bytes of KV cache on this machine: only where the server failed and we answered ourselves."""
        return 0 if self._local is None else self._local.cached_bytes

    @property
    def busy(self) -> bool:
        """Whether it is being asked."""
        return self._open > 0

    def fits(self, _entries: Sequence[MemoryEntry]) -> bool:
        """Whether idle time may have a memory read that nobody asks about: no, the server's cache is others' too."""
        return False

    def sync(self, entries: Sequence[MemoryEntry]) -> None:
        """Lay out exactly `entries` for the questions that follow."""
        for _ in self.syncing(entries):
            pass

    def syncing(self, entries: Sequence[MemoryEntry]) -> Generator[int, None, None]:
        """Like `sync`; what is much and new to the server is sent ahead. Yields the tokens left while it reads them."""
        self._lay_out(entries)
        rows = self._rows.rows
        unread = len(rows) - self._common(rows)
        line = self._model.line
        if unread < AHEAD_TOKENS or line.down is not None:
            return
        arriving = line.stream(rows, Sampling(1), self._model.embed)
        try:
            while arriving.take(LOOK_S) is not None:
                yield unread
            self._sent = rows
        except VllmError:
            pass  # the line has said why; the next question sends it all
        finally:
            arriving.close()

    def catching_up(self, entries: Sequence[MemoryEntry]) -> Generator[int, None, None]:
        """Make a question possible at once: nothing has to be read here."""
        self._lay_out(entries)
        yield from ()

    def generate(
        self,
        suffix: Tensor,
        *,
        max_tokens: int,
        stop: Collection[int] = (),
        cancel: Callable[[], bool] = lambda: False,
        loop: int = LOOP_TOKENS,
    ) -> Iterator[str]:
        """The answer to `suffix` (n, D) behind the memory as it is now, as `VideoContext.generate` gives it.

        A piece may be a `Pause`: nothing has come yet. Raises QuestionError if the suffix does not fit behind the
        memory, and while it is pulled VllmError, unless this machine can answer itself.
        """
        rows, entries = self._rows.rows, self._entries
        if not len(suffix):
            raise ValueError("a suffix needs one token at least")
        room = self._model.context - len(rows) - len(suffix)
        if room < 1:
            raise QuestionError(
                f"the question takes {len(suffix)} tokens, but the language model's context has only "
                f"{self._model.context - len(rows)} left beside the memory; ask a shorter question"
            )
        prompt = torch.cat([rows, suffix.to(self._model.device, self._model.dtype)])
        sampling = Sampling(min(max_tokens, room), stop_ids(self._model, stop))
        arriving = None
        if self._model.local is None or self._model.line.down is None:
            # Sent before it is pulled: the server reads while this thread does something else.
            arriving = self._model.line.stream(prompt, sampling, self._model.embed)
            self._sent = prompt
        self._open += 1
        return self._answering(arriving, suffix, entries, sampling, cancel, loop)

    def release(self) -> None:
        """Drop what is laid out; the next `sync` lays it out again."""
        self._rows = PromptRows(self._model)
        self._sent, self._local = None, None

    def forget(self) -> None:
        """As `release`. What the server has read stays in its cache until it is pushed out there."""
        self.release()
        self._entries = ()

    def _answering(
        self,
        arriving: Arriving | None,
        suffix: Tensor,
        entries: Sequence[MemoryEntry],
        sampling: Sampling,
        cancel: Callable[[], bool],
        loop: int,
    ) -> Iterator[str]:
        said: list[int] = []
        try:
            if arriving is not None:
                try:
                    yield from self._arriving(arriving, said, sampling.stop, cancel, loop)
                    return
                except VllmError as problem:
                    if self._model.local is None:
                        raise
                    logger.warning("%s; the language model here answers", problem)
            if cancel() or len(said) >= sampling.max_tokens:
                return
            while said and self._model.detokenize(said).endswith(UNFINISHED):
                said.pop()  # bytes of a character that was not shown yet: written anew, with what belongs to them
            local = self._here(self._model.local)
            for _ in local.catching_up(entries):
                yield ""
            more = torch.cat([suffix, self._model.embed(said).to(suffix)]) if said else suffix
            most = sampling.max_tokens - len(said)
            yield from local.generate(more, max_tokens=most, stop=sampling.stop, cancel=cancel, loop=loop)
        finally:
            self._open -= 1
            if arriving is not None:
                arriving.close()

    def _arriving(
        self, arriving: Arriving, said: list[int], stop: Collection[int], cancel: Callable[[], bool], loop: int
    ) -> Iterator[str]:
        """The pieces that come from the server; `said` takes their tokens. Ends as a local answer does."""
        spelling = Spelling(self._model)
        while not cancel() and (chunk := arriving.take(LOOK_S)) is not None:
            piece, over = "", False
            for token in chunk.ids:
                if token in stop:
                    over = True
                    break
                said.append(token)
                if circles(said, loop):
                    over = True
                    break
                piece += spelling.spell(token)
            if piece or not over:
                yield piece or Pause()
            if over:
                return

    def _here(self, model: LanguageModel | None) -> VideoContext:
        """The memory in front of this machine's own language model."""
        assert model is not None  # whoever comes here has seen it
        if self._local is None:
            self._local = VideoContext(model, zone=self._zone, marks=self._marks, reserve=self._reserve)
        return self._local

    def _lay_out(self, entries: Sequence[MemoryEntry]) -> None:
        wanted = Wanted.of(entries, zone=self._zone, marks=self._marks, preface=self._model.preface)
        self._rows.lay_out(wanted.segments)
        self._entries = entries

    def _common(self, rows: Tensor) -> int:
        """How many rows at the beginning are those that the server was sent last."""
        return 0 if self._sent is None else common_rows(self._sent, rows)


def stop_ids(model: VllmLanguage, stop: Collection[int]) -> tuple[int, ...]:
    """The tokens that end an answer: those of `stop`, and whatever is no text."""
    return tuple(sorted({*stop, *model.eos, *model.control}))
