"""A WebRTC viewer: plays what a WHEP endpoint sends, as a browser does, and keeps the pictures."""

from __future__ import annotations

import asyncio

from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import VideoFrame

from tests.peers.video import Rgb


class Viewer:
    """One viewer's peer connection. `codec` H264 or VP8 takes that alone; `candidates=False` hides its addresses."""

    def __init__(self, *, codec: str = "", candidates: bool = True) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._candidates = candidates
        transceiver = self.peer.addTransceiver("video", direction="recvonly")
        if codec:
            known = RTCRtpReceiver.getCapabilities("video").codecs
            transceiver.setCodecPreferences([each for each in known if each.name in (codec, "rtx")])
        self._tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue(1)
        self._track: MediaStreamTrack | None = None
        self.peer.on("track", self._tracks.put_nowait)

    async def offer(self) -> str:
        """The SDP offer."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        sdp = str(self.peer.localDescription.sdp)
        if self._candidates:
            return sdp
        return "".join(line for line in sdp.splitlines(True) if not line.startswith(("a=candidate", "a=end-of")))

    async def accept(self, answer: str) -> None:
        """Take the SDP answer and begin to play."""
        await self.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        self._track = await self._tracks.get()

    async def picture(self) -> Rgb:
        """The next picture, RGB. Raises MediaStreamError when the other side has ended it."""
        assert self._track is not None
        picture = await self._track.recv()
        assert isinstance(picture, VideoFrame)
        return picture.to_ndarray(format="rgb24")

    async def ended(self) -> None:
        """Wait until nothing comes any more."""
        while True:
            try:
                await self.picture()
            except MediaStreamError:
                return

    async def close(self) -> None:
        await self.peer.close()
