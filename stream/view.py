"""What is shown of one camera to WHEP viewers: its packets as they come, or pictures, tapped from the one connection.

A source tells its `View` how its packets are coded and hands every packet on; one whose pictures come decoded (WHIP,
masked cameras) hands those on. While nobody watches, that costs a copy of the packets since the newest key frame. H.264
that browsers play goes to viewers untouched; everything else is decoded here, once for all viewers, into small pictures
at a bounded rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from llama_vid.stream.gate import post
from llama_vid.stream.h264 import Rewriter, begins_anew
from llama_vid.stream.view_queues import Group, Packets, Part, Pictures, Raw, ViewEnded

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from av import Packet as AvPacket
    from av import VideoFrame

logger = logging.getLogger(__name__)

#: RTP's clock for video.
TIME_BASE: Final = Fraction(1, 90_000)
#: Stamps that lie so far, in seconds, from the wall begin anew.
DRIFT: Final = 3.0


@dataclass(frozen=True, slots=True)
class Coding:
    """How the packets of one connection are coded: FFmpeg's codec name, and what a decoder needs beside the packets."""

    codec: str
    extradata: bytes = b""
    width: int = 0
    height: int = 0
    pixels: str | None = None
    reordered: bool = False


class View:
    """What viewers see of one camera. `begin` and `packet` may come from any thread, the rest on the event loop."""

    def __init__(self, name: str = "camera", *, fps: float = 10.0, longest_side: int = 640) -> None:
        """Pictures for viewers come at most `fps` a second, no side longer than `longest_side` pixels."""
        self.name = name
        self.wanted = False
        self.longest_side = longest_side
        self._period = 1 / fps
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = time.monotonic()
        self._coding: Coding | None = None
        self._rewriter: Rewriter | None = None
        self._packets: set[Packets] = set()
        self._pictures: set[Pictures] = set()
        self._newest: VideoFrame | None = None
        self._due = 0.0
        self._group = Group()
        self._number = 0
        self._offset: float | None = None
        self._last = 0.0
        self._decoding: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()

    @property
    def coding(self) -> Coding | None:
        """How the packets are coded; None where pictures come, or nothing is known yet."""
        return self._coding

    @property
    def passable(self) -> bool:
        """Whether viewers can have the packets as they are."""
        coding = self._coding
        if coding is None or coding.codec != "h264" or coding.reordered or self._rewriter is None:
            return False
        return self._rewriter.passable

    # What sources do.

    def begin(self, coding: Coding) -> None:
        """A connection begins whose packets are coded so."""
        self._group.clear()
        before, self._coding = self._coding, coding
        self._rewriter = Rewriter(coding.extradata) if coding.codec == "h264" else None
        self._offset = None
        if before is not None and self._loop is not None:
            post(self._loop, self._change if before != coding else self._interrupt)

    def packet(self, packet: AvPacket[Any], seconds: float | None) -> None:
        """A packet came; `seconds` is its stamp, None for one that is to be caught up with at once."""
        raw, coding = Raw(self._number, bytes(packet), packet.is_keyframe), self._coding
        self._number += 1
        self._group.add(raw)
        if self.wanted and self._loop is not None:
            post(self._loop, lambda: self._take(coding, raw, seconds))

    def forget(self) -> None:
        """What was kept for those who join is out of date: the source hands packets on only while somebody watches."""
        self._group.clear()

    @property
    def due(self) -> bool:
        """Whether somebody waits for a decoded picture, and it is time for one."""
        return bool(self._pictures) and time.monotonic() >= self._due

    def show(self, picture: VideoFrame) -> None:
        """A decoded picture in yuv420p, its sides even and not too long (`fit`)."""
        now = time.monotonic()
        self._due = max(self._due, now - self._period) + self._period
        picture.pts, picture.time_base = round((now - self._started) * 90_000), TIME_BASE
        self._newest = picture
        for pictures in self._pictures:
            pictures.put(picture)

    def show_image(self, image: npt.NDArray[np.uint8]) -> None:
        """A decoded picture as RGB, (height, width, 3) uint8."""
        from av import VideoFrame

        from llama_vid.stream.view_decoding import fit

        self.show(fit(VideoFrame.from_ndarray(image, format="rgb24"), self.longest_side))

    async def asked(self) -> None:
        """Wait until somebody watches."""
        await self._asked.wait()

    def close(self) -> None:
        """The camera is gone: its viewers are, too."""
        self._change()

    # What viewers do.

    @contextlib.contextmanager
    def packets(self) -> Iterator[Packets]:
        """The packets as they are, in H.264 where `passable`."""
        queue = Packets()
        queue.begin_with(self._caught_up())
        self._packets.add(queue)
        self._count()
        try:
            yield queue
        finally:
            self._packets.discard(queue)
            self._count()

    @contextlib.contextmanager
    def pictures(self) -> Iterator[Pictures]:
        """Decoded pictures; of a source that has packets they are decoded while somebody has this open."""
        slot = Pictures(self._newest if self._decoding is not None or self._coding is None else None)
        self._pictures.add(slot)
        self._count()
        try:
            yield slot
        finally:
            self._pictures.discard(slot)
            self._count()

    def _count(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.wanted = bool(self._packets or self._pictures)
        if self.wanted:
            self._asked.set()
        else:
            self._asked.clear()
        if self._pictures and self._coding is not None and (self._decoding is None or self._decoding.done()):
            self._decoding = asyncio.create_task(self._decode(self._coding), name=f"view-decoder-{self.name}")
        elif not self._pictures and self._decoding is not None:
            self._decoding.cancel()
            self._decoding = self._newest = None

    def _interrupt(self) -> None:
        for packets in self._packets:
            packets.interrupt()

    def _change(self) -> None:
        for packets in self._packets:
            packets.end()
        for pictures in self._pictures:
            pictures.end()
        self._newest = None

    def _caught_up(self) -> list[Part]:
        """The packets since the newest key frame, stamped a millisecond apart up to now, to be run through."""
        now = time.monotonic()
        end = self._last if self._packets else now - self._started
        parts = []
        for back, raw in enumerate(reversed(packets := self._group.packets())):
            data, key = self._whole(raw, None)
            parts.append(Part(data, end - back * 0.001, key, now, raw.number))
        self._last = max(self._last, end if packets else 0.0)
        parts.reverse()
        return parts if parts and parts[0].key else []

    def _whole(self, raw: Raw, seconds: float | None) -> tuple[bytes, bool]:
        """A packet's bytes as decoders of viewers want them, and whether they can begin with it."""
        if self._rewriter is None:
            return raw.data, raw.key
        data = self._rewriter.rewrite(raw.data, seconds, key=raw.key)
        return data, raw.key and begins_anew(data)

    def _take(self, coding: Coding | None, raw: Raw, seconds: float | None) -> None:
        if coding is not self._coding:
            return  # of a connection that is over
        passed = self.passable
        data, key = self._whole(raw, seconds)
        if passed and not self.passable:
            logger.info("%s: its H.264 has pictures out of order; viewers get it encoded anew", self.name)
            self._change()
            return
        now = time.monotonic()
        part = Part(data, self._place(seconds, now - self._started), key, now, raw.number)
        for packets in self._packets:
            packets.put(part)

    def _place(self, seconds: float | None, now: float) -> float:
        """The time on the view's clock, always later than the one before."""
        if seconds is None:
            self._offset, placed = None, now
        else:
            if self._offset is None or abs(seconds + self._offset - now) > DRIFT:
                self._offset = now - seconds
            placed = seconds + self._offset
        self._last = max(placed, self._last + 0.001)
        return self._last

    async def _decode(self, coding: Coding) -> None:
        from llama_vid.stream.view_decoding import Decoder  # imports av

        decoder = Decoder(coding, self.longest_side)
        try:
            with self.packets() as packets:
                while True:
                    parts = await packets.take()
                    for picture in await asyncio.to_thread(decoder.decode, parts, wanted=self.due):
                        self.show(picture)
        except ViewEnded:
            pass  # the pictures' viewers are told by themselves
