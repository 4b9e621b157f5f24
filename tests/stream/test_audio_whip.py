"""Sound of WebRTC publishers: Opus over a real peer connection on loopback, on the camera's clock."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from llama_vid.errors import ProtocolError
from llama_vid.stream.audio import AudioQueue
from llama_vid.stream.whip import WhipIngest
from tests.peers.publisher import Publisher
from tests.peers.waiting import until


async def test_a_publishers_sound_comes_with_its_pictures() -> None:
    publisher, queue = Publisher(sound=True), AudioQueue()
    async with WhipIngest("front", audio=queue) as camera, asyncio.timeout(30):
        await publisher.accept((await camera.offer(await publisher.offer())).sdp)
        await camera.recv()
        await until(lambda: queue.waiting_s > 1.5)
        blocks = queue.take(0)
        assert blocks[-1].end == pytest.approx(time.time(), abs=1.0)
        assert not any(block.gap for block in blocks)
        for before, after in itertools.pairwise(blocks):
            assert after.seconds == pytest.approx(before.end, abs=1e-6)
    assert queue.closed
    await publisher.close()


async def test_a_microphone_alone_is_let_in_only_where_somebody_listens() -> None:
    peer, queue = RTCPeerConnection(RTCConfiguration(iceServers=[])), AudioQueue()
    peer.addTrack(AudioStreamTrack())
    await peer.setLocalDescription(await peer.createOffer())
    offer = str(peer.localDescription.sdp)
    async with WhipIngest("mute") as camera:
        with pytest.raises(ProtocolError, match="no video"):
            await camera.offer(offer)
    async with WhipIngest("talk", audio=queue) as camera, asyncio.timeout(30):
        answer = await camera.offer(offer)
        await peer.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))
        await until(lambda: queue.waiting_s > 0.5)
        assert camera.state == "live"
    await peer.close()
