"""A camera for benchmarks: a source that stands still, or gives a picture every so often, as it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from benchmarks.pictures import Picture
from llama_vid.stream.frame import Frame
from llama_vid.stream.source import SourceState, SourceStats, StateCallback


class Reel:
    """Pictures stamped with the time they are given at, one every `period` seconds while it plays. It never ends."""

    def __init__(self, pictures: Iterator[Picture], *, period: float = 1.0) -> None:
        self._pictures, self._period = pictures, period
        self._playing = asyncio.Event()
        self._given = 0

    def play(self) -> None:
        """Give pictures from now on."""
        self._playing.set()

    def pause(self) -> None:
        """Give none until it plays again."""
        self._playing.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pause()

    async def recv(self) -> Frame:
        """The next picture, at its time."""
        await self._playing.wait()
        if self._given:
            await asyncio.sleep(self._period)
            await self._playing.wait()
        self._given += 1
        return Frame(time.time(), next(self._pictures).image, gap=self._given == 1)

    @property
    def state(self) -> SourceState:
        """Always live."""
        return "live"

    @property
    def stats(self) -> SourceStats:
        """What it has given."""
        return SourceStats(self._given)

    def on_state(self, callback: StateCallback) -> None:
        """Its state never changes."""
