"""A camera's view as aiortc's tracks: packets that it only packs into RTP, or pictures that it encodes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import Packet, VideoFrame

from llama_vid.stream.view import TIME_BASE, View
from llama_vid.stream.view_queues import ViewEnded


class _ViewTrack(MediaStreamTrack):
    """A track that holds its place among the viewers until it is stopped."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._place = ExitStack()

    def stop(self) -> None:
        """The viewer has left, or nothing comes any more."""
        super().stop()
        self._place.close()


class PacketTrack(_ViewTrack):
    """H.264 as it comes from the camera."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self._packets = self._place.enter_context(view.packets())

    async def recv(self) -> Packet[Any]:
        """The next packet. Raises MediaStreamError at the end."""
        try:
            part = await self._packets.next()
        except ViewEnded:
            self.stop()
            raise MediaStreamError from None
        packet = Packet(part.data)
        packet.pts, packet.time_base, packet.is_keyframe = round(part.seconds * 90_000), TIME_BASE, part.key
        return packet


class PictureTrack(_ViewTrack):
    """Small pictures, the newest whenever the encoder is ready for one."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self._pictures = self._place.enter_context(view.pictures())

    async def recv(self) -> VideoFrame:
        """The newest picture. Raises MediaStreamError at the end."""
        try:
            picture = await self._pictures.take()
        except ViewEnded:
            self.stop()
            raise MediaStreamError from None
        # A copy: encoders write into their frame which kind of picture it is to be, each for its own viewer.
        own = VideoFrame.from_ndarray(picture.to_ndarray(), format="yuv420p")
        own.pts, own.time_base = picture.pts, picture.time_base
        return own
