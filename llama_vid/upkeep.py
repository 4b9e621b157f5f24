"""What a camera's memory needs behind its frames, in idle time: to be read by the language model, and to be told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Final

from llama_vid.chronicle import Chronicle
from llama_vid.film import Watching
from llama_vid.leisure import Leisure
from llama_vid.model_thread import ModelThread, Priority

logger = logging.getLogger(__name__)

#: Entries that the KV cache may lag behind: the weights are read once for all of them, and a question reads the rest
#: itself in some 50 ms.
READ_PAIRS: Final = 8
#: Seconds after a question in which a memory is kept read even where that takes pages from one not asked for longer.
ASKED_SECONDS: Final = 300.0
#: How often scenes that are not told yet are written to the journal: what the timeline lacks at most after a crash.
NOTE_SECONDS: Final = 20.0


class Upkeep:
    """One camera's idle work. All methods run in the event loop's thread."""

    def __init__(
        self, name: str, watching: Watching, chronicle: Chronicle, thread: ModelThread, leisure: Leisure
    ) -> None:
        self._name, self._watching, self._chronicle = name, watching, chronicle
        self._thread, self._leisure = thread, leisure
        self._bank = watching.recorder.bank
        self._due = asyncio.Event()
        self._over = False
        self._read_version, self._read_entries = self._bank.version, 0
        self._asked_at = self._noted_at = float("-inf")

    def news(self, *, over: bool = False) -> None:
        """Frames came into memory; `over`: the last ones."""
        self._over = over
        self._due.set()

    def asked(self) -> None:
        """Somebody asks about this memory now."""
        self._asked_at = time.monotonic()

    async def prepare(self, work: Iterator[None]) -> None:
        """Do `work` once, in its short steps, while nobody asks and no frame comes."""
        try:
            async with contextlib.aclosing(self._thread.iterate(Priority.REBUILD, work)) as steps:
                async for _ in steps:
                    pass
        except Exception:  # whoever needs it does it then
            logger.exception("%s: what questions need could not be prepared", self._name)

    async def run(self) -> None:
        """Work whenever there is news, until cancelled."""
        if self._watching.recorder.restored:
            self._due.set()
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._work()
            except Exception:  # what failed is tried again with the next frame
                logger.exception("%s: memory could not be read or told", self._name)

    async def _work(self) -> None:
        if (self._unread >= READ_PAIRS or self._over) and self._may_read:
            await self._read()
        while not await self._leisure.spend(self._chronicle.telling()):
            if not self._over:
                break  # more at the next frame
            await asyncio.sleep(0.1)
        if time.monotonic() - self._noted_at >= NOTE_SECONDS:
            self._noted_at = time.monotonic()
            await self._thread.run(Priority.REBUILD, self._chronicle.note)

    @property
    def _unread(self) -> int:
        """Entries that the KV cache does not hold yet; all of them after a consolidation."""
        return len(self._bank) - (self._read_entries if self._bank.version == self._read_version else 0)

    @property
    def _may_read(self) -> bool:
        """A memory that nobody asks about takes no other's place in the KV cache."""
        asked = time.monotonic() - self._asked_at < ASKED_SECONDS
        return asked or self._watching.context.fits(self._watching.entries)

    async def _read(self) -> None:
        began, first = time.monotonic(), self._read_entries == 0
        version, entries = self._bank.version, self._bank.entries
        async with contextlib.aclosing(
            self._thread.iterate(Priority.REBUILD, self._watching.context.syncing(entries))
        ) as batches:
            async for _ in batches:
                pass
        self._read_version, self._read_entries = version, len(entries)
        if first and self._watching.recorder.restored:
            took = time.monotonic() - began
            logger.info("%s: the language model has read its memory again, in %.1f s of idle time", self._name, took)
