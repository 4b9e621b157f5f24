"""A recording played as if it were a camera: in real time, over and over, on the live clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from os import PathLike, fspath
from types import TracebackType
from typing import Self

from llama_vid.errors import EndOfStream, SourceError
from llama_vid.stream.audio import AudioQueue
from llama_vid.stream.audio_pacing import PacedSound
from llama_vid.stream.file import FileSource
from llama_vid.stream.frame import Frame
from llama_vid.stream.gate import Mailbox
from llama_vid.stream.source import SourceStats
from llama_vid.stream.status import Status, Told
from llama_vid.stream.urls import parse_url
from llama_vid.stream.view import View
from llama_vid.stream.view_file import play_packets, tell_coding

logger = logging.getLogger(__name__)

#: How late, in seconds, a picture may be before the rest of the film is put off instead of hurried through.
_LATEST = 1.0


class FileCamera(Told):
    """Loops a video file at its own pace; seconds are UTC epoch seconds, the newest frame wins.

    A file that cannot be read is an error of `recv`, unlike a camera that cannot be reached: it will not come back.
    """

    def __init__(
        self,
        url: str | PathLike[str],
        *,
        fps: float = 1.0,
        audio: AudioQueue | None = None,
        view: View | None = None,
    ) -> None:
        """Nothing is opened yet; `audio` takes the film's sound, `view` is shown to WHEP viewers.

        Raises SourceError for what cannot work.
        """
        self._audio, self._view = audio, view
        self._start = 0.0
        self._film = FileSource(url, fps=fps)
        self._period = 1 / fps
        self._url = url
        self._fps = fps
        self._shown = parse_url(fspath(url)).shown
        self._status = Status(f"looped {self._shown}")
        self._mailbox = Mailbox()
        self._task: asyncio.Task[None] | None = None

    @property
    def stats(self) -> SourceStats:
        return SourceStats(self._mailbox.frames, self._mailbox.dropped, 0, self._film.warnings)

    async def __aenter__(self) -> Self:
        self._mailbox = Mailbox()
        self._task = asyncio.create_task(self._run(), name=f"looped file {self._shown}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        self._mailbox.close(EndOfStream(f"{self._shown} was closed."))
        if self._audio is not None:
            self._audio.close()
        if self._status.state != "failed":
            self._status.set("ended", "closed")

    async def recv(self) -> Frame:
        """The newest frame that was not taken yet. Raises SourceError when the file cannot be read."""
        if self._task is None and self._status.state not in ("ended", "failed"):
            raise SourceError(f"{self._shown} is not open: use it as `async with`.")
        return await self._mailbox.take()

    async def _run(self) -> None:
        # The wall is read once and then counted monotonically, so that seconds never run backward.
        begun, epoch = time.monotonic(), time.time()
        start = begun
        try:
            if self._view is not None:
                await asyncio.to_thread(tell_coding, self._url, self._view)
            while True:
                start = await self._play(start, epoch - begun)
        except SourceError as error:
            self._mailbox.close(error)
            self._status.set("failed", str(error))
        except Exception as error:  # the edge of this task: without this a bug would leave `recv` waiting for ever
            logger.exception("The looped file %s failed", self._shown)
            self._mailbox.close(SourceError(f"{self._shown} stopped because of an error in the program: {error!r}"))
            self._status.set("failed", "an error in the program; see the log")

    async def _play(self, start: float, wall: float) -> float:
        """Play the film once from the monotonic time `start`; gives when it ends. `wall` makes epoch seconds of it."""
        self._start = start
        with ExitStack() as round_:
            if self._audio is not None:
                sound = PacedSound(self._url, self._audio, began=lambda: self._start, wall=wall)
                round_.enter_context(sound)
            async with self._viewed():
                return await self._show(start, wall)

    @asynccontextmanager
    async def _viewed(self) -> AsyncIterator[None]:
        """Show the film to viewers meanwhile."""
        if self._view is None:
            yield
            return
        showing = asyncio.create_task(
            play_packets(self._url, self._view, lambda: self._start), name=f"film packets {self._shown}"
        )
        try:
            yield
            if self._view.wanted:  # the last sampled picture comes before the film's end
                await asyncio.wait({showing}, timeout=self._period + _LATEST)
        finally:
            showing.cancel()
            await asyncio.wait({showing})

    async def _show(self, start: float, wall: float) -> float:
        end = start
        async with FileSource(self._url, fps=self._fps) as film:
            self._film = film
            while True:
                try:
                    frame = await film.recv()
                except EndOfStream:
                    return end
                late = time.monotonic() - (start + frame.seconds)
                if late > _LATEST:
                    start += late
                    self._start = start
                elif late < 0:
                    await asyncio.sleep(-late)
                end = start + frame.seconds + self._period
                self._status.set("live", "playing the file in a loop")
                self._mailbox.put(Frame(wall + start + frame.seconds, frame.image, frame.gap))
