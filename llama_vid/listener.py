"""The port itself: uvicorn on the `websockets` library, with goodbyes that reach, or end, clients that do not read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import weakref
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import ProtocolError as ClosedAlready
from websockets.frames import Frame
from websockets.http11 import Request

from llama_vid.clients.closing import Closing
from llama_vid.clients.protocol import CLOSE_SHUTDOWN, CLOSE_TOO_BIG, MAX_MESSAGE_BYTES
from llama_vid.connections import Bounds, Connection, ListenerConfig, Patience
from llama_vid.settings import ServerSettings

#: After a goodbye, a client has this long to read it before the connection is cut; a page reacts in milliseconds.
GOODBYE_S = 2.0
CLOSE_NO_TEXT = 1007
#: What is still to be read after the last word has this long.
LAST_S = 10.0
#: What the kernel may hold for a client that does not read. Linux would grow it to 4 MB, and a slow client would look
#: fast for minutes; 64 KiB is some 500 messages.
SEND_BUFFER_BYTES = 65_536
#: The longest request line and headers together; longer ones get 400. A browser's take 2 kB.
MAX_HEADER_BYTES = 16_384
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
#: Fragments of one message. Libraries send a megabyte in some dozen; each, even an empty one, costs memory.
MOST_FRAGMENTS = 1024
#: After the goodbyes, requests that are still running have this long at shutdown.
SHUTDOWN_S = 2


class Socket(WebSocketsSansIOProtocol):
    """A websocket that can be closed at once: ASGI's close waits until the client has read everything before it."""

    def handle_connect(self, event: Request) -> None:
        """As uvicorn's, and gives the application `close_now(code, reason)` in the connection's state."""
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["state"]["close_now"] = _weakly(self)

    def connection_made(self, transport: Any) -> None:
        """As uvicorn's, with little buffered for a client that does not read."""
        super().connection_made(transport)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's; the parser, which holds itself, ends, so that the connection is gone at once (see there)."""
        super().connection_lost(exc)
        self.conn.parser.close()

    def data_received(self, data: bytes) -> None:
        """As uvicorn's; a handshake that cannot be read is answered, too, and not left open."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated and not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()) or BAD_REQUEST)
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        """As uvicorn's, up to a number of fragments."""
        if len(self.frames) >= MOST_FRAGMENTS:
            self.close_now(CLOSE_TOO_BIG, "too many fragments")
        if not self.close_sent:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """As uvicorn's; text that is none closes with 1007, without a traceback in the log for each."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            self.frames = [b"".join(self.frames)]
            try:
                self.frames[0].decode()
            except UnicodeDecodeError:
                self.frames = []
                self.close_now(CLOSE_NO_TEXT, "the text is not UTF-8")
                return
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """As uvicorn's; who does not read gets no more pongs, which would pile up."""
        output = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(output)

    async def send(self, message: Any) -> None:
        """As uvicorn's; who sends after a goodbye finds the client gone, which is no fault of the sender.

        A handshake that was refused is complete, too: uvicorn would log an error for each.
        """
        try:
            await super().send(message)
            self.handshake_complete |= self.initial_response is not None and self.close_sent
        except RuntimeError:
            if self.close_sent and message["type"] == "websocket.send":
                raise ClientDisconnected from None
            raise

    def close_now(self, code: int, reason: str = "") -> None:
        """Sends the close frame behind what is buffered, tells the application, cuts the line after GOODBYE_S."""
        if self.close_sent or self.transport.is_closing() or not self.handshake_complete:
            return
        with contextlib.suppress(ClosedAlready):
            self.conn.send_close(code, reason)
        self._leave(code, reason)

    def shutdown(self) -> None:
        """Called by uvicorn when the server stops: says goodbye with 1001 and waits until the client has read it."""
        if not self.handshake_complete:
            super().shutdown()
        self.close_now(CLOSE_SHUTDOWN, "the server is shutting down")

    def handle_parser_exception(self) -> None:
        """As uvicorn's (too big, not a websocket frame), and waits until the client has read why.

        Closing at once, with bytes of the client unread, would make the kernel reset the line, close frame and all.
        """
        if self.close_sent or self.conn.close_sent is None:
            return
        self._leave(self.conn.close_sent.code, self.conn.close_sent.reason)

    def _leave(self, code: int, reason: str) -> None:
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(GOODBYE_S, self.transport.abort)

    def handle_close(self, event: Frame) -> None:
        """As uvicorn's, and does not wait for ever until a client that said goodbye has read all."""
        super().handle_close(event)
        self.loop.call_later(LAST_S, self.transport.abort)

    async def run_asgi(self) -> None:
        """As uvicorn's; when the application is done, so is the connection before long."""
        await super().run_asgi()
        self.loop.call_later(LAST_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """As uvicorn's, and does not wait for a dead peer to read."""
        super().keepalive_timeout()
        self.loop.call_later(GOODBYE_S, self.transport.abort)


def _weakly(held: Socket) -> Callable[[int, str], None]:
    """Its `close_now`, for what it holds itself."""
    reference = weakref.ref(held)

    def close_now(code: int, reason: str = "") -> None:
        if (found := reference()) is not None:
            found.close_now(code, reason)

    return close_now


class Listener(uvicorn.Server):
    """uvicorn's server, which tells the port that was really taken."""

    def __init__(
        self,
        config: ListenerConfig,
        on_open: Callable[[str, int], None] | None = None,
        closing: Closing | None = None,
    ) -> None:
        super().__init__(config)
        self._patience = config.bounds.patience
        self._on_open, self._closing = on_open, closing

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, with bounds for TLS where sockets are given; then calls `on_open(host, port)`, with the port
        that was really taken.
        """
        await (super().startup() if sockets is None else self._listen(sockets))
        if self.started and self._on_open is not None:
            host, port = self.address
            self._on_open(host, port)

    async def _listen(self, sockets: list[socket.socket]) -> None:
        """What uvicorn's start-up does with sockets. It leaves asyncio's minute for a handshake, in which a client that
        says nothing is not even counted as a connection.
        """
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        config, loop = self.config, asyncio.get_running_loop()
        tls: dict[str, Any] = {}
        if config.ssl is not None:
            tls = {"ssl_handshake_timeout": self._patience.handshake_s, "ssl_shutdown_timeout": self._patience.close_s}

        def connection() -> asyncio.Protocol:
            make: Any = config.http_protocol_class
            made: asyncio.Protocol = make(config=config, server_state=self.server_state, app_state=self.lifespan.state)
            return made

        self.servers = [
            await loop.create_server(connection, sock=each, ssl=config.ssl, backlog=config.backlog, **tls)
            for each in sockets
        ]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, once open answers have ended and their clients know."""
        if self._closing is not None and not self.force_exit:
            await self._closing.begin()
        await super().shutdown(sockets)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; known once `started`."""
        name = self.servers[0].sockets[0].getsockname()
        return str(name[0]), int(name[1])


def make_listener(
    app: ASGIApp,
    settings: ServerSettings,
    on_open: Callable[[str, int], None] | None = None,
    *,
    log_level: str = "error",  # its warnings are of garbage that strangers send
    patience: Patience | None = None,
) -> Listener:
    """The server for an application, not yet started. Message and timeout limits are set here."""
    tls: dict[str, Any] = {}
    if settings.tls is not None:
        tls = {"ssl_certfile": settings.tls.cert, "ssl_keyfile": settings.tls.key}
    config = ListenerConfig(
        app,
        bounds=Bounds(settings.limits, patience or Patience()),
        host=settings.host,
        port=settings.port,
        lifespan="on",
        loop="asyncio",  # not uvloop where another package brought it: the sockets' behaviour here is asyncio's
        http=Connection,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        ws=Socket,
        ws_max_size=MAX_MESSAGE_BYTES,
        # Messages are small, and a compressed bomb costs memory before its size is known.
        ws_per_message_deflate=False,
        log_config=None,
        log_level=log_level,
        access_log=False,
        server_header=False,
        # Nobody in front of us is trusted to say who the client is.
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        **tls,
    )
    state = getattr(app, "state", None)  # a FastAPI application has one
    return Listener(config, on_open, getattr(state, "closing", None))
