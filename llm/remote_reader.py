"""Has a remote model read a prompt: limits, attempts, what its server turns out not to take, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from llama_vid.llm.breaker import Breaker
from llama_vid.llm.remote_client import Dialect, RemoteClient, Said
from llama_vid.llm.remote_errors import PASSING, RemoteFailure
from llama_vid.llm.remote_options import HOUR_S, RemoteOptions
from llama_vid.llm.spending import Spending
from llama_vid.llm.thoughts import without_thoughts

logger = logging.getLogger(__name__)

#: Seconds before the first repetition; doubled for each one after, and spread by half so that many do not come at once.
PAUSE_S: Final = 0.5
#: How often one question may find out what a server does not take.
LESSONS: Final = 4
_SIGHT: Final = ("image", "vision", "multimodal", "multi-modal", "mmproj", "content part", "must be a string")


class Prompt(Protocol):
    """What is sent: the same question with images and without."""

    @property
    def images(self) -> int: ...
    def messages(self, *, images: bool) -> list[dict[str, Any]]: ...


@dataclass(slots=True)
class RemoteCounts:
    """What was sent and what came of it since the start; `GET /metrics` tells it."""

    requests: Counter[str] = field(default_factory=Counter)  # by outcome: answered, failed, cancelled
    images: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    errors: Counter[str] = field(default_factory=Counter)  # by kind
    fallbacks: Counter[str] = field(default_factory=Counter)  # by kind


class RemoteReader:
    """One remote model for all cameras. All calls belong to one event loop at a time."""

    def __init__(
        self,
        options: RemoteOptions,
        spending: Spending,
        *,
        breaker: Breaker | None = None,
        pause_s: float = PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.options, self.counts = options, RemoteCounts()
        self._client, self._spending = RemoteClient(options), spending
        self._breaker = breaker or Breaker(clock)
        self._pause, self._clock = pause_s, clock
        self._random = random.Random()
        self._dialect = Dialect()
        self._blind_until: float | None = None
        self._told_spent = False

    @property
    def resting(self) -> bool:
        """Whether the server is left alone now, after failures."""
        return self._breaker.open

    @property
    def sees(self) -> bool:
        """Whether images are sent; a model that took none is shown some again an hour later."""
        return self._blind_until is None or self._clock() >= self._blind_until

    async def read(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        """The answer in pieces; closing it ends the request. Raises RemoteFailure, before a piece or behind some."""
        if not self._breaker.enter():
            raise self._failed(
                RemoteFailure(
                    f"the remote model is left alone for a while, after: {self._breaker.reason}", "resting"
                )
            )  # fmt: skip
        settled = False
        try:
            async with contextlib.aclosing(self._attempts(prompt)) as pieces:
                async for piece in pieces:
                    if not settled:
                        self._breaker.worked()
                        settled = True
                    yield piece
        except RemoteFailure as problem:
            self._breaker.failed(problem)
            settled = True
            raise self._failed(problem) from None
        finally:
            if not settled:
                self._breaker.left()

    async def _attempts(self, prompt: Prompt) -> AsyncGenerator[str, None]:
        loop = asyncio.get_running_loop()
        limit = loop.time() + self.options.first_s
        tries, lessons, shown = 0, 0, prompt.images > 0 and self.sees
        while True:
            said = Said()
            try:
                async with contextlib.aclosing(self._once(prompt, shown, said, limit - loop.time())) as pieces:
                    async for piece in pieces:
                        yield piece
                if prompt.images and not shown and self.sees:
                    self._blind()
                return
            except RemoteFailure as problem:
                if said.began:
                    raise
                if lessons < LESSONS and (blind := self._learned(problem, shown)) is not None:
                    lessons, shown = lessons + 1, shown and not blind
                    continue
                tries += 1
                pause = self._pause * 2 ** (tries - 1) * self._random.uniform(0.5, 1.0)
                pause = max(pause, problem.retry_after or 0.0)
                if problem.kind not in PASSING or tries > self.options.retries or loop.time() + pause >= limit:
                    raise
                logger.info("%s; again in %.1f s", problem, pause)
            await asyncio.sleep(pause)

    async def _once(self, prompt: Prompt, shown: bool, said: Said, within: float) -> AsyncGenerator[str, None]:
        """One request, counted before it is sent."""
        images = prompt.images if shown else 0
        if reason := await asyncio.to_thread(self._spending.take, images):
            if not self._told_spent:
                logger.warning("The remote model is not asked: %s", reason)
            self._told_spent = True
            raise RemoteFailure(reason, "spent")
        self._told_spent = False
        self.counts.images += images
        outcome = "cancelled"
        try:
            stream = self._client.stream(prompt.messages(images=shown), self._dialect, said, max(within, 0.0))
            async with contextlib.aclosing(stream) as raw, contextlib.aclosing(without_thoughts(raw)) as pieces:
                spoke = False
                async for piece in pieces:
                    spoke = spoke or bool(piece.strip())
                    yield piece
            outcome = "answered" if spoke else "failed"
            if not spoke:
                raise RemoteFailure(
                    f"llm.openai: {self.options.model!r} gave an empty answer; see that it is a chat model, or raise "
                    "llm.openai.max_tokens",
                    "empty",
                )
        except RemoteFailure:
            outcome = "failed"
            raise
        finally:
            self.counts.requests[outcome] += 1
            self.counts.prompt_tokens += said.prompt_tokens
            self.counts.completion_tokens += said.completion_tokens

    def _learned(self, problem: RemoteFailure, shown: bool) -> bool | None:
        """What a refusal teaches: True to ask without images, False to ask as it is said from now on, None nothing."""
        text, dialect = problem.text, self._dialect
        if problem.kind == "request":
            if "stream_options" in text and dialect.stream_options:
                dialect.stream_options = False
                return False
            if "max_completion_tokens" in text and dialect.max_tokens == "max_tokens":
                dialect.max_tokens = "max_completion_tokens"
                return False
            if "temperature" in text and dialect.temperature:
                dialect.temperature = False
                return False
        about_images = any(word in text for word in _SIGHT)
        doubtful = problem.kind in ("request", "server", "model")
        if shown and doubtful and (problem.status in (400, 415, 422) or about_images):
            return True
        return None

    def _blind(self) -> None:
        self._blind_until = self._clock() + HOUR_S
        logger.warning(
            "%s takes no images: it is asked without, from notes alone, for the next hour. Set llm.openai.model to one "
            "that sees, or max_images: 0",
            self.options.model,
        )

    def _failed(self, problem: RemoteFailure) -> RemoteFailure:
        self.counts.errors[problem.kind] += 1
        return problem
