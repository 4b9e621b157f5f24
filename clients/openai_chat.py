"""One chat completion from its question to its end, and the server-sent events that stream it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from llama_vid.clients.closing import Closing
from llama_vid.clients.live import AskableCamera
from llama_vid.clients.openai_answer import (
    AnswerMessage,
    ChatChunk,
    ChatCompletion,
    ChatUsage,
    Choice,
    ChunkChoice,
    Citation,
    Delta,
)
from llama_vid.clients.openai_request import Asked
from llama_vid.clients.protocol import Failure, ResponseDone, ServerMessage, TextDelta
from llama_vid.clients.response import Response
from llama_vid.errors import ProtocolError
from llama_vid.llm.answer import AnswerPiece

T = TypeVar("T")

#: Answers that may be open over HTTP at once; a question beyond them is told to come again.
MAX_OPEN: Final = 32
#: What an answer says that ends because its token was revoked meanwhile.
ENDED: Final = "The access has ended while this was answered; sign in again, or use another token."


class Follower:
    """A camera asked with the earlier questions that the client sent along."""

    def __init__(self, camera: AskableCamera, earlier: Sequence[str]) -> None:
        self._camera, self._earlier = camera, earlier

    def ask(
        self, question: str, *, conversation: str | None = None, earlier: Sequence[str] = ()
    ) -> AsyncIterator[AnswerPiece]:
        """As the camera's."""
        return self._camera.ask(question, conversation=conversation, earlier=earlier or self._earlier)


class Chat:
    """One question and its answer. `text()` once, then `done`."""

    def __init__(self, model: str, asked: Asked, cameras: Sequence[tuple[str, AskableCamera]]) -> None:
        self.id = f"chatcmpl-{secrets.token_hex(12)}"
        self.model, self.created = model, int(time.time())
        self._asked = asked
        # Unbounded: what waits for a slow reader is one answer, some sentences.
        self._pieces = pieces = asyncio.Queue[str | None]()

        def put(message: ServerMessage) -> None:  # which does not hold this chat, that holds it
            if isinstance(message, TextDelta):
                pieces.put_nowait(message.delta)

        followers = [(name, Follower(camera, asked.earlier)) for name, camera in cameras]
        self._response = Response(self.id, followers, put)
        self._revoked: Failure | None = None

    async def text(self) -> AsyncGenerator[str, None]:
        """The answer's text as it comes; closing this, or being cancelled in it, cancels the answer."""
        task = asyncio.create_task(self._response.run(self._asked.question, None), name=self.id)
        task.add_done_callback(lambda _: self._pieces.put_nowait(None))
        try:
            while (piece := await self._pieces.get()) is not None and self._revoked is None:
                yield piece
        finally:
            task.cancel()
            await asyncio.wait([task])

    def stop(self) -> None:
        """The server is about to stop: the answer fails with code shutdown."""
        self._response.stop()

    async def revoke(self) -> None:
        """Whoever asked may not ask any more: the answer fails, and no word of it is given from now on."""
        self._revoked = Failure(code="unauthorized", message=ENDED)
        self._response.stop(self._revoked)

    @property
    def error(self) -> Failure | None:
        """What it failed by, once `text` is over; also where it was complete when the access to it ended."""
        return self._revoked or self.done.error

    @property
    def done(self) -> ResponseDone:
        """How it ended, once `text` is over."""
        return self._response.done()

    def completion(self, text: str, usage: ChatUsage, cited: list[Citation]) -> ChatCompletion:
        """The whole answer as one object."""
        return ChatCompletion(
            id=self.id,
            created=self.created,
            model=self.model,
            choices=[Choice(message=AnswerMessage(content=text))],
            usage=usage,
            citations=cited,
        )

    def piece(self, text: str, *, first: bool = False) -> bytes:
        """A piece of the text as an event; the `first` one says who speaks."""
        delta = Delta(role="assistant" if first else None, content=text)
        return self._event([ChunkChoice(delta=delta)])

    def ending(self, usage: ChatUsage, cited: list[Citation], *, with_usage: bool) -> bytes:
        """The events that end an answer: citations, usage if it is wanted, and OpenAI's own last word."""
        last = self._event([ChunkChoice(delta=Delta(), finish_reason="stop")], citations=cited)
        counted = self._event([], usage=usage) if with_usage else b""
        return last + counted + b"data: [DONE]\n\n"

    def _event(self, choices: list[ChunkChoice], **more: Any) -> bytes:
        chunk = ChatChunk(id=self.id, created=self.created, model=self.model, choices=choices, **more)
        return event(chunk)


def event(data: BaseModel) -> bytes:
    """An object as a server-sent event. Fields that it does not have are left out, as OpenAI does it."""
    tree = _without_none(data.model_dump(mode="json"))
    for choice in tree.get("choices", ()):
        choice["delta"] = _without_none(choice["delta"])
    return f"data: {json.dumps(tree, ensure_ascii=False)}\n\n".encode()


def _without_none(tree: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tree.items() if value is not None}


class EventStream(StreamingResponse):
    """Server-sent events; their generator is closed when the client leaves, at whatever point, and `ended` called."""

    def __init__(self, events: AsyncGenerator[bytes, None], ended: Callable[[], Awaitable[None]]) -> None:
        # Proxies are told not to gather what is to be seen at once.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, headers=headers, media_type="text/event-stream")
        self._events, self._ended = events, ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As Starlette's, with the closing."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()
            await self._ended()


class OpenChats:
    """The answers that are open now; `ended` is told of each of them once."""

    def __init__(self, ended: Callable[[ResponseDone], None], closing: Closing | None = None) -> None:
        self._ended, self._closing = ended, closing or Closing()
        self._closing.join(self._leave)
        self._chats: set[Chat] = set()

    def begin(self, chat: Chat) -> None:
        """Counts one more. Raises ProtocolError with code rate_limit_exceeded where there are MAX_OPEN, or shutdown."""
        self._closing.check()
        if len(self._chats) >= MAX_OPEN:
            raise ProtocolError(
                f"{MAX_OPEN} questions are open already; ask again in a moment.", code="rate_limit_exceeded"
            )
        self._chats.add(chat)

    def end(self, chat: Chat) -> None:
        """It is over, however it ended."""
        if chat in self._chats:
            self._chats.remove(chat)
            self._ended(chat.done)

    async def _leave(self) -> None:
        """The server is about to stop: every answer ends; the port waits until that is sent."""
        for chat in self._chats:
            chat.stop()


class ClientGone(Exception):
    """Whoever asked has hung up."""


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; it is cancelled, and ClientGone raised, when the client hangs up before.

    The request's body must have been read.
    """
    task = asyncio.create_task(work, name="chat-answer")
    gone = asyncio.create_task(_gone(receive), name="chat-client")
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.wait([task, gone])
        with contextlib.suppress(asyncio.CancelledError, Exception):
            gone.exception()  # a line that broke: nobody else asks


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
