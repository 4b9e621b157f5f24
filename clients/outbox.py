"""What waits to be sent to one websocket client: bounded, and choosy about what a slow client loses."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from llama_vid.clients.protocol import CaptionPartial, ServerMessage, StreamStatus
from llama_vid.errors import LlamaVidError

#: From this backlog on, `stream.status` is left out: 32 messages are half of one answer of `mini`, so a client that is
#: behind by that much has a slow line, not a busy moment. It gets each camera's newest state when it has caught up.
STATUS_LIMIT = 32
#: At this backlog the client is closed with 1013: eight answers at once (the limit per client) of 512 tokens, the most
#: that a model may write. Only who reads nothing gets there; at some 120 bytes a message, that is 0.5 MB.
BACKLOG_LIMIT = 4096
#: A message that could not be handed to the socket for this long closes the client with 1013: longer than a phone takes
#: to change from wifi to mobile, shorter than a person waits for an answer.
PATIENCE_S = 10.0


class Overloaded(LlamaVidError):
    """The client reads too slowly; it is closed with 1013."""

    code = "overload"


class Outbox:
    """The queue between what produces messages (which never waits) and the one task that sends them.

    Messages keep their order. Only `caption.partial` and `stream.status` are ever left out.
    """

    def __init__(self, *, status_limit: int = STATUS_LIMIT, backlog_limit: int = BACKLOG_LIMIT) -> None:
        self._status_limit = status_limit
        self._backlog_limit = backlog_limit
        self._messages: deque[tuple[float, ServerMessage]] = deque()
        self._left_out: dict[str, StreamStatus] = {}
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._overloaded = False

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def overloaded(self) -> bool:
        """Whether the backlog limit was reached; `get` raises Overloaded from then on."""
        return self._overloaded

    def put(self, message: ServerMessage) -> None:
        """Queues a message, without waiting."""
        if self._overloaded:
            return
        self._idle.clear()
        if len(self._messages) >= self._backlog_limit:
            self._overloaded = True
            self._messages.clear()
        elif isinstance(message, CaptionPartial) and len(self._messages) >= self._status_limit:
            return  # the next one takes its place anyhow
        elif isinstance(message, StreamStatus) and len(self._messages) >= self._status_limit:
            self._left_out[message.camera] = message
            return
        else:
            if isinstance(message, StreamStatus):
                self._left_out.pop(message.camera, None)  # what was left out is older than this
            self._messages.append((asyncio.get_running_loop().time(), message))
        self._filled.set()

    async def get(self) -> tuple[float, ServerMessage]:
        """The next message and the loop time at which it was queued. Raises Overloaded."""
        while True:
            if self._overloaded:
                raise Overloaded("The client reads too slowly: its backlog is full; read faster or ask less at once.")
            if self._messages:
                return self._messages.popleft()
            if self._left_out:
                camera = next(iter(self._left_out))
                return asyncio.get_running_loop().time(), self._left_out.pop(camera)
            self._filled.clear()
            self._idle.set()  # whoever asks for more has sent what it got before
            await self._filled.wait()

    async def sent(self) -> None:
        """Waits until everything that was put is sent, by whoever sends it."""
        await self._idle.wait()


async def drain(outbox: Outbox, send: Callable[[str], Awaitable[None]], *, patience_s: float = PATIENCE_S) -> None:
    """Sends what the outbox holds, forever. Raises Overloaded when a message has waited for `patience_s`."""
    clock = asyncio.get_running_loop().time
    while True:
        queued, message = await outbox.get()
        try:
            async with asyncio.timeout(queued + patience_s - clock()):
                await send(message.model_dump_json())
        except TimeoutError:
            raise Overloaded(f"The client reads too slowly: a message waited {patience_s:g} s; read faster.") from None
