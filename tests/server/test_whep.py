"""`/whep/{camera}`: its HTTP behaviour, with real sources behind the port and real viewers, Chromium among them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from playwright.sync_api import Page

from llama_vid.access_tokens import create_token, revoke_token
from llama_vid.stream.masking import MaskedSource
from llama_vid.stream.opening import open_source
from llama_vid.stream.source import Source
from llama_vid.stream.view import View
from tests.clients.browsing import FLAGS, chromium, needs_chromium
from tests.peers.publisher import Publisher
from tests.peers.video import make_video, painted_seconds
from tests.peers.viewer import Viewer
from tests.server.running import RunningServer, running_server, until
from tests.server.scripted import ScriptedModel, ScriptedSession

SDP = {"Content-Type": "application/sdp"}
RIGHT_HALF = [{"box": [0.5, 0.0, 1.0, 1.0]}]


class Watched:
    """A source whose frames are taken, as a session does."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def __aenter__(self) -> Self:
        await self._source.__aenter__()
        self._taking = asyncio.create_task(self._take(), name="taking frames")
        return self

    async def __aexit__(self, *reason: Any) -> None:
        self._taking.cancel()
        await asyncio.wait({self._taking})
        await self._source.__aexit__(*reason)

    async def _take(self) -> None:
        while True:
            await self._source.recv()


class FilmModel(ScriptedModel):
    """Scripted, but cameras that are films are played as the real model plays them."""

    def watch(self, source: Any, *, view: View | None = None, **options: Any) -> ScriptedSession:
        masks = options.get("masks", ())
        if isinstance(source, str) and source.startswith("file:"):
            opened = open_source(source, live=True, fps=options["fps"], view=None if masks else view)
            source = Watched(MaskedSource(opened, masks, view) if masks else opened)
        return super().watch(source, view=view, **options)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("films")
    plain = make_video(folder / "plain.mp4", seconds=12, size=(320, 180), b_frames=0, group=25)
    mixed = make_video(folder / "mixed.mp4", seconds=12, size=(320, 180), b_frames=2, group=50)
    return {
        "plain": {"url": f"file:{plain}"},
        "mixed": {"url": f"file:{mixed}"},
        "masked": {"url": f"file:{plain}", "fps": 5, "privacy_masks": RIGHT_HALF},
        "web": {"url": "webrtc:"},
        "front": {"url": "rtsp://127.0.0.1:9/front"},
    }


@pytest.fixture
def whep(films: dict[str, Any]) -> Iterator[RunningServer]:
    with running_server(films, load_model=FilmModel, ready=False) as server:
        for name in films:
            until(lambda name=name: server.http.get(f"/api/cameras/{name}").json()["open"], name)
        yield server


async def play(http: httpx.AsyncClient, camera: str, viewer: Viewer) -> str:
    """The viewer watches; gives its session's address."""
    answer = await http.post(f"/whep/{camera}", content=await viewer.offer(), headers=SDP)
    assert answer.status_code == 201, answer.text
    assert answer.headers["content-type"] == "application/sdp"
    await viewer.accept(answer.text)
    return str(answer.headers["location"])


async def test_a_viewer_comes_and_goes(whep: RunningServer) -> None:
    viewer = Viewer()
    async with httpx.AsyncClient(base_url=whep.url, trust_env=False) as http, asyncio.timeout(30):
        location = await play(http, "plain", viewer)
        assert location.startswith("/whep/plain/")
        times = [painted_seconds(await viewer.picture()) for _ in range(10)]
        assert times[-1] - times[0] == pytest.approx(9 / 25, abs=0.1)
        assert (await http.delete(location.replace("/plain/", "/mixed/"))).status_code == 404
        assert (await http.patch(location)).status_code == 405
        assert (await http.delete(location)).status_code == 200
        await viewer.ended()
        assert (await http.delete(location)).status_code == 404
    await viewer.close()


async def test_what_is_masked_reaches_no_viewer(whep: RunningServer) -> None:
    viewer = Viewer()
    async with httpx.AsyncClient(base_url=whep.url, trust_env=False) as http, asyncio.timeout(30):
        await play(http, "masked", viewer)
        pictures = [await viewer.picture() for _ in range(4)]
    assert pictures[-1].shape == (180, 320, 3)
    for picture in pictures:
        assert picture[:, 170:].max() < 40
        assert picture[:, :150].max() > 200
    await viewer.close()


