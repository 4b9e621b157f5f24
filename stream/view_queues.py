"""What waits for one viewer of a camera: packets from a key frame on, or the newest picture. Used on the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from av import VideoFrame

#: Packets that wait for one viewer: ten seconds at 30 a second, the longest stretch between key frames that is common.
WAITING: Final = 300
#: A packet that has waited so long, in seconds, is left out when a key frame comes behind it.
STALE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Part:
    """One packet: Annex B for H.264; `seconds` on the view's clock, `key` where a decoder can begin."""

    data: bytes
    seconds: float
    key: bool
    came: float


class ViewEnded(Exception):
    """The camera is gone, or shows its pictures in another way from now on: the viewer is to come again."""


class Packets:
    """The packets that wait for one viewer. The first is a key frame; who is late goes on with the newest one."""

    def __init__(self) -> None:
        self._waiting: deque[Part] = deque()
        self._broken = True  # until the next key frame
        self._filled = asyncio.Event()
        self._ended = False
        self.left_out = 0

    def put(self, part: Part) -> None:
        """Leave a packet."""
        late = bool(self._waiting) and part.came - self._waiting[0].came > STALE
        if (part.key and late) or len(self._waiting) >= WAITING:
            self.left_out += len(self._waiting)
            self._waiting.clear()
            self._broken = True
        self._broken &= not part.key
        if self._broken:
            self.left_out += 1
            return
        self._waiting.append(part)
        self._filled.set()

    def interrupt(self) -> None:
        """Packets are missing from here on: go on with the next key frame."""
        self._broken = True

    def end(self) -> None:
        """No packet will come any more."""
        self._ended = True
        self._filled.set()

    async def take(self) -> list[Part]:
        """Wait for packets and take all that are there. Raises ViewEnded."""
        while not self._waiting:
            if self._ended:
                raise ViewEnded
            self._filled.clear()
            await self._filled.wait()
        parts = list(self._waiting)
        self._waiting.clear()
        return parts

    async def next(self) -> Part:
        """Wait for the next packet and take it. Raises ViewEnded."""
        while not self._waiting:
            if self._ended:
                raise ViewEnded
            self._filled.clear()
            await self._filled.wait()
        return self._waiting.popleft()


class Pictures:
    """One slot for one viewer: the newest picture wins, so that a slow encoder only lowers the rate."""

    def __init__(self, newest: VideoFrame | None) -> None:
        self._picture = newest
        self._filled = asyncio.Event()
        self._ended = False

    def put(self, picture: VideoFrame) -> None:
        """Leave a picture in the place of the one before."""
        self._picture = picture
        self._filled.set()

    def end(self) -> None:
        """No picture will come any more."""
        self._ended = True
        self._filled.set()

    async def take(self) -> VideoFrame:
        """Wait for a picture that was not taken yet, and take it. Raises ViewEnded."""
        while self._picture is None:
            if self._ended:
                raise ViewEnded
            self._filled.clear()
            await self._filled.wait()
        picture, self._picture = self._picture, None
        return picture
