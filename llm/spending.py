"""What a remote model may cost: requests and images in any hour, counted on disk so that a restart forgets nothing."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from llama_vid.llm.remote_options import HOUR_S

logger = logging.getLogger(__name__)

FILE: Final = "remote-spending.sqlite"
#: Another process (`llama-vid ask` beside the server) may be counting just now.
BUSY_S: Final = 5.0


class Spending:
    """A sliding window of one hour over what was sent. All methods may be called from any thread.

    With a `folder` (it must exist) the counts are kept there, for all processes that use it; else in memory, as they
    are where the file cannot be used, which is logged.
    """

    def __init__(
        self,
        requests: int | None,
        images: int | None,
        folder: Path | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._requests, self._images, self._now = requests, images, now
        self._lock = threading.Lock()
        self._store = self._opened(folder)

    def take(self, images: int) -> str:
        """Count one request with so many images, if it may be sent; else why not, in words ("" where it may)."""
        with self._lock:
            try:
                return self._take(images)
            except sqlite3.Error as problem:
                logger.warning("What the remote model costs is counted in memory alone from now on: %s", problem)
                self._store = self._opened(None)
                return self._take(images)

    def spent(self) -> tuple[int, int]:
        """Requests and images of the last hour."""
        with self._lock:
            try:
                return self._sum(self._now())
            except sqlite3.Error:
                return 0, 0

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._store.close()

    def _take(self, images: int) -> str:
        now = self._now()
        self._store.execute("BEGIN IMMEDIATE")
        try:
            # What lies in the future was counted before the clock was set back.
            self._store.execute("DELETE FROM sent WHERE at <= ? OR at > ?", (now - HOUR_S, now + HOUR_S))
            requests, shown = self._sum(now)
            reason = ""
            if self._requests is not None and requests + 1 > self._requests:
                reason = f"the {self._requests} requests of this hour are spent (llm.openai.requests_per_hour)"
            elif images and self._images is not None and shown + images > self._images:
                reason = f"the {self._images} images of this hour are spent (llm.openai.images_per_hour)"
            else:
                self._store.execute("INSERT INTO sent VALUES (?, ?)", (now, images))
        except BaseException:
            self._store.execute("ROLLBACK")
            raise
        self._store.execute("COMMIT")
        return reason

    def _sum(self, now: float) -> tuple[int, int]:
        query = "SELECT COUNT(*), COALESCE(SUM(images), 0) FROM sent WHERE at > ?"
        requests, images = self._store.execute(query, (now - HOUR_S,)).fetchone()
        return int(requests), int(images)

    @staticmethod
    def _opened(folder: Path | None) -> sqlite3.Connection:
        place = ":memory:" if folder is None else str(folder / FILE)
        store = None
        try:
            store = sqlite3.connect(place, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            store.execute("CREATE TABLE IF NOT EXISTS sent (at REAL NOT NULL, images INTEGER NOT NULL)")
            return store
        except sqlite3.Error as problem:
            if store is not None:
                store.close()
            if folder is None:
                raise
            logger.warning("%s cannot be used (%s): what the remote model costs is counted in memory", place, problem)
            return Spending._opened(None)
