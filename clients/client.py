"""A small typed client of `GET /ws` for asyncio programs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from llama_vid.clients.feed import Feed
from llama_vid.clients.protocol import (
    MAX_MESSAGE_BYTES,
    Alert,
    AlertEnd,
    AlertNew,
    AlertUpdate,
    CaptionFinal,
    CaptionPartial,
    ClientMessage,
    Error,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ServerMessage,
    SessionCreated,
    SessionUpdate,
    StreamStatus,
    TextDelta,
    read_server_message,
)
from llama_vid.errors import LlamaVidError, ProtocolError

#: Alerts kept for a reader that is late: more than a night of them. The oldest go first.
ALERTS_KEPT = 1024
#: Captions kept for a reader that is late: half an hour of speech. The oldest go first.
CAPTIONS_KEPT = 2048
#: Status changes kept for a reader that is late: hours of a camera that comes and goes. The oldest go first.
STATUS_KEPT = 256
#: What to do about a server's refusal, by its HTTP status.
REFUSALS = {
    401: "it wants a token, and this one is missing, unknown, revoked or expired; give token=…",
    403: "this token may neither watch nor ask there, or the address is another than the server's own",
    421: "it does not go by this name; use its address, or add the name to server.hosts",
    429: "too many connections or requests by this token; try again later",
    503: "it has too many connections; try again later",
}


class ConnectionLost(LlamaVidError):
    """The server cannot be reached, or the connection to it ended; the text has the close code, if there was one."""

    code = "connection_lost"


class RequestRefused(ProtocolError):
    """The server answered with `error`; `code` and `param` are the server's."""


class ResponseFailed(LlamaVidError):
    """The server could not finish an answer."""

    def __init__(self, done: ResponseDone) -> None:
        super().__init__(done.error.message if done.error else f"The response ended as {done.status}.")
        self.code = done.error.code if done.error else done.status
        self.done = done


