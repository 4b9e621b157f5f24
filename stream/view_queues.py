"""What waits for one viewer of a camera: packets from a key frame on, or the newest picture. Used on the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from av import VideoFrame

#: Packets that wait for one viewer: ten seconds at 30 a second, the longest stretch between key frames that is common.
WAITING: Final = 300
#: Bytes that are kept of each camera for those who join: four seconds at 8 Mbit/s.
LARGEST: Final = 4_000_000
#: A packet that has waited so long, in seconds, is left out when a key frame comes behind it.
STALE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Raw:
    """A packet as it came from a source; its number counts on over a view's life."""

    number: int
    data: bytes
    key: bool


@dataclass(frozen=True, slots=True)
class Part:
    """One packet: Annex B for H.264; `seconds` on the view's clock, `key` where a decoder can begin."""

    data: bytes
    seconds: float
    key: bool
    came: float
    number: int = -1


class Group:
    """The packets since the newest key frame, with which a viewer who joins need not wait for the next one.

    Filled by the reader's thread. What is longer than WAITING packets or LARGEST bytes is not kept.
    """

    def __init__(self) -> None:
        self._packets: list[Raw] = []
        self._size = 0

    def add(self, packet: Raw) -> None:
        """Take the next packet."""
        if packet.key:
            self._packets, self._size = [packet], len(packet.data)
        elif self._packets:
            self._size += len(packet.data)
            if len(self._packets) >= WAITING or self._size > LARGEST:
                self.clear()
            else:
                self._packets.append(packet)

    def clear(self) -> None:
        """Begin anew, with the next key frame."""
        self._packets, self._size = [], 0

    def packets(self) -> list[Raw]:
        """What is there now; from any thread."""
        return list(self._packets)


class ViewEnded(Exception):
    """The camera is gone, or shows its pictures in another way from now on: the viewer is to come again."""


class Packets:
    """The packets that wait for one viewer. The first is a key frame; who is late goes on with the newest one."""

    def __init__(self) -> None:
        self._waiting: deque[Part] = deque()
        self._broken = True  # until the next key frame
        self._known = -1  # the number of the last packet that was there at the beginning
        self._filled = asyncio.Event()
        self._ended = False
        self.left_out = 0

    def begin_with(self, parts: Sequence[Part]) -> None:
        """What has come since the newest key frame; the decoder is to run through it."""
        if parts:
            self._waiting.extend(parts)
            self._known, self._broken = parts[-1].number, False

    def put(self, part: Part) -> None:
        """Leave a packet."""
        if 0 <= part.number <= self._known:
            return
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
