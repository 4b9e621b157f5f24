"""The pictures kept of a film or camera: what evidence shows and what a question reads again."""

from __future__ import annotations

import io
import threading
from bisect import bisect_left
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from llama_vid.tokenizer.tower import resized

if TYPE_CHECKING:
    from llama_vid.memory.journal import CameraJournal


SIDE: Final = 640  # pixels of the longer side of a kept picture
QUALITY: Final = 82  # JPEG's: 25–60 KB a picture
#: About an hour of pictures of a recording; older ones are thinned beyond.
BYTES: Final = 160 << 20
#: With a journal only what it may not have written yet stays in memory, and a little more for questions about just now.
BYTES_BESIDE_JOURNAL: Final = 2 << 20
#: Seconds between two pictures while nothing moves: a tenth of the time that it has been so, within these bounds.
STILL_FIRST, STILL_MOST = 10.0, 60.0


class Pictures:
    """JPEGs by time: in memory, bounded in bytes, or in a camera's journal with the newest in memory."""

    def __init__(self, journal: CameraJournal | None = None) -> None:
        self._journal = journal
        self._lock = threading.Lock()  # kept in the model's thread, looked at from others
        self._seconds: list[float] = []
        self._data: list[bytes] = []
        self._bytes = 0
        self._newest: tuple[float, bytes] | None = None
        self._kept = self._moved = float("-inf")  # when a picture was last kept, and when something last moved

    def see(self, seconds: float, image: npt.NDArray[np.uint8], *, moving: bool) -> None:
        """Keep the RGB picture (H, W, 3) if something moves in it, or if the last one kept has become old."""
        if moving:
            self._moved = seconds
        pause = min(STILL_MOST, max(STILL_FIRST, (seconds - self._moved) / 10))
        if moving or seconds - self._kept >= pause:
            self._keep(seconds, encoded(image))

    def show(self, seconds: float, image: npt.NDArray[np.uint8]) -> None:
        """Make the newest picture this one without keeping it."""
        if self._newest is None or self._newest[0] < seconds:
            self._newest = (seconds, encoded(image))

    def forget(self, start: float, end: float) -> None:
        """Let go of the pictures of [start, end); the next one is kept, whether anything moves in it or not."""
        with self._lock:
            kept = [at for at, seconds in enumerate(self._seconds) if not start <= seconds < end]
            self._choose(kept)
            if self._newest is not None and start <= self._newest[0] < end:
                self._newest = (self._seconds[-1], self._data[-1]) if kept else None
        self._kept = float("-inf")

    def nearest(self, seconds: float | None) -> bytes | None:
        """The picture nearest to a time (None: the newest), or None while there is none. From any thread."""
        found = self.kept(seconds)
        return None if found is None else found[1]

    def kept(self, seconds: float | None) -> tuple[float, bytes] | None:
        """As `nearest`, with the picture's own time."""
        with self._lock:
            newest, times, data = self._newest, list(self._seconds), list(self._data)
        before = seconds is not None and (not times or seconds < times[0])
        if self._journal is not None and (newest is None or before):
            kept = self._journal.kept(seconds)
            if kept is not None:
                return kept
        if newest is None or seconds is None or seconds >= newest[0] or not times:
            return newest
        at = bisect_left(times, seconds)
        near = [i for i in (at - 1, at) if 0 <= i < len(times)]
        best = min(near, key=lambda i: abs(times[i] - seconds))
        return times[best], data[best]

    def _keep(self, seconds: float, data: bytes) -> None:
        self._kept = seconds
        if self._journal is not None:
            self._journal.picture(seconds, data)
        with self._lock:
            self._hold(seconds, data)

    def _hold(self, seconds: float, data: bytes) -> None:
        self._seconds.append(seconds)
        self._data.append(data)
        self._bytes += len(data)
        self._newest = (seconds, data)
        if self._journal is not None:
            while self._bytes > BYTES_BESIDE_JOURNAL and len(self._data) > 1:
                self._seconds.pop(0)
                self._bytes -= len(self._data.pop(0))
        elif self._bytes > BYTES:
            half = len(self._data) // 2
            self._choose(i for i in range(len(self._data)) if i >= half or i % 2 == 0)

    def _choose(self, indices: Iterable[int]) -> None:
        kept = list(indices)
        self._seconds, self._data = [self._seconds[i] for i in kept], [self._data[i] for i in kept]
        self._bytes = sum(map(len, self._data))


def encoded(image: npt.NDArray[np.uint8]) -> bytes:
    """An RGB picture (H, W, 3) as JPEG, its longer side at most SIDE pixels."""
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    if scale < 1:
        image = resized(image, max(1, round(width * scale)), max(1, round(height * scale)))
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
