"""WebRTC ingest with a real publisher on loopback: ICE, DTLS, RTP, VP8 and all."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator

import pytest
from aiortc import RTCPeerConnection

from llama_vid.errors import EndOfStream, LlamaVidError, ProtocolError, SourceError
from llama_vid.stream import peers, presence, whip
from llama_vid.stream.presence import Presence, ask_for_no_consent
from llama_vid.stream.source import Source
from llama_vid.stream.whip import LONGEST_OFFER, WhipIngest
from tests.peers.publisher import Publisher
from tests.peers.video import painted_seconds
from tests.peers.waiting import until


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    peer = Publisher(sound=True)
    yield peer
    await peer.close()


async def state_is(source: WhipIngest, state: str) -> None:
    await until(lambda: source.state == state)


async def test_a_publisher_is_a_camera(publisher: Publisher) -> None:
    async with WhipIngest("front") as camera, asyncio.timeout(30):
        assert isinstance(camera, Source)
        answer = await camera.offer(await publisher.offer())
        assert answer.sdp.startswith("v=0")
        assert "a=candidate" in answer.sdp, "all candidates are in the answer: there is no trickle"
        assert camera.resource_id == answer.resource_id
        await publisher.accept(answer.sdp)
        frames = [await camera.recv() for _ in range(4)]
        assert camera.state == "live"
        assert abs(frames[-1].seconds - time.time()) < 2
        for before, after in itertools.pairwise(frames):
            assert after.seconds - before.seconds == pytest.approx(1.0, abs=0.5)
            assert painted_seconds(after.image) - painted_seconds(before.image) == pytest.approx(1.0, abs=0.5)
        await camera.close(answer.resource_id)
        assert camera.state == "reconnecting"
        assert camera.resource_id is None
        with pytest.raises(ProtocolError, match="no such WHIP session") as caught:
            await camera.close(answer.resource_id)
        assert caught.value.code == "not_found"
    with pytest.raises(EndOfStream):
        await camera.recv()


async def test_a_publisher_with_an_rsa_certificate_is_a_camera() -> None:
    """GStreamer's have one, and are refused by aiortc where they are the DTLS server."""
    publisher = Publisher(rsa_key=True)
    async with WhipIngest("front") as camera, asyncio.timeout(20):
        answer = await camera.offer(await publisher.offer())
        assert "a=setup:passive" in answer.sdp
        await publisher.accept(answer.sdp)
        await camera.recv()
        await publisher.close()


async def test_a_publisher_that_wants_to_be_called_is_called(publisher: Publisher) -> None:
    async with WhipIngest("front") as camera, asyncio.timeout(20):
        offer = (await publisher.offer()).replace("a=setup:actpass", "a=setup:passive")
        answer = await camera.offer(offer)
        assert "a=setup:active" in answer.sdp
        await publisher.accept(answer.sdp)
        await camera.recv()


async def test_nobody_takes_frames_and_nothing_piles_up(publisher: Publisher) -> None:
    async with WhipIngest("front", fps=10) as camera, asyncio.timeout(30):
        answer = await camera.offer(await publisher.offer())
        await publisher.accept(answer.sdp)
        await until(lambda: camera.stats.dropped >= 10)
        frame = await camera.recv()
        assert abs(frame.seconds - time.time()) < 1


async def test_a_silent_publisher_is_let_go_and_may_return(publisher: Publisher) -> None:
    async with WhipIngest("front", silence=1.0) as camera, asyncio.timeout(40):
        answer = await camera.offer(await publisher.offer())
        await publisher.accept(answer.sdp)
        first = await camera.recv()
        publisher.track.stop()  # no more pictures, no farewell
        await state_is(camera, "reconnecting")
        assert "silent" in camera.reason
        assert camera.resource_id is None
        again = Publisher()
        await again.accept((await camera.offer(await again.offer())).sdp)
        frame = await camera.recv()
        while camera.state != "live":
            frame = await camera.recv()
        assert frame.seconds > first.seconds
        assert camera.stats.reconnects == 1
        await again.close()


async def test_a_publisher_that_never_sends_is_let_go(publisher: Publisher) -> None:
    async with WhipIngest("front", patience=0.5) as camera, asyncio.timeout(20):
        await camera.offer(await publisher.offer())
        await state_is(camera, "reconnecting")
        assert camera.resource_id is None


