"""Questions on one memory that are answered side by side: one step moves all of them on.

Continuous batching (Yu et al. 2022, Orca, https://www.usenix.org/conference/osdi22/presentation/yu): whoever is pulled
next and finds no token waiting runs one step for everybody. A step reads the last token of every answer under way and
up to STEP_TOKENS of the questions that came since, in one forward (`packed.py`). So 32 questions cost hardly more
steps than one, and those who join or leave do not hold up the rest.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm.cache import Snapshot
from llama_vid.llm.decoding import LOOP_TOKENS, Spelling, circles
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.packed import Lane, PackedCache, Tails

#: Tokens of new questions that one step reads: half a second behind an hour of memory on two CPU cores, after which
#: frames get their turn; 32 questions of 20 tokens are read in three steps.
STEP_TOKENS: Final = 256
#: Questions that are answered side by side; more wait for a slot. 64 of 128 tokens hold 190 MB of keys (SmolLM2).
ACTIVE: Final = 64


@dataclass(eq=False, slots=True)
class Request:
    """A question under way: its embeddings `suffix` (n, D) after `memory`, and how far its answer has come."""

    suffix: Tensor
    memory: Snapshot | None  # None once it is over: its pages may be needed
    max_tokens: int
    stop: Collection[int] = ()
    cancel: Callable[[], bool] = lambda: False
    slot: int | None = None
    read: int = 0  # own tokens that are in the cache
    ids: list[int] = field(default_factory=list)
    waiting: deque[int] = field(default_factory=deque)  # chosen, not asked for yet
    over: bool = False
    loop: int = LOOP_TOKENS  # tokens that are a circle when they come a second time

    @property
    def width(self) -> int:
        """The most tokens of its own that will be read."""
        return len(self.suffix) + self.max_tokens

    def choose(self, model: LanguageModel, token: int) -> None:
        """Go on with a token, or end: at an end or other control token, one of `stop`, a circle, or `max_tokens`."""
        if token in self.stop or model.is_control(token):
            self.over = True
            return
        self.ids.append(token)
        if circles(self.ids, self.loop):
            self.over = True
            return
        self.waiting.append(token)
        self.over = len(self.ids) >= self.max_tokens


class Batch:
    """All questions that are being put to one `VideoContext`. Not thread-safe."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._tails = Tails(model.pool.shape)
        self._requests: list[Request] = []  # in the order in which they came
        self._owners: dict[int, weakref.ref[Answering]] = {}  # by id of the request

    @property
    def busy(self) -> bool:
        """Whether an answer is under way."""
        self.prune()
        return bool(self._requests)

    def ask(self, request: Request) -> Answering:
        """Register a question; nothing is read before the answer is pulled."""
        self.prune()
        answering = Answering(self, self._model, request)
        self._requests.append(request)
        self._owners[id(request)] = weakref.ref(answering)
        return answering

    def step(self) -> None:
        """Read what comes next of every request, and choose the next token of those that are read."""
        self.prune(cancelled=True)
        chosen = self._chosen()
        if not chosen:
            return
        # Lanes with the same memory lie together, in the order of their slots.
        chosen.sort(key=lambda item: (id(item[0].memory and item[0].memory.cache), item[0].slot))
        hidden, ends = self._forward(chosen)
        done = []
        for (request, count), end in zip(chosen, ends, strict=True):
            request.read += count
            if request.read >= len(request.suffix):
                done.append((request, end))
        if done:
            with torch.inference_mode():
                logits = self._model.logits(hidden[[end for _, end in done]])
                tokens: list[int] = logits.argmax(-1).tolist()
            for (request, _), token in zip(done, tokens, strict=True):
                request.choose(self._model, token)
            self.prune()

    def scores(self, request: Request) -> Tensor:
        """Scores (V,) in float32 of the token after a question that asks for no answer."""
        try:
            while True:
                request.slot = self._tails.take(request.width) if request.slot is None else request.slot
                count = min(STEP_TOKENS, len(request.suffix) - request.read)
                hidden, ends = self._forward([(request, count)])
                request.read += count
                if request.read == len(request.suffix):
                    with torch.inference_mode():
                        return self._model.logits(hidden[ends[0]])
        finally:
            self._leave(request)

    def prune(self, *, cancelled: bool = False) -> None:
        """Let go of requests that are over or whose answer nobody holds any more, and of `cancelled` ones."""
        for request in list(self._requests):
            owner = self._owners[id(request)]()
            if owner is None or request.over or (cancelled and request.cancel()):
                request.over = True
                request.memory = None
                self._requests.remove(request)
                del self._owners[id(request)]
                self._leave(request)

    def _chosen(self) -> list[tuple[Request, int]]:
        """Who reads how many tokens in this step: answers one each, then questions in the order in which they came."""
        chosen = []
        room = STEP_TOKENS
        for request in self._requests:
            if request.ids:
                chosen.append((request, 1))
                continue
            if not room or (request.slot is None and self._tails.used >= ACTIVE):
                continue
            if request.slot is None:
                request.slot = self._tails.take(request.width)
            count = min(room, len(request.suffix) - request.read)
            room -= count
            chosen.append((request, count))
        return chosen

    def _forward(self, chosen: list[tuple[Request, int]]) -> tuple[Tensor, list[int]]:
        lanes, embeds = [], []
        for request, count in chosen:
            assert request.slot is not None
            assert request.memory is not None
            lanes.append(Lane(request.memory, request.slot, request.read, count))
            if request.ids:
                embeds.append(self._model.embed(request.ids[-1:]))
            else:
                part = request.suffix[request.read : request.read + count]
                embeds.append(part.to(self._model.device, self._model.dtype))
        with torch.inference_mode():
            packed = PackedCache(self._tails, lanes)
            return self._model.forward(torch.cat(embeds), packed, positions=packed.positions), packed.ends

    def _leave(self, request: Request) -> None:
        if request.slot is None:
            return
        moved = self._tails.drop(request.slot)
        for other in self._requests:
            if other.slot == moved:
                other.slot = request.slot
        request.slot = None


class Answering(Iterator[str]):
    """An answer as it comes, in pieces of whole characters; "" where a step did not bring this one a token yet.

    Closing or dropping it ends the work on it.
    """

    def __init__(self, batch: Batch, model: LanguageModel, request: Request) -> None:
        self._batch = batch
        self._request = request
        self._spelling = Spelling(model)
        self._closed = False

    def __next__(self) -> str:
        request = self._request
        while not self._closed and not request.cancel():
            if request.waiting:
                piece = self._spelling.spell(request.waiting.popleft())
                if piece:
                    return piece
            elif request.over:
                break
            else:
                self._batch.step()
                if not request.waiting and not request.over:
                    return ""
        self.close()
        raise StopIteration

    def close(self) -> None:
        """End the answer; what was not asked for is dropped."""
        self._closed = self._request.over = True
        self._batch.prune()
