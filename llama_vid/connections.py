"""HTTP connections with ends: how many, how long a request may take to arrive, how long a client may read nothing.

uvicorn waits for ever for the rest of a header, and for a client that does not read; and where it answers before it has
read everything, the kernel would reset the line and the answer would be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import weakref
from dataclasses import dataclass, field
from typing import Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from llama_vid.settings_limits import Limits

logger = logging.getLogger(__name__)

#: Files that a server has open beside its connections: journal, pictures, cameras, libraries; with room to spare.
OTHER_FILES: Final = 256
#: The answer to a connection too many, before it has asked for anything.
_BODY: Final = b'{"error":{"code":"too_many_connections","message":"Too many connections; try again.","param":null}}'
TOO_MANY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)
#: Connections that are told so at once; beyond, they are closed without a word. Each is a file to the kernel.
MOST_REFUSED: Final = 128


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: until a TLS handshake is done, a request's header is here; that a client may read nothing, that closing
    may take.

    A phone on a bad line needs a second for each. `farewell_s`: a client that is answered before it has sent everything
    (10 MB where 256 kB are taken) has this long to read the answer.
    """

    header_s: float = 15.0
    handshake_s: float = 10.0
    write_s: float = 30.0
    close_s: float = 10.0
    farewell_s: float = 3.0


@dataclass(slots=True)
class Bounds:
    """The limits of one listener, and the connections that it is seeing off."""

    limits: Limits = field(default_factory=Limits)
    patience: Patience = field(default_factory=Patience)
    refused: set[Connection] = field(default_factory=set)


def make_room(limits: Limits) -> None:
    """Lets this process have as many files open as its connections need; systems often allow 1,024 unless asked.

    Says so in the log where the system does not allow that many: then cameras and the journal would find none left.
    """
    wanted = limits.connections + MOST_REFUSED + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
        logger.warning(
            "server.limits.connections is %d, but this process may open only %d files; "
            "set it to %d, or allow more files (ulimit -n)",
            *(limits.connections, possible, max(8, possible - MOST_REFUSED - OTHER_FILES)),
        )


class ListenerConfig(uvicorn.Config):
    """uvicorn's configuration, which every connection gets to see, with our bounds in it."""

    def __init__(self, *args: Any, bounds: Bounds, **options: Any) -> None:
        super().__init__(*args, **options)
        self.bounds = bounds


class Connection(H11Protocol):
    """One HTTP connection."""

    config: ListenerConfig

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._bounds = self.config.bounds
        self._deaf = False  # what comes is thrown away: the last word has been said
        self._gone = False
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: Any) -> None:
        """As uvicorn's, unless there are too many: then it says so and hangs up."""
        farewell: Any = _Farewell(transport, self)
        super().connection_made(farewell)
        if self._too_many():
            self._refuse()
        else:
            self._within("header", self._bounds.patience.header_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's, and forgets the connection.

        What points back at it is let go of, so that it is gone at once. Else it waits for a collection of all garbage,
        which Python makes when there is a quarter more of it than of all else: thousands of connections, 14 kB each.
        """
        self._gone = True
        self._end_timers()
        self._bounds.refused.discard(self)
        super().connection_lost(exc)
        self.cycle = None  # type: ignore[assignment]  # uvicorn's own first value

    def handle_events(self) -> None:
        """As uvicorn's, and gives the application `cut()` in the request's state: ends the line, whatever is unsent."""
        super().handle_events()
        if self.scope is not None:
            self.scope["state"].setdefault("cut", self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, and begins or ends the wait for a header."""
        if self._deaf:
            return
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.IDLE:
            self._within("header", self._bounds.patience.header_s)
        else:
            self._in_time("header")
        if self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE:
            # Answered already (too long, say). uvicorn throws the rest away, so that the client gets to reading.
            self._within("rest", self._bounds.patience.close_s)
        else:
            self._in_time("rest")

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """As uvicorn's; websockets say farewell in their own way."""
        self._end_timers()
        assert isinstance(self.transport, _Farewell)
        self.transport = self.transport.transport
        super().handle_websocket_upgrade(event)

    def pause_writing(self) -> None:
        """As uvicorn's; a client that then reads nothing for long is let go."""
        super().pause_writing()
        self._within("write", self._bounds.patience.write_s)

    def resume_writing(self) -> None:
        """As uvicorn's."""
        super().resume_writing()
        self._in_time("write")

    def shutdown(self) -> None:
        """As uvicorn's; who has been told good-bye is not told again."""
        if self._deaf:
            self.transport.abort()
        else:
            super().shutdown()

    @property
    def deaf(self) -> bool:
        """Whether the last word has been said, and only the client's end of it is waited for."""
        return self._deaf

    def say_farewell(self, transport: asyncio.Transport) -> None:
        """Closes behind what was written: at once where the client has sent all, else when it has read the answer."""
        if self._gone:
            return
        self._in_time("header")
        patience = self._bounds.patience
        unread = self.conn.their_state in (h11.SEND_BODY, h11.ERROR)
        if (self._deaf or unread) and transport.can_write_eof() and not transport.is_closing():
            self._deaf = True
            with contextlib.suppress(RuntimeError, OSError):
                transport.write_eof()
            transport.resume_reading()
            self._within("farewell", patience.farewell_s)
        else:
            transport.close()
            self._within("close", patience.close_s)

    def _too_many(self) -> bool:
        limits, address = self._bounds.limits, self.client[0] if self.client else ""
        if len(self.connections) > limits.connections:
            return True
        if address.startswith("127.") or address == "::1":
            return False
        addresses = (client[0] for each in self.connections if (client := getattr(each, "client", None)))
        return sum(1 for each in addresses if each == address) > limits.per_address

    def _refuse(self) -> None:
        self.connections.discard(self)
        if len(self._bounds.refused) >= MOST_REFUSED:
            self.transport.close()
            return
        self._bounds.refused.add(self)
        self._deaf = True
        self.transport.write(TOO_MANY)
        self.transport.close()

    def _within(self, what: str, seconds: float) -> None:
        """Lets the connection go after so long, unless it is `_in_time` before."""
        if what not in self._timers:
            self._timers[what] = self.loop.call_later(seconds, self._let_go, what)

    def _in_time(self, what: str) -> None:
        timer = self._timers.pop(what, None)
        if timer is not None:
            timer.cancel()

    def _end_timers(self) -> None:
        for what in list(self._timers):
            self._in_time(what)

    def _let_go(self, what: str) -> None:
        del self._timers[what]
        if what == "header":
            self.transport.close()
        else:
            self.transport.abort()


class _Farewell:
    """A transport whose `close` is the connection's farewell."""

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        self.transport = transport
        self._connection = weakref.ref(connection)  # which holds this one

    def close(self) -> None:
        if (connection := self._connection()) is not None:
            connection.say_farewell(self.transport)

    def is_closing(self) -> bool:
        connection = self._connection()
        return (connection is not None and connection.deaf) or self.transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)