async def test_a_camera_that_is_taken_away_ends_its_viewers(whep: RunningServer) -> None:
    viewer, other, late = Viewer(), Viewer(codec="VP8"), Viewer()
    async with httpx.AsyncClient(base_url=whep.url, trust_env=False) as http, asyncio.timeout(30):
        await play(http, "mixed", viewer)
        await play(http, "mixed", other)
        await viewer.picture()
        await other.picture()
        assert (await http.delete("/api/cameras/mixed")).status_code in (200, 204)
        await viewer.ended()
        await other.ended()
        assert (await http.post("/whep/mixed", content=await late.offer(), headers=SDP)).status_code == 404
    for each in (viewer, other, late):
        await each.close()


async def test_what_a_publisher_sends_is_played_out(whep: RunningServer) -> None:
    viewer, publisher = Viewer(), Publisher()
    async with httpx.AsyncClient(base_url=whep.url, trust_env=False) as http, asyncio.timeout(30):
        posted = await http.post("/whip/web", content=await publisher.offer(), headers=SDP)
        await publisher.accept(posted.text)
        await play(http, "web", viewer)
        times = [painted_seconds(await viewer.picture()) for _ in range(8)]
        assert times[-1] > times[0] + 0.4
    await publisher.close()
    await viewer.close()


async def test_what_is_refused(whep: RunningServer) -> None:
    viewer = Viewer()
    sdp = await viewer.offer()
    async with httpx.AsyncClient(base_url=whep.url, trust_env=False) as http:

        async def post(path: str, body: str, kind: str = "application/sdp") -> tuple[int, str]:
            answer = await http.post(path, content=body, headers={"Content-Type": kind})
            return answer.status_code, answer.json()["error"]["code"]

        assert await post("/whep/none", sdp) == (404, "no_such_camera")
        assert (await post("/whep/plain", sdp, "text/plain"))[0] == 415
        assert (await post("/whep/plain", "v=0\r\n" + "a" * 70_000))[0] == 413
        assert (await post("/whep/plain", "hello"))[0] == 400
        assert (await post("/whep/plain", sdp.replace("a=recvonly", "a=sendonly")))[0] == 400
        assert await post("/whep/plain", sdp.replace("VP8", "AV1").replace("H264", "H265")) == (406, "not_acceptable")
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            assert (await http.request(method, "/whep/plain")).status_code == 405, method
        assert (await http.delete("/whep/plain/abc")).status_code == 404
        options = await http.options("/whep/plain")
        assert (options.status_code, options.headers["accept-post"]) == (204, "application/sdp")
        assert "link" not in options.headers
        assert (await http.options("/whep/none")).status_code == 404
    await viewer.close()


async def test_places_are_counted_and_ice_servers_announced_but_not_logged(
    films: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = tmp_path / "turn.txt"
    secret.write_text("open-sesame\n")
    # The TURN server is this machine's discard port: nobody answers, and nobody is asked beyond it.
    webrtc = {
        "max_viewers": 1,
        "ice_servers": [{"url": "turn:127.0.0.1:9?transport=tcp", "username": "llama", "credential_file": str(secret)}],
    }
    viewer, late = Viewer(), Viewer()
    with running_server(films, load_model=FilmModel, webrtc=webrtc, ready=False) as server:
        await asyncio.to_thread(until, lambda: server.http.get("/api/cameras/plain").json()["open"], "the film")
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=20) as http, asyncio.timeout(40):
            link = (await http.options("/whep/plain")).headers["link"]
            assert link == (
                '<turn:127.0.0.1:9?transport=tcp>; rel="ice-server"; username="llama"; credential="open-sesame"; '
                'credential-type="password"'
            )
            assert (await http.options("/whip/web")).headers["link"] == link
            posted = await http.post("/whep/plain", content=await viewer.offer(), headers=SDP)
            assert posted.status_code == 201, posted.text
            assert posted.headers["link"] == link
            refused = await http.post("/whep/plain", content=await late.offer(), headers=SDP)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
            assert refused.json()["error"]["code"] == "too_many_viewers"
            await http.delete(posted.headers["location"])
            again = await http.post("/whep/plain", content=await late.offer(), headers=SDP)
            assert again.status_code == 201
            assert "open-sesame" not in (await http.get("/metrics")).text
    own = [each.getMessage() for each in caplog.records if not each.name.startswith(("httpcore", "httpx"))]
    assert len(own) > 20
    assert "open-sesame" not in "\n".join(own)
    for each in (viewer, late):
        await each.close()