class Client:
    """One connection, made by `async with Client.connect(url) as client`. Several questions may be open at once."""

    def __init__(self, socket: ClientConnection, session: SessionCreated) -> None:
        self.session = session
        self._socket = socket
        self._numbers = itertools.count(1)
        self._asked: dict[str, asyncio.Queue[ServerMessage | LlamaVidError]] = {}
        self._abandoned: set[str] = set()  # asked, but left before the server said under which id it answers
        self._answering: dict[str, asyncio.Queue[ServerMessage | LlamaVidError]] = {}
        self._statuses: Feed[StreamStatus] = Feed(STATUS_KEPT)
        self._alerts: Feed[Alert] = Feed(ALERTS_KEPT)
        self._captions: Feed[CaptionPartial | CaptionFinal] = Feed(CAPTIONS_KEPT)
        self._states: dict[str, StreamStatus] = {}
        self._lost: LlamaVidError | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(
        cls, url: str, *, token: str | None = None, timeout_s: float = 10.0, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[Self]:
        """Connects to a server, `https://host:port` or `wss://host:port/ws`, and leaves it at the end of the block.

        `token` is one of `llama-vid token create`, for a server that wants one; `tls` for a certificate that the
        system does not know: `ssl.create_default_context(cafile="cert.pem")`.
        Raises ConnectionLost when the server cannot be reached, refuses, or does not speak this protocol.
        """
        parts = urlsplit(url if "://" in url else f"http://{url}")
        scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
        path = "/ws" if parts.path in ("", "/") else parts.path
        address = urlunsplit((scheme, parts.netloc, path, parts.query, ""))
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        try:
            socket = await connect(
                address,
                open_timeout=timeout_s,
                max_size=MAX_MESSAGE_BYTES,
                compression=None,
                # A proxy from the environment must not be asked for this very machine.
                proxy=None if local else True,
                additional_headers={} if token is None else {"Authorization": f"Bearer {token}"},
                ssl=tls,
            )
        except InvalidStatus as problem:
            status = problem.response.status_code
            raise ConnectionLost(
                f"The server at {parts.hostname} refused ({status}): {REFUSALS.get(status, 'is this its address?')}"
            ) from None
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as problem:
            shown = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
            raise ConnectionLost(f"No connection to the server at {shown}: {problem}; is it running?") from None
        async with socket:
            client = cls(socket, await cls._greeting(socket, timeout_s))
            reader = asyncio.create_task(client._read(), name="llama-vid-client-reader")
            try:
                yield client
            finally:
                reader.cancel()
                await asyncio.wait([reader])

    @property
    def states(self) -> dict[str, StreamStatus]:
        """The newest status of each camera."""
        return dict(self._states)

    async def ask(
        self, camera: str | list[str], question: str, *, conversation: str | None = None
    ) -> AsyncGenerator[str, None]:
        """Asks about a camera, or several, and yields the answer's text as it comes; leaving the loop early cancels it.

        Raises RequestRefused, ResponseFailed or ConnectionLost.
        """
        async with contextlib.aclosing(self.events(camera, question, conversation=conversation)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    yield event.delta

    async def answer(self, camera: str | list[str], question: str, *, conversation: str | None = None) -> ResponseDone:
        """Asks and waits for the whole answer with its times and evidence. Raises as `ask` does."""
        async with contextlib.aclosing(self.events(camera, question, conversation=conversation)) as events:
            async for event in events:
                if isinstance(event, ResponseDone):
                    return event
        raise ConnectionLost("The answer ended without response.done.")

    async def events(
        self, camera: str | list[str], question: str, *, conversation: str | None = None
    ) -> AsyncGenerator[ResponseCreated | TextDelta | ResponseDone, None]:
        """Asks and yields every message about the response: created, deltas, done. Raises as `ask` does."""
        event_id = f"ask_{next(self._numbers)}"
        inbox: asyncio.Queue[ServerMessage | LlamaVidError] = asyncio.Queue()
        self._asked[event_id] = inbox
        response_id: str | None = None
        try:
            await self._send(_request(event_id, camera, question, conversation))
            while True:
                message = await self._next(inbox)
                if isinstance(message, ResponseCreated):
                    response_id = message.response_id
                    yield message
                elif isinstance(message, TextDelta):
                    yield message
                elif isinstance(message, ResponseDone):
                    response_id = None
                    if message.status == "failed":
                        raise ResponseFailed(message)
                    yield message
                    return
        finally:
            if self._asked.pop(event_id, None) is not None:
                self._abandoned.add(event_id)
            if response_id is not None:
                self._answering.pop(response_id, None)
                with contextlib.suppress(ConnectionLost):
                    await self.cancel(response_id)

    async def cancel(self, response_id: str) -> None:
        """Asks the server to end a response; its `response.done` then says `cancelled`. Raises ConnectionLost."""
        await self._send(ResponseCancel(response_id=response_id))

    async def choose(self, cameras: list[str]) -> None:
        """Limits all that is told unasked to these cameras; their newest states follow. Raises ConnectionLost."""
        await self._send(SessionUpdate(cameras=cameras))

    def statuses(self) -> AsyncIterator[StreamStatus]:
        """Every change of a camera's state, the present states first; ends when the connection does."""
        return self._statuses.read()

    def alerts(self) -> AsyncIterator[Alert]:
        """Every `alert.new`, `alert.update` and `alert.end` since the connection began; ends when it does.

        What happened before is at `/api/cameras/{id}/events`.
        """
        return self._alerts.read()

    def captions(self) -> AsyncIterator[CaptionPartial | CaptionFinal]:
        """What is said in front of cameras with captions, from now on; ends when the connection does."""
        return self._captions.read()

    @staticmethod
    async def _greeting(socket: ClientConnection, timeout_s: float) -> SessionCreated:
        try:
            async with asyncio.timeout(timeout_s):
                first = read_server_message(str(await socket.recv()))
        except (TimeoutError, ConnectionClosed, ProtocolError) as problem:
            raise ConnectionLost(f"The server did not greet with session.created ({type(problem).__name__}).") from None
        if not isinstance(first, SessionCreated):
            raise ConnectionLost("The server did not greet with session.created; is this a llama-vid server?")
        return first

    async def _next(self, inbox: asyncio.Queue[ServerMessage | LlamaVidError]) -> ServerMessage:
        if self._lost is not None and inbox.empty():
            raise self._lost
        message = await inbox.get()
        if isinstance(message, LlamaVidError):
            raise message
        return message

    async def _send(self, message: ClientMessage) -> None:
        try:
            await self._socket.send(message.model_dump_json(exclude_none=True))
        except ConnectionClosed as end:
            raise self._ended(end) from None

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                message = read_server_message(text if isinstance(text, str) else text.decode())
                if isinstance(message, ResponseCreated) and message.event_id in self._abandoned:
                    self._abandoned.discard(message.event_id)
                    await self.cancel(message.response_id)
                elif message is not None:
                    self._deliver(message)
            self._lost = self._ended(None)
        except ConnectionClosed as end:
            self._lost = self._ended(end)
        except ConnectionLost as end:
            self._lost = end
        except (ProtocolError, UnicodeDecodeError) as problem:
            self._lost = ConnectionLost(str(problem))
        finally:
            lost = self._lost or ConnectionLost("The connection was closed by this program.")
            self._lost = lost
            for inbox in (*self._asked.values(), *self._answering.values()):
                inbox.put_nowait(lost)
            for feed in (self._statuses, self._alerts, self._captions):
                feed.close()

    def _ended(self, end: ConnectionClosed | None) -> ConnectionLost:
        close = (end.rcvd if end is not None else None) or getattr(self._socket.protocol, "close_rcvd", None)
        how = f"code {close.code} {close.reason}".strip() if close else "without a goodbye"
        return ConnectionLost(f"The server closed the connection ({how}); connect again.")

    def _deliver(self, message: ServerMessage) -> None:
        if isinstance(message, StreamStatus):
            self._states[message.camera] = message
            self._statuses.put(message)
        elif isinstance(message, (AlertNew, AlertUpdate, AlertEnd)):
            self._alerts.put(message)
        elif isinstance(message, (CaptionPartial, CaptionFinal)):
            self._captions.put(message)
        elif isinstance(message, ResponseCreated):
            inbox = self._asked.pop(message.event_id or "", None)
            if inbox is not None:
                self._answering[message.response_id] = inbox
                inbox.put_nowait(message)
        elif isinstance(message, (TextDelta, ResponseDone)):
            done = isinstance(message, ResponseDone)
            inbox = (self._answering.pop if done else self._answering.get)(message.response_id, None)
            if inbox is not None:
                inbox.put_nowait(message)
        elif isinstance(message, Error):
            self._abandoned.discard(message.event_id or "")
            inbox = self._asked.pop(message.event_id or "", None)
            if inbox is not None:
                inbox.put_nowait(RequestRefused(message.message, code=message.code, param=message.param))


def _request(event_id: str, camera: str | list[str], question: str, conversation: str | None) -> ResponseCreate:
    question = question.encode(errors="replace").decode()  # half a character cannot be sent
    one, many = (camera, None) if isinstance(camera, str) else (None, camera)
    try:
        return ResponseCreate(event_id=event_id, camera=one, cameras=many, question=question, conversation=conversation)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        param = ".".join(str(part) for part in first["loc"])
        raise RequestRefused(f"{param}: {first['msg']}.", param=param) from None
