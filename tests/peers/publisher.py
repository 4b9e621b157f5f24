"""A WebRTC publisher: sends pictures that show their own time to a WHIP endpoint, as a browser does its camera's."""

from __future__ import annotations

from typing import Any

from aiortc import RTCCertificate, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from aiortc.rtcdtlstransport import generate_certificate
from av import VideoFrame
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.peers.video import paint


class PaintedTrack(VideoStreamTrack):
    """30 pictures a second, each showing its time."""

    def __init__(self, width: int = 320, height: int = 180) -> None:
        super().__init__()
        self._size = width, height
        self.sent = 0

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        picture = VideoFrame.from_ndarray(paint(round(pts * time_base * 1000), *self._size), format="rgb24")
        picture.pts, picture.time_base = pts, time_base
        self.sent += 1
        return picture


class Publisher:
    """One publisher's peer connection."""

    def __init__(self, *, sound: bool = False, rsa_key: bool = False) -> None:
        """`rsa_key`: with a certificate of the kind that GStreamer makes."""
        self.track = PaintedTrack()
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        if rsa_key:
            key: Any = rsa.generate_private_key(65537, 2048)
            self.peer.__dict__["_RTCPeerConnection__certificates"] = [RTCCertificate(key, generate_certificate(key))]
        if sound:
            self.peer.addTrack(AudioStreamTrack())
        self.peer.addTrack(self.track)

    async def offer(self) -> str:
        """The SDP offer with all candidates."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return str(self.peer.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        """Take the SDP answer and begin to send."""
        await self.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    def answer_no_questions(self) -> None:
        """From now on leave ICE's checks unanswered, as ffmpeg's WHIP muxer does once it is connected."""
        for transceiver in self.peer.getTransceivers():
            ice = transceiver.sender.transport.transport._connection
            ice.request_received = lambda *_request: None  # type: ignore[method-assign]

    async def close(self) -> None:
        await self.peer.close()
