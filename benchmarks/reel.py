"""Sources for benchmarks: a camera that stands still or gives pictures as it is told, and a recording at a pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.pictures import Picture
from llama_vid.errors import EndOfStream
from llama_vid.stream.file import FileSource
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


class Recording:
    """The frames of a recording with its own times, one every `pause` seconds."""

    state: SourceState = "live"

    def __init__(self, path: Path, pause: float = 0.25) -> None:
        self._frames, self._pause = list(FileSource(path)), pause

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def recv(self) -> Frame:
        """The next frame."""
        if not self._frames:
            raise EndOfStream("the film is over")
        await asyncio.sleep(self._pause)
        return self._frames.pop(0)

    @property
    def stats(self) -> SourceStats:
        """Nothing is counted."""
        return SourceStats()

    def on_state(self, callback: StateCallback) -> None:
        """It never changes."""
