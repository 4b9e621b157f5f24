"""An OpenAI-compatible server on loopback: real HTTP, server-sent events made of the official client's own types.

It is strict about what it takes: fields that OpenAI does not know, roles, the order of content, data URLs that hold no
JPEG of a fair size, more images than it takes, and a key that is not its own are refused as OpenAI refuses them.

What it does next is told in advance (`then`), one `Turn` for each request; afterwards it answers with `DEFAULT`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import io
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import Choice, ChoiceDelta
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tests.server.running import until

KEY = "sk-test-0123456789abcdef"
MODEL = "big-model"
DEFAULT = ("A cyclist rides ", "past the parked cars.")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Text(Strict):
    type: Literal["text"]
    text: str = Field(min_length=1)


class ImageUrl(Strict):
    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class ImagePart(Strict):
    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[Text | ImagePart, Field(discriminator="type")]


class Message(Strict):
    role: Literal["system", "user", "assistant"]
    content: str | list[Part]


class StreamOptions(Strict):
    include_usage: bool = False


class ChatBody(Strict):
    model: str
    messages: list[Message] = Field(min_length=1)
    stream: Literal[True]
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    stream_options: StreamOptions | None = None

    @property
    def images(self) -> list[ImageUrl]:
        parts = [part for message in self.messages if isinstance(message.content, list) for part in message.content]
        return [part.image_url for part in parts if isinstance(part, ImagePart)]

    @property
    def text(self) -> str:
        """All text that was sent, in order."""
        out = []
        for message in self.messages:
            parts = [message.content] if isinstance(message.content, str) else message.content
            out += [
                part if isinstance(part, str) else part.text if isinstance(part, Text) else "[image]" for part in parts
            ]
        return "\n".join(out)


@dataclass(slots=True)
class Turn:
    """What one request gets: a refusal (`status`), or `pieces`, then a `finish` (None: the stream is cut off)."""

    pieces: tuple[str, ...] = DEFAULT
    status: int = 200
    code: str = ""
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    finish: str | None = "stop"
    refusal: str = ""
    silent: bool = False  # nothing is said from here on, and the connection stays open
    error: str = ""  # an error inside the stream


class OpenAIServer:
    """The server's state: what came, and what is to happen."""

    def __init__(self) -> None:
        self.url = ""
        self.reset()

    def reset(self) -> None:
        """As it was at first."""
        self.then: deque[Turn] = deque()
        self.requests: list[ChatBody] = []
        self.refused: list[str] = []  # what was not right about requests
        self.most_images = 8
        self.sees = True
        self.knows_max_tokens = True
        self.left = threading.Event()  # a client closed its connection before the end
        self.keys: list[str] = []

    def refuse(self, status: int, message: str, code: str = "", **headers: str) -> JSONResponse:
        kind = "invalid_request_error" if status < 500 else "server_error"
        error = {"message": message, "type": kind, "param": None, "code": code or None}
        return JSONResponse({"error": error}, status, headers)


def make_app(server: OpenAIServer) -> FastAPI:
    app = FastAPI()

    def unauthorised(request: Request) -> JSONResponse | None:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        server.keys.append(key)
        if key != KEY:
            return server.refuse(401, f"Incorrect API key provided: {key}.", "invalid_api_key")
        return None

    @app.get("/v1/models")
    async def models(request: Request) -> Response:
        if (problem := unauthorised(request)) is not None:
            return problem
        one = {"id": MODEL, "object": "model", "created": 0, "owned_by": "test"}
        return JSONResponse({"object": "list", "data": [one]})

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        if (problem := unauthorised(request)) is not None:
            return problem
        try:
            body = ChatBody.model_validate_json(await request.body())
            check(body, server)
        except (ValidationError, ValueError) as wrong:
            server.refused.append(str(wrong))
            return server.refuse(400, str(wrong), "invalid_request")
        server.requests.append(body)
        if body.model != MODEL:
            return server.refuse(404, f"The model `{body.model}` does not exist", "model_not_found")
        turn = server.then.popleft() if server.then else Turn()
        if turn.status != 200:
            return server.refuse(turn.status, turn.message or "no", turn.code, **turn.headers)
        if body.images and not server.sees:
            return server.refuse(400, "This model does not support image input.")
        return StreamingResponse(events(turn, body, server), media_type="text/event-stream")

    return app


