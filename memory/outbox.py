"""What waits to be announced: every change of an alert, numbered, for each channel until that channel has it.

A channel is one way out: MQTT, one webhook. Each goes through the changes in the order of their numbers at its own pace
and says how far it is; a change is gone from the outbox when all have it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass

from llama_vid.memory.alerts import AlertChange, AlertEvent


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A change to announce, as it was then. `seq` grows from change to change (with holes), also over restarts;
    `written` is the epoch second of its recording.
    """

    seq: int
    change: AlertChange
    written: float


@dataclass(frozen=True, slots=True)
class Delivered:
    """A channel has everything up to a number; queued for the writer."""

    channel: str
    seq: int


@dataclass(frozen=True, slots=True)
class Channels:
    """Which channels there are from now on; queued for the writer. A new one begins after number `start`."""

    names: tuple[str, ...]
    start: int


#: What the writer thread is told of the outbox.
OutboxRow = Outgoing | Delivered | Channels


def packed(change: AlertChange) -> str:
    """A change as JSON, whole. Raises ValueError for numbers that JSON does not know."""
    return json.dumps(
        {"type": change.type, "at": change.at, "event": asdict(change.event)}, allow_nan=False, ensure_ascii=False
    )


def unpacked(text: str) -> AlertChange:
    """A change that was packed. Raises ValueError, KeyError or TypeError."""
    tree = json.loads(text)
    event = tree["event"] | {"frames": tuple(tree["event"]["frames"])}
    return AlertChange(tree["type"], AlertEvent(**event), tree["at"])


class Arrivals:
    """The highest number that has come; who waits for a higher one is woken in its own event loop. For all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._waiters: dict[asyncio.Future[None], tuple[int, asyncio.AbstractEventLoop]] = {}

    @property
    def last(self) -> int:
        """The highest number so far."""
        return self._last

    def reach(self, number: int) -> None:
        """This number has come."""
        with self._lock:
            self._last = max(self._last, number)
            due = [(future, loop) for future, (after, loop) in self._waiters.items() if after < self._last]
            for future, _ in due:
                del self._waiters[future]
        for future, loop in due:
            with suppress(RuntimeError):  # its event loop is closed
                loop.call_soon_threadsafe(_wake, future)

    async def beyond(self, after: int) -> None:
        """Wait until a higher number than this one has come."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if self._last > after:
                return
            self._waiters[future] = (after, loop)
        try:
            await future
        finally:
            with self._lock:
                self._waiters.pop(future, None)


class Ledger:
    """What threads know of the outbox beside the database: numbers, channels, how far each is, what has come.

    Numbers are epoch microseconds, or one more than the last where that is higher, so that those of a database that
    was begun anew are higher than those of the one before.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self.channels: Channels | None = None
        self._done: dict[str, int] = {}
        self.on_disk = Arrivals()
        #: On disk, or on a disk that fails: then an alert is told before it is kept, rather than not at all.
        self.to_tell = Arrivals()

    @property
    def last(self) -> int:
        """The last number that was given."""
        return self._last

    def number(self, now: float) -> int:
        """A new number, for something that is recorded at an epoch second."""
        with self._lock:
            self._last = max(self._last + 1, int(now * 1e6))
            return self._last

    def passed(self, number: int) -> None:
        """Numbers up to this one were given before, and are on disk."""
        with self._lock:
            self._last = max(self._last, number)
        self.committed([number])

    def done(self, channel: str) -> int:
        """How far a channel said it is, since the start of the process; 0 for not at all."""
        return self._done.get(channel, 0)

    def deliver(self, channel: str, seq: int) -> None:
        """A channel has everything up to a number."""
        with self._lock:
            self._done[channel] = max(self._done.get(channel, 0), seq)

    def committed(self, numbers: Iterable[int]) -> None:
        """These are on disk."""
        last = max(numbers, default=0)
        self.on_disk.reach(last)
        self.to_tell.reach(last)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