async def test_a_token_is_wanted_and_its_end_is_the_viewers(films: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    watch = create_token(file, "watch", scopes=("watch",)).secret
    ask = create_token(file, "ask", scopes=("ask",)).secret
    viewer = Viewer()
    with running_server(films, load_model=FilmModel, server_settings={"tokens_file": file}, ready=False) as server:
        headers = {"Authorization": f"Bearer {watch}"}
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http, asyncio.timeout(40):
            for path in ("/whep/plain", "/whip/web"):
                nobody = await http.post(path, content="v=0", headers=SDP)
                assert nobody.status_code == 401
                assert nobody.headers["www-authenticate"].startswith("Bearer")
                assert (await http.options(path)).status_code == 401
                wrong = await http.post(path, content="v=0", headers=SDP | {"Authorization": f"Bearer {ask}"})
                assert wrong.status_code == 403
            while not (await http.get("/api/cameras/plain", headers=headers)).json()["open"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            answer = await http.post("/whep/plain", content=await viewer.offer(), headers=SDP | headers)
            assert answer.status_code == 201, answer.text
            await viewer.accept(answer.text)
            await viewer.picture()
            revoke_token(file, "watch")
            await viewer.ended()
    await viewer.close()


PLAY = """async (camera) => {
  const peer = window.peer = new RTCPeerConnection();
  peer.addTransceiver("video", { direction: "recvonly" });
  const video = document.body.appendChild(document.createElement("video"));
  video.muted = video.autoplay = true;
  peer.ontrack = (event) => { video.srcObject = new MediaStream([event.track]); };
  await peer.setLocalDescription();
  const answer = await fetch(`/whep/${camera}`, {
    method: "POST", headers: { "Content-Type": "application/sdp" }, body: peer.localDescription.sdp,
  });
  if (!answer.ok) throw new Error(await answer.text());
  await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  await new Promise((resolve) => { video.onplaying = resolve; });
  const canvas = document.createElement("canvas");
  const look = () => {
    canvas.width = video.videoWidth; canvas.height = video.videoHeight;
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0);
    return [...context.getImageData(0, 0, canvas.width, canvas.height / 3).data];
  };
  const shown = [look()];
  for (let n = 0; n < 5; n++) {
    await new Promise((resolve) => setTimeout(resolve, 400));
    shown.push(look());
  }
  const report = [...(await peer.getStats()).values()];
  const inbound = report.find((each) => each.type === "inbound-rtp");
  const codec = report.find((each) => each.id === inbound.codecId);
  let moved = 0;
  for (let n = 1; n < shown.length; n++) moved += shown[n].some((value, at) => Math.abs(value - shown[n - 1][at]) > 60);
  return { codec: codec.mimeType, width: video.videoWidth, decoded: inbound.framesDecoded, moved,
           lost: inbound.packetsLost, candidates: peer.localDescription.sdp.match(/a=candidate/g)?.length ?? 0 };
}"""


@needs_chromium
@pytest.mark.peer
def test_chromium_sees_the_picture_move(whep: RunningServer) -> None:
    # As a visitor's browser is: addresses are hidden behind .local names that nobody here can resolve.
    flags = [flag for flag in FLAGS if "Mdns" not in flag]

    def watch(page: Page, camera: str) -> dict[str, Any]:
        page.goto(f"{whep.url}/healthz")
        seen: dict[str, Any] = page.evaluate(PLAY, camera)
        assert seen["moved"] >= 4, seen
        assert seen["width"] == 320, seen
        return seen

    with chromium(flags) as browser:
        page = browser.new_page()
        passed = watch(page, "plain")
        assert passed["codec"] == "video/H264"
        assert passed["decoded"] >= 30  # 25 a second, over two seconds
        encoded = watch(page, "mixed")
        assert 10 <= encoded["decoded"] <= 40  # 10 a second
