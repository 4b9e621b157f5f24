"""What may wait until nobody asks and no frame comes: told scene by scene, over all cameras together."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Final

from llama_vid.model_thread import ModelThread, Priority

#: Telling scenes takes one part in so many of the model's time at most: a film with a cut a second would ask for all.
SHARE: Final = 5
#: Seconds of one turn; after it other cameras have theirs.
TURN: Final = 1.0


class Leisure:
    """Lets one camera at a time do idle work in the model thread, and rests in between."""

    def __init__(self, thread: ModelThread) -> None:
        self._thread = thread
        self._turn = asyncio.Lock()
        self._rested_at = 0.0

    async def spend(self, work: Iterator[None]) -> bool:
        """Do short steps of `work` for a turn; False where it is not finished, or it is not yet time.

        Closes `work`. Each step is a job that waits for questions and frames.
        """
        if self._turn.locked() or time.monotonic() < self._rested_at:
            return False
        async with self._turn:
            began = time.monotonic()
            finished = True
            async with contextlib.aclosing(self._thread.iterate(Priority.REBUILD, work)) as steps:
                async for _ in steps:
                    if time.monotonic() - began > TURN:
                        finished = False
                        break
            now = time.monotonic()
            self._rested_at = now + (SHARE - 1) * (now - began)
            return finished
