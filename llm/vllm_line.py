"""The line to a vLLM server: requests run in an event loop of their own, beside the thread that owns the tensors.

Whoever answers a question is a synchronous generator there; it looks here for what has come and never waits long.
After a failure the line rests for a while, in which every request fails at once: a server that hangs must not hold up
each question for the whole of its time-out.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import queue
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final, TypeVar

import torch
from torch import Tensor

from llama_vid.errors import ConfigError
from llama_vid.llm.vllm_client import Chunk, Served, VllmClient
from llama_vid.llm.vllm_errors import VllmError, VllmUnavailable
from llama_vid.llm.vllm_options import VllmOptions
from llama_vid.llm.vllm_request import Sampling

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds between attempts: doubled, and spread, so that those who failed together do not come back together.
FIRST_WAIT: Final = 0.25
#: Seconds in which a server that failed is not asked again.
REST_S: Final = 15.0
CLOSE_S: Final = 5.0
_jitter = random.Random()

#: Checks what a server serves before the first prompt is sent, and again after each failure. Raises VllmError.
Check = Callable[[VllmClient, Served], Awaitable[None]]


class Arriving:
    """A continuation on its way: `take` gives what has come. Closing it ends the request on the server."""

    def __init__(self, most: int) -> None:
        # No longer than the answer: one chunk a token, a word about the cache, and the end. So writers never wait.
        self._chunks: queue.Queue[Chunk | VllmError | None] = queue.Queue(most + 3)
        self.future: Future[None] | None = None
        self._whole = False  # all has come but what the server says of its cache

    def put(self, item: Chunk | VllmError | None) -> None:
        """What came; None at the end, or why there is no more."""
        self._whole = self._whole or (isinstance(item, Chunk) and item.finish is not None)
        self._chunks.put_nowait(item)

    def take(self, wait: float) -> Chunk | None:
        """The next chunk; an empty one if none comes within `wait` seconds, None at the end. Raises VllmError."""
        try:
            found = self._chunks.get(timeout=wait) if wait > 0 else self._chunks.get_nowait()
        except queue.Empty:
            return Chunk()
        if isinstance(found, VllmError):
            raise found
        return found

    def close(self) -> None:
        """No more is wanted."""
        if self.future is not None and not self._whole:
            self.future.cancel()


class VllmLine:
    """One server's requests, from any thread; the loop's thread begins with the first."""

    def __init__(self, options: VllmOptions, check: Check | None = None, *, rest_s: float = REST_S) -> None:
        self.options = options
        self._check, self._rest_s = check, rest_s
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: VllmClient | None = None
        self._served: Served | None = None
        self._checking: asyncio.Lock | None = None
        self._failed: tuple[float, VllmUnavailable] | None = None
        self.cached: int | None = None  # tokens of the last prompt that the server had read before, if it tells

    @property
    def down(self) -> VllmUnavailable | None:
        """Why the server is not asked just now; None where it is."""
        failed = self._failed
        return failed[1] if failed is not None and time.monotonic() < failed[0] + self._rest_s else None

    def served(self) -> Served:
        """What the server serves, asked and checked at once. Raises VllmError."""
        return self.result(self._reached, self.options.first_s)

    def stream(self, embeds: Tensor, sampling: Sampling, grown: Callable[[Sequence[int]], Tensor]) -> Arriving:
        """The continuation of a prompt (n, D), greedily. Where the stream breaks, it goes on from where it was.

        `grown` gives the embeddings of token ids: what was said so far is put behind the prompt of the next attempt.
        """
        arriving = Arriving(sampling.max_tokens)
        arriving.future = self._submit(self._stream(arriving, embeds, sampling, grown))
        return arriving

    def complete(self, embeds: Tensor, sampling: Sampling) -> Future[list[tuple[int, ...]]]:
        """All continuations of a prompt (n, D), as token ids."""
        return self._submit(self._tried(lambda client, model: client.complete(embeds, sampling, model)))

    def margin(self, prompts: Sequence[Tensor], yes: int, no: int) -> Future[list[float]]:
        """How much likelier the token `yes` is than `no` after each of the prompts, in nats."""
        return self._submit(self._tried(lambda client, model: client.margin(prompts, yes, no, model)))

    def likelihoods(
        self, prompt: Tensor, texts: Sequence[Sequence[int]], grown: Callable[[Sequence[int]], Tensor]
    ) -> Future[list[tuple[float, bool]]]:
        """The log-probability of each text's tokens behind a prompt, and whether they are the greedy ones."""
        return self._submit(self._tried(lambda client, model: client.likelihoods(prompt, texts, grown, model)))

    def result(self, work: Callable[[], Coroutine[Any, Any, T]], wait: float) -> T:
        """What some work of the loop gives, waited for at most so long. Raises VllmError."""
        future = self._submit(work())
        try:
            return future.result(wait)
        except (TimeoutError, CancelledError):
            future.cancel()
            raise VllmUnavailable(f"the vLLM server at {self.options.base_url} took longer than {wait:g} s") from None

    def close(self) -> None:
        """End the loop; requests under way are cancelled."""
        with self._lock:
            loop, thread, self._loop = self._loop, self._thread, None
        if loop is None or thread is None:
            return
        atexit.unregister(self.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSE_S)

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            if self._loop is None:
                try:
                    self._client = VllmClient(self.options)
                except ConfigError:
                    work.close()
                    raise
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._run, args=(self._loop,), name="vllm", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        self._checking = asyncio.Lock()
        client = self._client
        assert client is not None
        self._served = None
        try:
            loop.run_until_complete(client.__aenter__())
            loop.run_forever()
        finally:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(client.__aexit__())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    async def _reached(self) -> Served:
        """What the server serves, looked at before the first request and after every failure."""
        assert self._client is not None
        assert self._checking is not None
        async with self._checking:
            if self._served is None:
                try:
                    served = await self._client.served()
                    if self._check is not None:
                        await self._check(self._client, served)
                except VllmUnavailable as problem:
                    raise self._gone(problem) from None
                logger.info(
                    "vLLM %s at %s serves %s with %d tokens of context", served.version or "(version unknown)",
                    self.options.base_url, served.model, served.context,
                )  # fmt: skip
                self._served, self._failed = served, None
            return self._served

    async def _tried(self, work: Callable[[VllmClient, str], Awaitable[T]]) -> T:
        """Some work, again where it failed in passing. Raises VllmError."""
        attempt = 0
        while True:
            try:
                if self.down is not None:
                    raise self.down
                served = await self._reached()
                assert self._client is not None
                return await work(self._client, served.model)
            except VllmUnavailable as problem:
                if attempt >= self.options.retries or self.down is problem:
                    raise self._gone(problem) from None
                logger.warning("%s; trying again", problem)
            await asyncio.sleep(FIRST_WAIT * 2**attempt * _jitter.uniform(0.75, 1.25))
            attempt += 1

    async def _stream(
        self, arriving: Arriving, embeds: Tensor, sampling: Sampling, grown: Callable[[Sequence[int]], Tensor]
    ) -> None:
        said: list[int] = []

        async def once(client: VllmClient, model: str) -> None:
            prompt = embeds if not said else torch.cat([embeds, grown(said).to(embeds)])
            left = replace(sampling, max_tokens=sampling.max_tokens - len(said))
            if left.max_tokens < 1:
                return
            async with aclosing(client.stream(prompt, left, model)) as chunks:
                async for chunk in chunks:
                    if chunk.cached is not None:
                        self.cached = chunk.cached
                    said.extend(chunk.ids)
                    if chunk.ids or chunk.finish:
                        arriving.put(chunk)

        try:
            await self._tried(once)
        except VllmError as problem:
            arriving.put(problem)
        except asyncio.CancelledError:
            arriving.put(VllmUnavailable("the answer was given up: the program ends, or nobody waits for it"))
            raise
        else:
            arriving.put(None)

    def _gone(self, problem: VllmUnavailable) -> VllmUnavailable:
        """Note a failure: the server is left alone for a while, and then looked at anew."""
        if self.down is None:
            self._failed = time.monotonic(), problem
            logger.warning("%s; it is left alone for %g s", problem, self._rest_s)
        self._served = None
        return problem
