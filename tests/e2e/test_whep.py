"""A camera that the real model watches is played out over WHEP, from the one connection that there is to it."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.e2e.conftest import Live
from tests.peers.viewer import Viewer

pytestmark = [pytest.mark.model, pytest.mark.peer, pytest.mark.slow]


async def test_a_watched_camera_is_played_out(live: Live) -> None:
    await live.watched(2.0)
    viewer, reconnects = Viewer(), live.camera()["reconnects"]
    async with httpx.AsyncClient(base_url=live.url, trust_env=False, timeout=30) as http, asyncio.timeout(60):
        offer = await viewer.offer()
        answer = await http.post("/whep/front", content=offer, headers={"Content-Type": "application/sdp"})
        assert answer.status_code == 201, answer.text
        assert "H264/90000" in answer.text
        assert "VP8" not in answer.text, "it is passed through, not encoded"
        await viewer.accept(answer.text)
        pictures = [await viewer.picture() for _ in range(20)]
        assert pictures[0].shape == (180, 320, 3)
        assert any((pictures[0] != picture).any() for picture in pictures)
        await live.more_frames(2)  # the model goes on watching
        assert live.camera()["reconnects"] == reconnects
        assert (await http.delete(answer.headers["location"])).status_code == 200
        web = await http.post("/whep/web", content=offer, headers={"Content-Type": "application/sdp"})
        assert (web.status_code, web.json()["error"]["code"]) == (503, "not_live")
    await viewer.close()
