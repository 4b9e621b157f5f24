"""The one thread that owns the tensors: short jobs, questions before frames before rebuilding."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import itertools
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import Future
from enum import IntEnum
from typing import Any, Final, TypeVar

T = TypeVar("T")


class Priority(IntEnum):
    """Smaller runs first."""

    QUESTION = 0
    FRAMES = 1
    REBUILD = 2


_STOP: Final = -1
CLOSE_SECONDS: Final = 10.0  # jobs are far shorter


class ModelThread:
    """Runs jobs one at a time by priority, first come first served within one.

    A question runs as many short jobs, one for each piece of its answer; between two of them a waiting batch of frames
    gets its turn, because the next piece is only asked for when the last one was taken.
    """

    def __init__(self) -> None:
        self._jobs: queue.PriorityQueue[tuple[int, int, Callable[[], None] | None]] = queue.PriorityQueue()
        self._order = itertools.count()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()
        # A daemon thread that is inside a tensor operation when the interpreter goes away would abort the process.
        atexit.register(self.close)

    def submit(self, priority: Priority, job: Callable[[], T]) -> Future[T]:
        """Queue a job; its future gives the result. Cancelling the future before it runs skips it."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = job()
            except BaseException as problem:  # the job's owner hears of it through the future
                future.set_exception(problem)
            else:
                future.set_result(result)

        context = contextvars.copy_context()  # what is logged in the job says who asked for it
        self._jobs.put((priority, next(self._order), lambda: context.run(run)))
        return future

    async def run(self, priority: Priority, job: Callable[[], T]) -> T:
        """As `submit`, awaited. If cancelled, a job that has begun still ends on its own."""
        return await asyncio.wrap_future(self.submit(priority, job))

    async def iterate(self, priority: Priority, iterator: Iterator[T]) -> AsyncGenerator[T, None]:
        """The items of a synchronous iterator, each computed as a job of its own; closing this closes it there."""
        done: Any = object()
        try:
            while True:
                item = await self.run(priority, lambda: next(iterator, done))
                if item is done:
                    return
                yield item
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                self.submit(priority, close)

    async def result(self, priority: Priority, work: Generator[None, None, T]) -> T:
        """What a generator returns, each of its steps a job of its own."""
        found: list[T] = []

        def steps() -> Iterator[None]:
            found.append((yield from work))

        async with contextlib.aclosing(self.iterate(priority, steps())) as items:
            async for _ in items:
                pass
        return found[0]

    def close(self) -> None:
        """End the thread after the job under way; jobs that wait are dropped."""
        atexit.unregister(self.close)
        self._jobs.put((_STOP, next(self._order), None))
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        while True:
            _, _, job = self._jobs.get()
            if job is None:
                return
            job()
