"""WHEP (draft-ietf-wish-whep): peers that watch a camera, without trickle ICE. At most so many; the lost are let go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from aiortc import RTCPeerConnection, RTCRtpSender
from aiortc.mediastreams import MediaStreamTrack

from llama_vid.errors import ProtocolError
from llama_vid.stream.ice import IceServer
from llama_vid.stream.peers import answer_offer, check_offer, close_peer, new_peer
from llama_vid.stream.view import View
from llama_vid.stream.view_tracks import PacketTrack, PictureTrack

logger = logging.getLogger(__name__)

#: Seconds that a viewer has to connect after the answer.
PATIENCE: Final = 15.0
#: Seconds that all viewers together may take to end with the server.
FAREWELL: Final = 2.0
#: How often lost viewers are looked for, in seconds. ICE itself takes up to 30 s to miss a peer that was killed.
LOOK: Final = 0.25


class TooManyViewers(ProtocolError):
    """No place is free; `wait_s` is how long to wait."""

    wait_s = 30.0

    def __init__(self, message: str) -> None:
        super().__init__(message, code="too_many_viewers")


@dataclass(frozen=True, slots=True)
class WhepAnswer:
    """The SDP answer with all ICE candidates, the id by which the viewer leaves, and whether packets just pass."""

    sdp: str
    resource_id: str
    passed: bool


@dataclass(slots=True, eq=False)
class _Viewer:
    resource_id: str
    camera: str
    peer: RTCPeerConnection
    track: MediaStreamTrack
    passed: bool
    came_at: float = field(default_factory=time.monotonic)

    @property
    def lost(self) -> bool:
        """Whether it has gone, never came, or has nothing more to see."""
        state = self.peer.connectionState
        never = state != "connected" and time.monotonic() - self.came_at > PATIENCE
        return state in ("failed", "closed") or self.track.readyState == "ended" or never


class Viewers:
    """All viewers of all cameras, from `async with` to its end."""

    def __init__(self, *, most: int = 16, most_encoded: int = 4, ice: Sequence[IceServer] = ()) -> None:
        """At most `most` watch at once, `most_encoded` of them what must be encoded for them."""
        self._most, self._most_encoded, self._ice = most, most_encoded, tuple(ice)
        self._viewers: dict[str, _Viewer] = {}
        self._coming = self._coming_encoded = 0  # whose offers are being answered
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._watch = asyncio.create_task(self._look_after(), name="whep-watchdog")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.wait({watch})
        # A TURN server that is gone must not hold the end up; what is left then ends with the process.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL), asyncio.TaskGroup() as group:
                for viewer in list(self._viewers.values()):
                    group.create_task(self._leave(viewer, "the server stops"), name="whep-farewell")

    def count(self, camera: str | None = None) -> int:
        """How many watch, all or one camera."""
        return sum(camera is None or viewer.camera == camera for viewer in self._viewers.values())

    async def offer(self, camera: str, view: View, sdp: str) -> WhepAnswer:
        """Take a viewer of a camera in. Raises ProtocolError; TooManyViewers where no place is free."""
        if self._watch is None:
            raise ProtocolError("Nobody can watch now: the server stops.", code="unavailable")
        check_offer(sdp, protocol="WHEP")
        passed = view.passable and _takes_h264(sdp)
        encoded = sum(not viewer.passed for viewer in self._viewers.values()) + self._coming_encoded
        if len(self._viewers) + self._coming >= self._most:
            raise TooManyViewers(f"{self._most} viewers watch already, as many as may (webrtc.max_viewers).")
        if not passed and encoded >= self._most_encoded:
            raise TooManyViewers(
                f"{self._most_encoded} viewers have pictures encoded for them already, as many as may "
                "(webrtc.max_encoded)."
            )
        self._coming += 1
        self._coming_encoded += not passed
        try:
            viewer, answer = await self._answer(camera, view, sdp, passed=passed)
        finally:
            self._coming -= 1
            self._coming_encoded -= not passed
        self._viewers[viewer.resource_id] = viewer
        logger.info("Camera %s: a viewer came (%s)", camera, "H.264 as it is" if passed else "encoded anew")
        return WhepAnswer(answer, viewer.resource_id, passed)

    async def close(self, camera: str, resource_id: str) -> None:
        """End a viewer's session. Raises ProtocolError (`not_found`) when there is no such session of the camera."""
        viewer = self._viewers.get(resource_id)
        if viewer is None or viewer.camera != camera:
            raise ProtocolError("There is no such WHEP session; it may be over already.", code="not_found")
        await self._leave(viewer, "said goodbye")

    async def _answer(self, camera: str, view: View, sdp: str, *, passed: bool) -> tuple[_Viewer, str]:
        peer = new_peer(self._ice)
        track = PacketTrack(view) if passed else PictureTrack(view)
        try:
            transceiver = peer.addTransceiver(track, direction="sendonly")
            if passed:
                codecs = RTCRtpSender.getCapabilities("video").codecs
                transceiver.setCodecPreferences([codec for codec in codecs if codec.name in ("H264", "rtx")])
            async with asyncio.timeout(PATIENCE):
                answer = await answer_offer(peer, sdp)
            if transceiver.currentDirection not in ("sendonly", "sendrecv"):
                raise ProtocolError(
                    "The SDP offer receives no video: its first m=video line must be a=recvonly.", param="sdp"
                )
        except BaseException:
            track.stop()
            await close_peer(peer)
            raise
        return _Viewer(secrets.token_urlsafe(16), camera, peer, track, passed), answer

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            for viewer in [each for each in self._viewers.values() if each.lost]:
                await self._leave(viewer, "is lost, or has nothing more to see")

    async def _leave(self, viewer: _Viewer, reason: str) -> None:
        if self._viewers.pop(viewer.resource_id, None) is None:
            return
        logger.info("Camera %s: a viewer left (%s)", viewer.camera, reason)
        viewer.track.stop()
        await close_peer(viewer.peer)


def _takes_h264(sdp: str) -> bool:
    """Whether an offer has H.264 in the packetization that browsers use; aiortc checks the rest."""
    text = sdp.lower()
    return " h264/90000" in text and "packetization-mode=1" in text
