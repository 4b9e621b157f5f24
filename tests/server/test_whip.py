"""`/whip/{camera}`, RFC 9725: its HTTP behaviour, and a real WebRTC publisher on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import VideoStreamTrack

from tests.server.running import RunningServer, running_server, until

CAMERAS: dict[str, Any] = {"web": {"url": "webrtc:"}, "front": {"url": "rtsp://127.0.0.1:9/front"}}
SDP = {"Content-Type": "application/sdp"}


@pytest.fixture
def whip() -> Iterator[RunningServer]:
    with running_server(CAMERAS) as server:
        until(lambda: server.model.sessions["web"][0].source.state, "the ingest")
        yield server


class Blue(VideoStreamTrack):
    """A blue picture, again and again."""

    async def recv(self) -> av.VideoFrame:
        pts, time_base = await self.next_timestamp()
        frame = av.VideoFrame.from_ndarray(np.full((96, 128, 3), (20, 40, 220), np.uint8), format="rgb24")
        frame.pts, frame.time_base = pts, Fraction(time_base)
        return frame


async def offer(peer: RTCPeerConnection) -> str:
    peer.addTrack(Blue())
    await peer.setLocalDescription(await peer.createOffer())
    return str(peer.localDescription.sdp)


def peer_connection() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


async def test_a_publisher_comes_and_goes(whip: RunningServer) -> None:
    peer = peer_connection()
    try:
        sdp = await offer(peer)
        answer = await asyncio.to_thread(whip.http.post, "/whip/web", content=sdp, headers=SDP)
        assert answer.status_code == 201, answer.text
        assert answer.headers["content-type"] == "application/sdp"
        location = answer.headers["location"]
        assert location.startswith("/whip/web/")
        await peer.setRemoteDescription(RTCSessionDescription(sdp=answer.text, type="answer"))
        source = whip.model.session("web").source
        await asyncio.to_thread(
            until, lambda: source.state == "live" and source.stats.frames >= 0, "frames over WebRTC"
        )
        assert (await asyncio.to_thread(whip.http.get, "/api/cameras/web")).json()["publishing"] is True
        assert (await asyncio.to_thread(whip.http.delete, location)).status_code == 200
        assert (await asyncio.to_thread(whip.http.delete, location)).status_code == 404
        assert (await asyncio.to_thread(whip.http.get, "/api/cameras/web")).json()["publishing"] is False
    finally:
        await peer.close()


async def test_the_endpoint_ends_whoever_publishes(whip: RunningServer) -> None:
    peer = peer_connection()
    try:
        sdp = await offer(peer)
        posted = await asyncio.to_thread(whip.http.post, "/whip/web", content=sdp, headers=SDP)
        assert posted.status_code == 201
        assert (await asyncio.to_thread(whip.http.delete, "/whip/web")).status_code == 200
        assert (await asyncio.to_thread(whip.http.delete, "/whip/web")).status_code == 404
    finally:
        await peer.close()


def test_what_is_refused(whip: RunningServer) -> None:
    def post(path: str, body: bytes, kind: str = "application/sdp") -> int:
        answer = whip.http.post(path, content=body, headers={"Content-Type": kind})
        assert answer.json()["error"]["message"]
        return answer.status_code

    assert post("/whip/web", b"v=0\r\n", "application/json") == 415
    assert post("/whip/web", b"v=0\r\n", "") == 415
    assert post("/whip/none", b"v=0\r\n") == 404
    assert post("/whip/front", b"v=0\r\n") == 409
    assert post("/whip/web", b"") == 400
    assert post("/whip/web", b"hello") == 400
    assert post("/whip/web", b"v=0\r\n\xff\xfe") == 400
    assert post("/whip/web", b"v=0\r\ns=-\r\nm=audio 9 X 0\r\n") == 400
    assert post("/whip/web", b"v=0\r\ns=-\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n") == 400
    assert post("/whip/web", b"v=0\r\n" + b"a" * 70_000) == 413
    for method in ("GET", "HEAD", "PUT", "PATCH"):
        assert whip.http.request(method, "/whip/web").status_code == 405, method
    assert whip.http.patch("/whip/web/abc").status_code == 405
    assert whip.http.delete("/whip/web/abc").status_code == 404
    assert whip.http.get("/healthz").status_code == 200


def test_options_say_what_is_taken(whip: RunningServer) -> None:
    answer = whip.http.options("/whip/web")
    assert (answer.status_code, answer.headers["accept-post"]) == (204, "application/sdp")
    assert whip.http.options("/whip/none").status_code == 404


def test_a_camera_that_waits_for_the_model_says_503() -> None:
    import threading

    from tests.server.scripted import ScriptedModel

    go = threading.Event()

    def load() -> ScriptedModel:
        go.wait(20)
        return ScriptedModel()

    with running_server(CAMERAS, load_model=load, ready=False) as server:
        body = b"v=0\r\ns=-\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"
        answer = server.http.post("/whip/web", content=body, headers=SDP)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        go.set()
