"""Messages of one sort on their way to a reader that may be late: bounded, the oldest go first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Feed(Generic[T]):
    """What was put and not yet read, `kept` at most; ends for every reader when it is closed."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._waiting: asyncio.Queue[T | None] = asyncio.Queue()

    def put(self, message: T) -> None:
        """Queues a message, without waiting."""
        if self._waiting.qsize() >= self._kept:
            self._waiting.get_nowait()
        self._waiting.put_nowait(message)

    def close(self) -> None:
        """Nothing more will come; what waits can still be read."""
        self._waiting.put_nowait(None)

    async def read(self) -> AsyncIterator[T]:
        """Every message, until the feed is closed."""
        while (message := await self._waiting.get()) is not None:
            yield message
        self.close()  # for the next one who asks