async def test_a_publisher_that_is_let_go_as_the_camera_closes_is_closed_to_the_end(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, begun = [], asyncio.Event()

    async def slowly(peer: RTCPeerConnection) -> None:
        begun.set()
        await asyncio.sleep(0.1)
        await peers.close_peer(peer)
        closed.append(peer)

    monkeypatch.setattr(whip, "close_peer", slowly)
    async with WhipIngest("front", patience=0.3) as camera, asyncio.timeout(20):
        await camera.offer(await publisher.offer())
        await begun.wait()
    assert len(closed) == 1


async def test_a_publisher_that_answers_no_questions_stays_as_long_as_it_sends(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ffmpeg's WHIP muxer leaves ICE's consent checks unanswered; aioice then ends the connection, after 33 s."""
    monkeypatch.setattr("aioice.ice.CONSENT_INTERVAL", 0.05)
    monkeypatch.setattr("aioice.ice.CONSENT_FAILURES", 1)
    async with WhipIngest("front", fps=10) as camera, asyncio.timeout(30):
        answer = await camera.offer(await publisher.offer())
        await publisher.accept(answer.sdp)
        ask_for_no_consent(publisher.peer)
        first = await camera.recv()
        publisher.answer_no_questions()
        while (await camera.recv()).seconds < first.seconds + 2:  # a question is given up after half a second
            assert camera.resource_id == answer.resource_id
        assert (camera.state, camera.stats.reconnects) == ("live", 0)


async def test_a_publisher_whose_pictures_hang_is_not_silent_but_not_borne_for_ever(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "BLIND", 2.0)
    async with WhipIngest("front", silence=1.0) as camera, asyncio.timeout(30):
        await publisher.accept((await camera.offer(await publisher.offer())).sdp)
        await camera.recv()
        monkeypatch.setattr(Presence, "hear", lambda _self: None)  # as if nothing could be decoded
        await state_is(camera, "reconnecting")
        assert "nothing to be seen for 2 s" in camera.reason


async def test_time_in_which_the_program_itself_stood_still_is_no_silence(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, now = Presence(publisher.peer, silence=1.0, patience=1.0), time.monotonic()
    for look in range(2):
        monkeypatch.setattr(time, "monotonic", lambda look=look: now + 100 * (look + 1))
        assert watched.missing(live=True) == ""
    monkeypatch.undo()


async def test_a_new_publisher_replaces_the_old(publisher: Publisher) -> None:
    async with WhipIngest("front") as camera, asyncio.timeout(40):
        old = await camera.offer(await publisher.offer())
        await publisher.accept(old.sdp)
        await camera.recv()
        second = Publisher()
        new = await camera.offer(await second.offer())
        await second.accept(new.sdp)
        await state_is(camera, "live")
        assert camera.resource_id == new.resource_id != old.resource_id
        with pytest.raises(ProtocolError):
            await camera.close(old.resource_id)
        frame = await camera.recv()
        assert frame.image.shape == (180, 320, 3)
        await second.close()


async def test_a_publisher_that_says_goodbye_itself_is_let_go(publisher: Publisher) -> None:
    async with WhipIngest("front") as camera, asyncio.timeout(30):
        answer = await camera.offer(await publisher.offer())
        await publisher.accept(answer.sdp)
        await camera.recv()
        await publisher.close()
        await state_is(camera, "reconnecting")


@pytest.mark.parametrize(
    ("sdp", "message"),
    [
        ("", "is empty"),
        ("hello", "is not SDP"),
        ("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", "no video"),
        ("v=0\r\nm=video garbage\r\n", "cannot be used"),
        (
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n",
            "cannot be used",
        ),
        ("v=0\r\nm=video " + "9" * LONGEST_OFFER, "longer than"),
    ],
)
async def test_a_bad_offer_is_one_clear_error(sdp: str, message: str) -> None:
    async with WhipIngest("front") as camera:
        with pytest.raises(LlamaVidError, match=message) as caught:
            await camera.offer(sdp)
        assert isinstance(caught.value, ProtocolError)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(4))
async def test_a_spoilt_offer_is_answered_or_refused_and_nothing_else(publisher: Publisher, seed: int) -> None:
    luck, offer = random.Random(seed), (await publisher.offer()).splitlines()
    async with WhipIngest("front", patience=5) as camera, asyncio.timeout(30):
        for _ in range(40):
            lines = list(offer)
            for _ in range(luck.randint(1, 4)):
                at = luck.randrange(len(lines))
                spoilt = lines[at][: luck.randrange(len(lines[at]) + 1)]
                lines[at : at + 1] = luck.choice([[], [spoilt], [lines[at], luck.choice(lines)], [lines[at] + "1"]])
            with contextlib.suppress(ProtocolError):
                await camera.offer("\r\n".join(lines) + "\r\n")
    await until(lambda: len(asyncio.all_tasks()) <= 2)


async def test_a_bad_offer_leaves_the_publisher_that_is_there(publisher: Publisher) -> None:
    async with WhipIngest("front") as camera, asyncio.timeout(30):
        answer = await camera.offer(await publisher.offer())
        await publisher.accept(answer.sdp)
        await camera.recv()
        with pytest.raises(ProtocolError):
            await camera.offer("v=0\r\nm=video garbage\r\n")
        assert camera.resource_id == answer.resource_id
        await camera.recv()


async def test_a_camera_that_is_not_open_takes_nobody(publisher: Publisher) -> None:
    camera = WhipIngest("front")
    with pytest.raises(ProtocolError, match="not open") as caught:
        await camera.offer(await publisher.offer())
    assert caught.value.code == "unavailable"
    with pytest.raises(SourceError, match="not open"):
        await camera.recv()


async def test_a_cancelled_recv_leaves_the_camera_well(publisher: Publisher) -> None:
    async with WhipIngest("front") as camera, asyncio.timeout(30):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await camera.recv()
        await publisher.accept((await camera.offer(await publisher.offer())).sdp)
        await camera.recv()
