"""Sound as it leaves `stream/`: mono blocks with media time, and the bounded queue in which live sound waits."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

#: Samples a second of every block: what speech recognition and voice activity detection work at.
RATE: Final = 16_000

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """A piece of sound without a hole in it.

    `seconds` is the media time of its first sample, on the clock of the source's frames (DESIGN section 5).
    `samples` is mono, (n,) float32 in -1…1 at `RATE`, and not to be written to. `gap` says that time is missing before
    this block (a reconnect, a long hole, sound that was dropped), so that nothing carries over it.
    """

    seconds: float
    samples: Samples
    gap: bool = False

    @property
    def end(self) -> float:
        """The media time after its last sample."""
        return self.seconds + len(self.samples) / RATE


class AudioQueue:
    """Live sound between a source's thread and whoever listens. Thread-safe; `put` never blocks and the newest is kept.

    It holds at most `room` seconds (30 by default: what a listener may take to load its model; 2 MB). When it is full
    the oldest blocks are dropped, which is counted in `dropped_s`, and the first one left has `gap` set.
    """

    def __init__(self, room: float = 30.0) -> None:
        self._room = room
        self._blocks: deque[AudioBlock] = deque()
        self._held = 0
        self._changed = threading.Condition()
        self._closed = False
        self._note = ""
        self._newest: float | None = None
        self.dropped_s = 0.0

    @property
    def waiting_s(self) -> float:
        """Seconds of sound that nobody took yet."""
        return self._held / RATE

    @property
    def newest(self) -> float | None:
        """The media time up to which sound has come; None before the first block."""
        return self._newest

    @property
    def note(self) -> str:
        """What is wrong with the sound, in one redacted line ("… has no sound"); empty while it is well."""
        return self._note

    @property
    def closed(self) -> bool:
        """No block will come any more, and none is waiting."""
        with self._changed:
            return self._closed and not self._blocks

    def tell(self, note: str) -> None:
        """Say why no sound comes; the next block takes it back."""
        with self._changed:
            self._note = note
            self._changed.notify_all()

    def put(self, block: AudioBlock) -> None:
        """Leave a block; does nothing once the queue is closed."""
        with self._changed:
            if self._closed:
                return
            self._blocks.append(block)
            self._held += len(block.samples)
            self._newest, self._note = block.end, ""
            lost = False
            while self._held > self._room * RATE and len(self._blocks) > 1:
                old = self._blocks.popleft()
                self._held -= len(old.samples)
                self.dropped_s += len(old.samples) / RATE
                lost = True
            if lost and not self._blocks[0].gap:
                first = self._blocks[0]
                self._blocks[0] = AudioBlock(first.seconds, first.samples, gap=True)
            self._changed.notify_all()

    def take(self, timeout: float | None = None) -> list[AudioBlock]:
        """All blocks that wait, oldest first; waits up to `timeout` seconds for one. Empty: none came, or closed."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._blocks) or self._closed, timeout)
            blocks = list(self._blocks)
            self._blocks.clear()
            self._held = 0
            return blocks

    def close(self) -> None:
        """No more sound will come; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
