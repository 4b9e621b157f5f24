"""`/v1/models` and `/v1/chat/completions`: cameras as models, for every program that speaks to OpenAI's API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from datetime import tzinfo
from typing import Any

from fastapi import APIRouter, Request, Response

from llama_vid.access import access_of
from llama_vid.access_desk import AccessDesk
from llama_vid.clients.openai_answer import (
    ChatChunk,
    ChatCompletion,
    ChatUsage,
    Citation,
    Model,
    ModelList,
    OpenAIError,
    chat_usage,
    citations,
    openai_error,
)
from llama_vid.clients.openai_chat import Chat, ClientGone, EventStream, OpenChats, event, unless_gone
from llama_vid.clients.openai_request import ALL, PREFIX, ChatRequest, asked, named_cameras
from llama_vid.clients.response import askable_cameras
from llama_vid.openai_refusals import OpenAIRoute, refuse, status_of
from llama_vid.routes_cameras import desk_of

#: nginx's word for a client that hung up; nobody reads it but a log.
GONE = 499

NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": OpenAIError, "description": "No such model."}}
ERRORS: dict[int | str, dict[str, Any]] = {
    **NOT_FOUND,
    400: {"model": OpenAIError, "description": "The request cannot be taken, or asks for what is not supported."},
    429: {"model": OpenAIError, "description": "Too many questions at once; see Retry-After."},
    500: {"model": OpenAIError, "description": "The answer failed inside the server."},
    503: {"model": OpenAIError, "description": "The model or the camera is not ready; see Retry-After."},
}
EITHER: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": f"The answer; with `stream`, events that hold a {ChatChunk.__name__}, and a last `[DONE]`.",
    }
}

router = APIRouter(prefix="/v1", tags=["openai"], route_class=OpenAIRoute)


@router.get("/models")
async def list_models(request: Request) -> ModelList:
    """The cameras as models, and `camera:*` for all of them where there are several."""
    names = _names(request)
    several = [Model(id=ALL)] if len(names) > 1 else []
    return ModelList(data=[*(_model(request, name) for name in names), *several])


@router.get("/models/{model}", responses=NOT_FOUND)
async def show_model(request: Request, model: str) -> Model:
    """One camera, or several, as a model."""
    cameras = named_cameras(model, _names(request))
    return _model(request, cameras[0]) if len(cameras) == 1 else Model(id=model)


@router.post("/chat/completions", response_model=ChatCompletion, responses=EITHER | ERRORS)
async def create_chat_completion(request: Request, body: ChatRequest) -> Response | ChatCompletion:
    """Asks a camera (`camera:front`), several (`camera:front,back`) or all (`camera:*`) the last message's question.

    Earlier questions of the user are used to understand a follow-up. `citations` say what the answer rests on. Hanging
    up cancels it.
    """
    turn = _Turn(request, body)
    turn.begin()
    streams = False
    try:
        if not body.stream:
            return await turn.whole()
        answer = await turn.stream()
        streams = isinstance(answer, EventStream)
        return answer
    except ClientGone:
        return Response(status_code=GONE)
    finally:
        if not streams:
            await turn.end()


class _Turn:
    """One question that came in, until its answer is sent."""

    def __init__(self, request: Request, body: ChatRequest) -> None:
        self._request, self._body = request, body
        self._desk = desk_of(request)
        self._asked = asked(body.messages)
        self._names = named_cameras(body.model, _names(request))
        self.chat = Chat(body.model, self._asked, askable_cameras(self._desk, self._names))
        self.chats: OpenChats = request.app.state.chats
        self._text = self.chat.text()
        self._open = ExitStack()

    def begin(self) -> None:
        """Counts it, and has it end with the rights of whoever asks. Raises ProtocolError where too many are open."""
        self.chats.begin(self.chat)
        desk: AccessDesk = self._request.app.state.access
        self._open.enter_context(desk.sending(access_of(self._request), self.chat.revoke))

    async def end(self) -> None:
        """Cancels what is not finished, and counts it."""
        self._open.close()
        await self._text.aclose()
        self.chats.end(self.chat)

    async def whole(self) -> Response | ChatCompletion:
        """The whole answer, or its error. Raises ClientGone."""

        async def read() -> None:
            async for _ in self._text:
                pass

        await unless_gone(self._request.receive, read())
        if (failed := self._failed()) is not None:
            return failed
        return self.chat.completion(self.chat.done.answer, await self._usage(), self._cited())

    async def stream(self) -> Response:
        """The answer as it comes. The status is sent with its first words: what fails before is an error as any other.

        Raises ClientGone.
        """

        async def first() -> str:
            return await anext(self._text, "")

        begun = await unless_gone(self._request.receive, first())
        return self._failed() or EventStream(self._events(begun), self.end)

    async def _events(self, begun: str) -> AsyncGenerator[bytes, None]:
        yield self.chat.piece(begun, first=True)
        async with aclosing(self._text) as pieces:
            async for piece in pieces:
                yield self.chat.piece(piece)
        if (error := self.chat.error) is not None:
            yield event(openai_error(status_of(error.code), error.code, error.message, None))
            return
        options = self._body.stream_options
        with_usage = options is not None and bool(options.include_usage)
        yield self.chat.ending(await self._usage(), self._cited(), with_usage=with_usage)

    async def _usage(self) -> ChatUsage:
        done = self.chat.done
        question, answer = await self._desk.model.count_tokens([self._asked.question, done.answer])
        return chat_usage(done, question * len(self._names), answer)

    def _cited(self) -> list[Citation]:
        zone: tzinfo = self._request.app.state.zone
        return citations(self.chat.done, zone, str(self._request.base_url).rstrip("/"))

    def _failed(self) -> Response | None:
        error = self.chat.error
        return None if error is None else refuse(status_of(error.code), error.code, error.message)


def _names(request: Request) -> list[str]:
    """The cameras that whoever asks may ask."""
    access = access_of(request)
    return [name for name in desk_of(request).names() if access.may("ask", name)]


def _model(request: Request, name: str) -> Model:
    state, _ = desk_of(request).status(name)
    return Model(id=PREFIX + name, state=state)
