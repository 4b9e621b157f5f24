"""Where reader threads hand over their pictures: one clock, one sampler, one slot, and no place for the abandoned."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from llama_vid.errors import SourceError
from llama_vid.stream.clock import LiveClock
from llama_vid.stream.frame import Frame
from llama_vid.stream.sampling import LiveSampler


class Mailbox:
    """One slot between a live source and its reader, used on the event loop: the newest frame wins.

    One, because a model that is late should see what is there now, not what was there when it fell behind.
    """

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._error: Exception | None = None
        self._filled = asyncio.Event()
        self.frames = 0
        self.dropped = 0

    def put(self, frame: Frame) -> None:
        """Leave `frame`; one that nobody took is dropped, and what was missing before it is missing before this one."""
        if self._frame is not None:
            self.dropped += 1
            if self._frame.gap and not frame.gap:
                frame = Frame(frame.seconds, frame.image, gap=True)
        self._frame = frame
        self._filled.set()

    def close(self, error: Exception) -> None:
        """No frame will come any more: `take` raises `error` once the slot is empty."""
        self._error = error
        self._filled.set()

    async def take(self) -> Frame:
        """Wait for the newest frame and take it."""
        while self._frame is None:
            if self._error is not None:
                raise self._error
            self._filled.clear()
            await self._filled.wait()
        frame, self._frame = self._frame, None
        self.frames += 1
        return frame


class Gate:
    """Lets the pictures of the current reader through, sampled and stamped, and those of abandoned ones not.

    Thread-safe. Every reader has a generation number; `begin` makes a new one and with that shuts out all before.
    """

    def __init__(self, fps: float, *, ahead: float = 0.0) -> None:
        """`ahead`: see `LiveClock`."""
        try:
            self._sampler = LiveSampler(fps)
        except ValueError as error:
            raise SourceError(f"Cannot sample {fps} frames a second: give a rate above 0.") from error
        self._clock = LiveClock(ahead=ahead)
        self._lock = threading.Lock()
        self._generation = 0

    def begin(self) -> int:
        """Shut out all earlier readers; gives the number of the next."""
        with self._lock:
            self._generation += 1
            self._clock.begin()
            self._sampler.mark_gap()
            return self._generation

    def admit(self, generation: int, raw: float | None) -> tuple[float, bool] | None:
        """(epoch seconds, gap) when the picture with this stamp is to be taken, None when it is not."""
        with self._lock:
            if generation != self._generation:
                return None
            stamp = self._clock.place(raw)
            taken, gap = self._sampler.take(stamp)
            return (stamp.seconds, gap) if taken else None

    def hear(self, generation: int, raw: float | None, *, alone: bool) -> float | None:
        """Epoch seconds of sound with this stamp, None where they are unknown; `alone` where no pictures come."""
        with self._lock:
            if generation != self._generation or raw is None:
                return None
            return self._clock.place(raw).seconds if alone else self._clock.hear(raw)

    def early_by(self, generation: int) -> float:
        """How many seconds the latest picture lies ahead of the wall (streams that come faster than they play)."""
        with self._lock:
            return self._clock.early() if generation == self._generation else 0.0

    def current(self, generation: int) -> bool:
        with self._lock:
            return generation == self._generation


def post(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> bool:
    """Run `call` on the event loop, from a thread; False when the loop is gone and nobody listens any more."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        return False
    return True
