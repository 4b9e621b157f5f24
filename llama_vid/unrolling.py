"""Between iterators that compute in the caller's thread and asynchronous ones: for films that a remote model reads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


async def stepped(items: Iterator[T]) -> AsyncGenerator[T, None]:
    """The items of a synchronous iterator, computed where they are asked for; closing this closes it."""
    try:
        for item in items:
            yield item
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


def unrolled(items: AsyncGenerator[T, None]) -> Iterator[T]:
    """The items of an asynchronous iterator, each awaited when it is asked for; closing this closes it.

    Its event loop is its own and runs in a thread of its own, so that a caller may have one as well.
    """
    done: Any = object()
    with ThreadPoolExecutor(1, thread_name_prefix="remote-answer") as thread, contextlib.ExitStack() as last:
        runner = thread.submit(asyncio.Runner).result()
        last.callback(lambda: thread.submit(runner.close).result())
        last.callback(lambda: thread.submit(runner.run, items.aclose()).result())

        async def following() -> Any:
            return await anext(items, done)

        while (item := thread.submit(runner.run, following()).result()) is not done:
            yield item
