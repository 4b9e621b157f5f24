"""The page with the real model behind it: live video of an RTSP camera, its timeline, an answer and its frames."""

from __future__ import annotations

import pytest

from tests.clients.browsing import Complaints, chromium, needs_chromium, open_page
from tests.e2e.conftest import Live
from tests.server.running import until

pytestmark = [pytest.mark.model, pytest.mark.peer, pytest.mark.slow, needs_chromium]

WATCH_S = 12.0
#: The clock of the <video>, and the first row of what it shows as text.
VIDEO = """() => {
    const video = document.getElementById('video');
    if (video.hidden || video.readyState < 2) return null;
    const canvas = new OffscreenCanvas(32, 18);
    canvas.getContext('2d').drawImage(video, 0, 0, 32, 18);
    return canvas.getContext('2d').getImageData(0, 0, 32, 18).data.join();
}"""


def test_a_camera_plays_live_and_its_past_is_shown(live: Live) -> None:
    complaints = Complaints()
    until(lambda: live.camera()["watched_s"] >= WATCH_S, f"{WATCH_S:g} s of front", 90)
    with chromium() as browser:
        page = open_page(browser, live.url, complaints, "#/front", viewport={"width": 1280, "height": 800})
        first = until(lambda: page.evaluate(VIDEO), "live video", 30)
        until(lambda: page.evaluate(VIDEO) != first, "video that moves")
        assert page.inner_text("#stage-facts") == "video"

        page.wait_for_selector('#timeline[data-state="ready"]')
        page.focus("#track")
        page.keyboard.press("Home")
        until(lambda: page.evaluate("document.getElementById('past').naturalWidth") >= 320, "the first frame")
        page.keyboard.press("End")
        page.wait_for_selector("#video:not([hidden])")

        page.fill("#question", "Is there a bicycle?")
        page.press("#question", "Enter")
        page.wait_for_selector(".turn .facts:not(:empty)", timeout=60_000)
        page.click(".proof a.pictured")
        until(lambda: page.inner_text("#stage-badge") == "Past", "the time of the answer")
        until(lambda: page.evaluate("document.getElementById('past').naturalWidth") >= 320, "its frame")
    assert complaints.found == []
