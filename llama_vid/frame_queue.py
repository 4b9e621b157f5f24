"""A camera's frames between its source and its memory: few may wait, and the oldest give way."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from llama_vid.errors import EndOfStream, SourceError
from llama_vid.recorder import BATCH
from llama_vid.stream.frame import Frame
from llama_vid.stream.source import Source

logger = logging.getLogger(__name__)

#: Frames that wait for the model thread, or the tower; beyond that the oldest is dropped and counted: 16 s at one a
#: second.
WAITING: Final = 16


class FrameQueue:
    """`newest` is the last frame that came, `dropped` counts those that gave way. On the event loop only."""

    def __init__(self, name: str) -> None:
        self.newest: Frame | None = None
        self.dropped = 0
        self._name = name
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue(WAITING)  # None: no more will come

    async def pull(self, source: Source) -> None:
        """Put a source's frames until it is over."""
        try:
            while True:
                self.put(await source.recv())
        except EndOfStream:
            logger.info("%s has ended", self._name)
        except SourceError as problem:
            logger.warning("%s: %s", self._name, problem)
        self.put(None)

    def put(self, frame: Frame | None) -> None:
        """The next frame, or None: there will be none."""
        if frame is not None:
            self.newest = frame
        if self._frames.full():
            self._frames.get_nowait()
            self.dropped += 1
        self._frames.put_nowait(frame)

    async def get(self) -> Frame | None:
        """The next frame; None after the last."""
        return await self._frames.get()

    async def take(self) -> tuple[list[Frame], bool]:
        """What has come, at least something and at most a batch, and whether that was the end."""
        waiting = [await self._frames.get()]
        while len(waiting) < BATCH and not self._frames.empty():
            waiting.append(self._frames.get_nowait())
        return [frame for frame in waiting if frame is not None], None in waiting

    def forget(self, start: float, end: float) -> None:
        """Let go of the newest frame if it lies in [start, end)."""
        if self.newest is not None and start <= self.newest.seconds < end:
            self.newest = None
