"""A browser's webcam over WHIP: the page publishes it, the real model watches it, and the page asks about it."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from tests.clients.browsing import Complaints, chromium, needs_chromium
from tests.e2e.conftest import Live
from tests.server.running import until

pytestmark = [
    pytest.mark.model,
    pytest.mark.peer,
    pytest.mark.slow,
    needs_chromium,
]

WATCH_S = 8.0


def test_a_webcam_is_published_watched_and_asked_about(live: Live) -> None:
    complaints = Complaints()
    with chromium() as browser:
        page = browser.new_page()
        complaints.watch(page)
        page.goto(live.url)
        page.wait_for_selector('#link[data-state="ready"]')
        page.click("#add-open")
        page.click('#add [data-publish="webcam"]')
        page.wait_for_selector("#sharing >> text=Your webcam is camera “web”.")
        until(lambda: live.camera("web")["watched_s"] >= WATCH_S, f"{WATCH_S:g} s of the webcam", 60)
        state = live.camera("web")
        assert state["publishing"] is True
        assert state["state"] == "live"
        assert state["tokens"]["frames"] >= WATCH_S - 2

        picture = live.server.http.get("/api/cameras/web/frames/latest.jpg")
        with Image.open(io.BytesIO(picture.content)) as image:
            width, height = image.size
            assert width >= 320
            # Chromium's fake webcam: a green field with a turning disc and the time.
            red, green, blue = image.convert("RGB").getpixel((width - 8, height // 3))
            assert green > red + 40
            assert green > blue + 40

        # The page went to the new camera, whose picture moves: the disc turns, the clock goes.
        page.wait_for_selector('#stage[data-empty="false"]')
        first = page.locator("#stage").screenshot()
        until(lambda: page.locator("#stage").screenshot() != first, "a picture that moves")
        page.fill("#question", "What is in the picture?")
        page.press("#question", "Enter")
        page.wait_for_selector(".turn:last-child .facts:not(:empty)", timeout=60_000)
        answer = (page.text_content(".turn:last-child .answered") or "").strip()
        assert len(answer) > 5
        page.click(".turn:last-child .proof a")
        until(lambda: page.evaluate("document.getElementById('past').naturalWidth") >= 320, "the picture of a time")

        page.click("#stop-webcam")
        until(lambda: not live.camera("web")["publishing"], "the end of the session")
    assert complaints.found == []
    # What was published is still remembered.
    assert live.camera("web")["watched_s"] >= WATCH_S
