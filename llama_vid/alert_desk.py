"""Alerts on their way through the server: written down first, then told to everybody who listens.

An event is on disk before anybody hears of it, so that whoever was told can look it up whatever happens next. Where the
disk fails it is told all the same: an alert that nobody hears is worth nothing. MQTT and webhooks do not listen here:
they read the journal's outbox, which outlives the process (`llama_vid.memory.outbox`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from llama_vid.clients.live import AlertListener
from llama_vid.listeners import Listeners
from llama_vid.memory.alerts import AlertChange
from llama_vid.memory.records import Record

if TYPE_CHECKING:
    from llama_vid.memory.journal import Journal

logger = logging.getLogger(__name__)

#: Seconds that an alert waits for its disk: a write takes some 10 ms, and an alert has 1.5 s to arrive.
PATIENCE_S: Final = 1.0
#: The kind of the journal's records that say whether a camera's alerts are paused.
PAUSE: Final = "pause"


class AlertDesk:
    """Takes what cameras' rules find and tells it, in order. All methods run in the event loop's thread."""

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self._log = journal.alerts if journal is not None else None
        self._paused: dict[str, bool] = {}
        self._listeners: Listeners[AlertListener] = Listeners()
        self._taken: asyncio.Queue[tuple[AlertChange, int | None]] = (
            asyncio.Queue()
        )  # a rule makes two a minute at most

    def take(self, change: AlertChange) -> None:
        """What became of an event; it is told by `run` when it is on disk."""
        event = change.event
        said = (event.camera, event.rule, change.type, event.text)
        logger.info("Camera %s, alert %s: %s (%s)", *said, extra={"camera": event.camera})
        self._taken.put_nowait((change, self._log.record(change) if self._log is not None else None))

    async def run(self) -> None:
        """Tells what was taken, until cancelled."""
        while True:
            change, number = await self._taken.get()
            if self._log is not None and number is not None and not await self._log.committed(number, PATIENCE_S):
                logger.warning("Camera %s: an alert is told before it is on disk", change.event.camera)
            for listener in self._listeners:
                try:
                    listener(change)
                except Exception:  # one listener must not keep an alert from the others
                    logger.exception("an alert could not be told")

    def listen(self, listener: AlertListener) -> Callable[[], None]:
        """Calls `listener(change)` on every change from now on; the returned function ends that."""
        return self._listeners.add(listener)

    def paused(self, camera: str) -> bool:
        """Whether a camera's alerts are paused; also after a restart."""
        if camera not in self._paused:
            noted = []
            if self._journal is not None:
                noted = self._journal.camera(camera).records(PAUSE, float("-inf"), float("inf"))
            self._paused[camera] = bool(noted) and noted[-1].text == "paused"
        return self._paused[camera]

    def pause(self, camera: str, paused: bool) -> None:
        """Note whether a camera's alerts are paused."""
        if paused == self.paused(camera):
            return
        self._paused[camera] = paused
        if self._journal is not None:
            now = time.time()
            self._journal.camera(camera).note(Record(PAUSE, now, now, "paused" if paused else "on"))
