"""The end of the server, said to those who wait for an answer: it fails as `shutdown`, and they hear of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from llama_vid.errors import ProtocolError

#: Seconds that open answers have to end and clients to read it: a message takes milliseconds on any line that works.
LEAVE_S = 1.0
#: What the error of an answer that the server's end cut short is called.
SHUTDOWN = "shutdown"
#: And what it says.
MESSAGE = "The server is stopping; ask again when it is back."

Leave = Callable[[], Awaitable[None]]


class Closing:
    """Whoever has open answers joins; all of them leave when the server is about to stop."""

    def __init__(self) -> None:
        self._leaves: list[Leave] = []
        self._begun = False

    def join(self, leave: Leave) -> Callable[[], None]:
        """Calls `leave` when the server stops: it ends its answers and returns when that is said. The returned function
        ends this.
        """
        self._leaves.append(leave)
        return lambda: self._leaves.remove(leave)

    def check(self) -> None:
        """Raises ProtocolError with code shutdown once the server is stopping: no question is taken any more."""
        if self._begun:
            raise ProtocolError(MESSAGE, code=SHUTDOWN)

    async def begin(self, within_s: float = LEAVE_S) -> None:
        """Have everybody leave, for so many seconds at most."""
        self._begun = True
        leaving = [asyncio.ensure_future(leave()) for leave in self._leaves]
        if leaving:
            _, late = await asyncio.wait(leaving, timeout=within_s)
            for task in late:  # a client that does not read: the port closes on it
                task.cancel()
