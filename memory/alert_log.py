"""The journal's alerts: on disk before anybody is told, and told to every channel however long that takes.

seq = journal.alerts.record(change)              # queued before everything else, never blocks
await journal.alerts.committed(seq, timeout=1)   # on disk, also after a power cut
for out in journal.alerts.undelivered("mqtt", 100):
    ...
    journal.alerts.delivered("mqtt", out.seq)
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from llama_vid.memory import alert_rows
from llama_vid.memory.alerts import AlertChange, AlertEvent
from llama_vid.memory.outbox import Channels, Delivered, Ledger, OutboxRow, Outgoing, packed

T = TypeVar("T")


class Store(Protocol):
    """What the log needs of the journal."""

    def put(self, item: OutboxRow) -> None: ...
    def now(self) -> float: ...
    def read(self, query: Callable[[sqlite3.Connection], T], otherwise: T) -> T: ...
    def unwritten(self) -> list[Outgoing]:
        """The changes that wait for a disk that fails; none while writing works."""


class AlertLog:
    """All cameras' alerts, usable from any thread; reads are short queries and see what is committed."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store, self._ledger = store, ledger

    def record(self, change: AlertChange) -> int:
        """Keep a change of an event and queue it for every channel; gives its number at once.

        Raises ValueError where a number of it is not finite.
        """
        packed(change)
        now = self._store.now()
        seq = self._ledger.number(now)
        self._store.put(Outgoing(seq, change, now))
        return seq

    async def committed(self, seq: int, timeout: float | None = None) -> bool:
        """Wait until what got this number is on disk (synced); False when it is not within `timeout` seconds.

        A disk that is full or fails makes that last; who is told over the network should be told then nevertheless.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._ledger.on_disk.beyond(seq - 1)
        except TimeoutError:
            return False
        return True

    def events(self, camera: str, start: float, end: float, limit: int = 1000) -> list[AlertEvent]:
        """The newest `limit` events that share time with [start, end], in time order, as they are known now."""
        return self._store.read(lambda db: alert_rows.events(db, camera, start, end, limit), [])

    def open_events(self, camera: str) -> list[AlertEvent]:
        """The events that go on. What a killed process left open was ended when the journal was opened."""
        return self._store.read(lambda db: alert_rows.open_events(db, camera), [])

    def latest(self, camera: str) -> list[AlertEvent]:
        """The last event of each rule, open or over."""
        return self._store.read(lambda db: alert_rows.latest(db, camera), [])

    def channels(self, names: Sequence[str]) -> None:
        """Say which channels there are. Call it before the cameras start, and again when that changes.

        One that is new begins with what is recorded from now on; of one that is not named any more nothing is kept.
        """
        channels = Channels(tuple(names), self._ledger.last)
        self._ledger.channels = channels
        self._store.put(channels)

    def undelivered(self, channel: str, limit: int = 100) -> list[Outgoing]:
        """The next changes that a channel has not got, oldest first; a channel that was never named has none."""
        channels = self._ledger.channels
        if channels is None or channel not in channels.names:
            return []
        done = self._ledger.done(channel)
        waiting = [out for out in self._store.unwritten() if out.seq > max(done, channels.start)]
        found = self._store.read(
            lambda db: alert_rows.undelivered(db, channel, channels.start, done, limit), list[Outgoing]()
        )
        return sorted({out.seq: out for out in (*found, *waiting)}.values(), key=lambda out: out.seq)[:limit]

    def delivered(self, channel: str, seq: int) -> None:
        """A channel has everything up to this number. After a crash it may be given the last second's again."""
        self._ledger.deliver(channel, seq)
        self._store.put(Delivered(channel, seq))

    async def more(self, after: int) -> None:
        """Wait until there is something to deliver of a higher number."""
        await self._ledger.to_tell.beyond(after)

    @property
    def at_hand(self) -> int:
        """The highest number that is there to deliver; read it before `undelivered`, and wait for `more` than it."""
        return self._ledger.to_tell.last

    @property
    def last(self) -> int:
        """The number of the last change that was recorded."""
        return self._ledger.last
