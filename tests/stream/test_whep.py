"""WHEP with real viewers on loopback: ICE, DTLS, RTP and all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from llama_vid.errors import ProtocolError
from llama_vid.stream.pacing import FileCamera
from llama_vid.stream.view import View
from llama_vid.stream.whep import TooManyViewers, Viewers
from llama_vid.stream.whip import WhipIngest
from tests.peers.publisher import Publisher
from tests.peers.video import make_video, painted_seconds
from tests.peers.viewer import Viewer
from tests.peers.waiting import until


@pytest.fixture
async def viewers() -> AsyncIterator[Viewers]:
    async with Viewers(most=3, most_encoded=2) as those:
        yield those


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("film") / "film.mp4", seconds=8, size=(640, 360), b_frames=0, group=25)


async def connect(viewers: Viewers, view: View, viewer: Viewer) -> str:
    answer = await viewers.offer("front", view, await viewer.offer())
    await viewer.accept(answer.sdp)
    return answer.resource_id


@pytest.mark.parametrize("candidates", [True, False])
async def test_h264_reaches_a_viewer_as_it_is(viewers: Viewers, film: Path, *, candidates: bool) -> None:
    view, viewer = View("front", longest_side=320), Viewer(candidates=candidates)
    async with asyncio.timeout(30), FileCamera(film, view=view) as camera:
        await camera.recv()
        resource = await connect(viewers, view, viewer)
        shown = [await viewer.picture() for _ in range(20)]
        assert shown[0].shape == (360, 640, 3), "not scaled: it was passed through"
        times = [painted_seconds(picture) for picture in shown]
        assert times[-1] - times[0] == pytest.approx(19 / 25, abs=0.1)
        assert viewers.count("front") == 1
        await viewers.close("front", resource)
        await viewer.ended()
        assert viewers.count() == 0
        assert not view.wanted
        with pytest.raises(ProtocolError, match="no such WHEP session") as caught:
            await viewers.close("front", resource)
        assert caught.value.code == "not_found"
    await viewer.close()


async def test_a_viewer_without_h264_has_pictures_encoded(viewers: Viewers, film: Path) -> None:
    view, viewer = View("front", longest_side=320), Viewer(codec="VP8")
    async with asyncio.timeout(30), FileCamera(film, view=view) as camera:
        await camera.recv()
        await connect(viewers, view, viewer)
        shown = [await viewer.picture() for _ in range(6)]
        assert shown[-1].shape == (180, 320, 3)
        times = [painted_seconds(picture) for picture in shown]
        assert times[-1] - times[0] == pytest.approx(0.5, abs=0.4)
    # The camera is closed; its view is, when the desk takes it away.
    view.close()
    await until(lambda: viewers.count() == 0)
    await viewer.close()


async def test_a_publisher_is_played_out(viewers: Viewers) -> None:
    view, viewer, publisher = View("front"), Viewer(), Publisher()
    async with asyncio.timeout(30), WhipIngest("front") as camera:
        camera.show(view)
        await publisher.accept((await camera.offer(await publisher.offer())).sdp)
        await camera.recv()
        await connect(viewers, view, viewer)
        times = [painted_seconds(await viewer.picture()) for _ in range(10)]
        assert times[-1] > times[0] + 0.5
        await publisher.close()
    await viewer.close()


async def test_viewers_have_a_bound_and_places_are_free_again(viewers: Viewers, film: Path) -> None:
    view, peers = View("front"), [Viewer(codec="VP8"), Viewer(codec="VP8"), Viewer(codec="VP8"), Viewer(), Viewer()]
    async with asyncio.timeout(40), FileCamera(film, view=view) as camera:
        await camera.recv()
        for peer in peers[:2]:
            await connect(viewers, view, peer)
        with pytest.raises(TooManyViewers, match="encoded"):
            await viewers.offer("front", view, await peers[2].offer())
        await connect(viewers, view, peers[3])
        with pytest.raises(TooManyViewers, match="max_viewers") as caught:
            await viewers.offer("front", view, await peers[4].offer())
        assert caught.value.code == "too_many_viewers"
        await peers[0].picture()
        await peers[0].close()  # says goodbye over DTLS
        await until(lambda: viewers.count() == 2)
        await connect(viewers, view, peers[4])
        picture = await peers[4].picture()
        assert np.ptp(picture) > 100
    for peer in peers:
        await peer.close()


async def test_a_viewer_that_never_calls_is_let_go(
    viewers: Viewers, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llama_vid.stream.whep.PATIENCE", 1.0)
    view, viewer = View("front"), Viewer()
    async with asyncio.timeout(20), FileCamera(film, view=view) as camera:
        await camera.recv()
        await viewers.offer("front", view, await viewer.offer())
        assert view.wanted
        await until(lambda: viewers.count() == 0)
        assert not view.wanted
    await viewer.close()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda sdp: "", "protocol"),
        (lambda sdp: "hello", "protocol"),
        (lambda sdp: sdp.replace("a=recvonly", "a=sendonly"), "protocol"),
        (lambda sdp: sdp.replace("VP8", "AV1").replace("H264", "H265"), "not_acceptable"),
        (lambda sdp: sdp.replace("m=video", "m=audio"), "protocol"),
        (lambda sdp: sdp.replace("a=fingerprint", "a=x"), "protocol"),
    ],
)
async def test_a_bad_offer_is_one_clear_error(viewers: Viewers, change: object, code: str) -> None:
    assert callable(change)
    view, viewer = View("front"), Viewer()
    with pytest.raises(ProtocolError) as caught:
        await viewers.offer("front", view, change(await viewer.offer()))
    assert "\n" not in str(caught.value)
    assert (caught.value.code == code) or code == "protocol"
    assert not view.wanted
    assert viewers.count() == 0
    await viewer.close()
