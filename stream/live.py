"""A live source that never gives up: RTSP, HTTP, HLS or a capture device, read in a thread and watched from outside."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from types import TracebackType
from typing import Self

from llama_vid.errors import EndOfStream, SourceError
from llama_vid.stream.audio import AudioQueue
from llama_vid.stream.clock import LARGEST_DRIFT
from llama_vid.stream.frame import Frame
from llama_vid.stream.gate import Gate, Mailbox, post
from llama_vid.stream.hardware import Decoder, Hardware
from llama_vid.stream.reader import Ending, Limits, Reader
from llama_vid.stream.source import SourceStats
from llama_vid.stream.status import Status, Told
from llama_vid.stream.urls import parse_url
from llama_vid.stream.view import View

logger = logging.getLogger(__name__)

# Its own, so that a program's seeded `random` is never advanced behind its back.
_jitter = random.Random()

#: Back-off between attempts in seconds. At most 2, so that with a second for connecting and one for the next key frame
#: pictures flow within 5 s of a camera's return; an attempt costs one TCP connection.
FIRST_WAIT, LONGEST_WAIT = 0.25, 2.0

#: After so many refused passwords in a row, one attempt in that many seconds: cameras lock accounts that guess.
REFUSALS, REFUSED_WAIT = 3, 20.0

#: How often the watchdog looks, in seconds.
_LOOK = 0.2


def backoff(attempt: int, luck: float) -> float:
    """Seconds to wait before try `attempt` (from 0); `luck` in 0…1 spreads many cameras out (half to all of it)."""
    return float(min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempt, 10))) * (0.5 + 0.5 * luck)


class LiveSource(Told):
    """A camera as a source. While it is open it connects, and connects again, for ever.

    `recv` gives the newest sampled frame and waits for one; seconds are UTC epoch seconds and strictly increase over
    reconnects, the first frame after one having `gap` set. What goes wrong is told through `on_state`, with a redacted
    reason; nothing that the camera does raises an error.
    """

    def __init__(
        self,
        url: str,
        *,
        fps: float = 1.0,
        limits: Limits | None = None,
        audio: AudioQueue | None = None,
        pictures: bool = True,
        view: View | None = None,
        decoder: Decoder = "auto",
    ) -> None:
        """Nothing is opened yet. `audio` takes the source's sound, on the same clock; without it none is decoded.

        `pictures=False` reads the sound alone; `view` is shown to WHEP viewers; `decoder` as in `hardware.py`.
        Raises SourceError for an address or rate that cannot work.
        """
        self._url = parse_url(url)
        if self._url.kind not in ("rtsp", "http", "v4l2"):
            raise SourceError(f"{self._url.shown} is not a live stream: open it as a file.")
        self._fps = fps
        self._limits = limits or Limits()
        self._audio, self._pictures, self._view = audio, pictures, view
        self._hardware = Hardware(decoder, self._url.shown)
        self._gate = Gate(fps, ahead=LARGEST_DRIFT if self._url.kind == "http" else 0.0)
        self._status = Status(self._url.shown)
        self._mailbox = Mailbox()
        self._task: asyncio.Task[None] | None = None
        self._reader: Reader | None = None
        self._connections = 0
        self._abandoned = 0
        self._was_live = False

    @property
    def stats(self) -> SourceStats:
        warnings = [f"Connections that hung and were abandoned: {self._abandoned}."] if self._abandoned else []
        return SourceStats(self._mailbox.frames, self._mailbox.dropped, max(0, self._connections - 1), warnings)

    async def __aenter__(self) -> Self:
        self._mailbox = Mailbox()
        self._task = asyncio.create_task(self._run(), name=f"live source {self._url.shown}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        self._gate.begin()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.stop()
            # One that hangs is left behind; it is a daemon and the gate is shut for it.
            await asyncio.to_thread(reader.join, 1.0)
        self._mailbox.close(EndOfStream(f"{self._url.shown} was closed."))
        if self._audio is not None:
            self._audio.close()
        self._status.set("ended", "closed")

    async def recv(self) -> Frame:
        """The newest frame that was not taken yet. Raises EndOfStream after the source was closed."""
        if self._task is None and self._status.state != "ended":
            raise SourceError(f"{self._url.shown} is not open: use it as `async with`.")
        return await self._mailbox.take()

    async def _run(self) -> None:
        try:
            attempt = refusals = 0
            while True:
                self._was_live = False
                ending = await self._connect()
                attempt = 0 if self._was_live else attempt + 1
                refusals = refusals + 1 if ending.refused else 0
                self._status.set("reconnecting", ending.reason)
                locked_out = refusals >= REFUSALS
                await asyncio.sleep(REFUSED_WAIT if locked_out else backoff(attempt, _jitter.random()))
        except Exception as error:  # the edge of this task: without this a bug would leave `recv` waiting for ever
            logger.exception("The reader of %s failed", self._url.shown)
            self._mailbox.close(SourceError(f"{self._url.shown} stopped because of an error in the program: {error!r}"))
            self._status.set("failed", "an error in the program; see the log")

    async def _connect(self) -> Ending:
        """One connection from beginning to end; gives how it ended."""
        loop = asyncio.get_running_loop()
        generation = self._gate.begin()
        finished: asyncio.Future[Ending] = loop.create_future()

        def end(ending: Ending) -> None:
            if not finished.done():
                finished.set_result(ending)

        reader = Reader(
            self._url,
            self._gate,
            generation,
            fps=self._fps,
            limits=self._limits,
            deliver=lambda frame: void(post(loop, lambda: self._arrive(generation, frame))),
            finish=lambda ending: void(post(loop, lambda: end(ending))),
            audio=self._audio,
            pictures=self._pictures,
            heard=lambda: void(post(loop, lambda: void(self._flow(generation, "sound flows")))),
            view=self._view,
            hardware=self._hardware,
        )
        self._reader = reader
        reader.start()
        while True:
            done, _ = await asyncio.wait({finished}, timeout=_LOOK)
            if done:
                return finished.result()
            overdue = reader.overdue(time.monotonic())
            if overdue:
                self._gate.begin()
                reader.stop()
                self._abandoned += 1
                self._status.set("stalled", overdue)
                return Ending(overdue)

    def _arrive(self, generation: int, frame: Frame) -> None:
        if self._flow(generation, "pictures flow"):
            self._mailbox.put(frame)

    def _flow(self, generation: int, what: str) -> bool:
        """Something came; False when it is from a connection that was given up."""
        if not self._gate.current(generation):
            return False
        if not self._was_live:
            self._was_live = True
            self._connections += 1
        self._status.set("live", what)
        return True


def void(_: object) -> None:
    """Drops a result, where a callback must give none."""
