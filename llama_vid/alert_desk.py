"""Alerts on their way through the server: written down first, then told to everybody who listens.

An event is on disk before anybody hears of it, so that whoever was told can look it up whatever happens next. Where no
disk can be written, it is told all the same: an alert that nobody hears is worth nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from llama_vid.clients.live import AlertListener
from llama_vid.memory.alerts import AlertChange

logger = logging.getLogger(__name__)


class AlertKeeper(Protocol):
    """Keeps alerts on disk (`llama_vid.memory.alert_log.AlertLog`)."""

    def record(self, change: AlertChange, written: Callable[[], None]) -> None:
        """Queue a change; `written` is called, from any thread, when it is on disk or cannot be for now."""


class AlertDesk:
    """Takes what cameras' rules find and tells it, in order. All methods run in the event loop's thread."""

    def __init__(self, keeper: AlertKeeper | None = None) -> None:
        self._keeper = keeper
        self._listeners: list[AlertListener] = []

    def take(self, change: AlertChange) -> None:
        """What became of an event: it is told to all listeners once it is on disk."""
        event = change.event
        logger.info("Alert %s of camera %s, rule %s: %s", change.type, event.camera, event.rule, event.text)
        if self._keeper is None:
            self._tell(change)
            return
        loop = asyncio.get_running_loop()

        def written() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
                loop.call_soon_threadsafe(self._tell, change)

        self._keeper.record(change, written)

    def listen(self, listener: AlertListener) -> Callable[[], None]:
        """Calls `listener(change)` on every change from now on; the returned function ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _tell(self, change: AlertChange) -> None:
        for listener in list(self._listeners):
            try:
                listener(change)
            except Exception:  # one listener must not keep an alert from the others
                logger.exception("an alert could not be told")