def check(body: ChatBody, server: OpenAIServer) -> None:
    """Raises ValueError for what the types alone do not show."""
    roles = [message.role for message in body.messages]
    if roles[0] != "system" or roles[-1] != "user":
        raise ValueError(f"roles are in the wrong order: {roles}")
    if body.max_tokens is not None and not server.knows_max_tokens:
        raise ValueError("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
    if len(body.images) > server.most_images:
        raise ValueError(f"{len(body.images)} images, at most {server.most_images} are taken")
    for image in body.images:
        head, _, data = image.url.partition(",")
        if head != "data:image/jpeg;base64":
            raise ValueError("an image's url is no JPEG data URL")
        try:
            picture = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
            picture.load()
        except (binascii.Error, OSError) as wrong:
            raise ValueError(f"an image cannot be read: {wrong}") from None
        if picture.format != "JPEG" or max(picture.size) > 2048 or min(picture.size) < 16:
            raise ValueError(f"an image is {picture.format} of {picture.size}")
        if picture.getexif():
            raise ValueError("an image holds EXIF data")


async def events(turn: Turn, body: ChatBody, server: OpenAIServer) -> AsyncIterator[bytes]:
    def chunk(choices: list[Choice], usage: CompletionUsage | None = None) -> bytes:
        made = ChatCompletionChunk(
            id="chatcmpl-1", created=1, model=MODEL, object="chat.completion.chunk", choices=choices, usage=usage
        )
        return f"data: {made.model_dump_json(exclude_none=True)}\n\n".encode()

    def choice(finish: Any = None, **delta: Any) -> Choice:
        return Choice(index=0, delta=ChoiceDelta(**delta), finish_reason=finish)

    yield chunk([choice(role="assistant", content="")])
    for piece in turn.pieces:
        yield chunk([choice(content=piece)])
    if turn.refusal:
        yield chunk([choice(refusal=turn.refusal)])
    if turn.error:
        yield b'data: {"error": {"message": "%s", "type": "server_error"}}\n\n' % turn.error.encode()
        return
    if turn.silent:
        try:
            await asyncio.Event().wait()  # cancelled when the client closes the connection
        finally:
            server.left.set()
    if turn.finish is None:
        raise ConnectionResetError("cut off, as the test wants it")
    yield chunk([choice(finish=turn.finish)])
    if body.stream_options is not None and body.stream_options.include_usage:
        said = len(turn.pieces)
        yield chunk([], CompletionUsage(prompt_tokens=100, completion_tokens=said, total_tokens=100 + said))
    yield b"data: [DONE]\n\n"


@contextlib.contextmanager
def openai_server(certificate: tuple[Path, Path] | None = None) -> Iterator[OpenAIServer]:
    """The server on a free port; with (certificate, key) over TLS."""
    server = OpenAIServer()
    tls: dict[str, Any] = {"ssl_certfile": certificate[0], "ssl_keyfile": certificate[1]} if certificate else {}
    running = uvicorn.Server(
        uvicorn.Config(make_app(server), log_config=None, lifespan="off", timeout_graceful_shutdown=1, **tls)
    )
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as port:
        thread = threading.Thread(target=running.run, args=([port],), name="openai-server")
        thread.start()
        try:
            until(lambda: running.started, "the model server")
            server.url = f"{'https' if certificate else 'http'}://127.0.0.1:{port.getsockname()[1]}/v1"
            yield server
        finally:
            running.should_exit = True
            thread.join(10)
            assert not thread.is_alive()
