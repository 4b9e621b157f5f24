"""A browser's webcam over WHIP: the page publishes it, the real model watches it, and the page asks about it."""

from __future__ import annotations

import io
import shutil

import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from tests.clients.test_page import FLAGS
from tests.e2e.conftest import Live
from tests.server.running import until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.model,
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt install chromium"),
]

WATCH_S = 8.0


def test_a_webcam_is_published_watched_and_asked_about(live: Live) -> None:
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.on("console", lambda line: problems.append(line.text) if line.type in ("error", "warning") else None)
        page.on("pageerror", lambda problem: problems.append(str(problem)))
        page.goto(live.url)
        page.wait_for_selector('#link[data-state="ready"]')
        page.click("#webcam")
        page.wait_for_selector("text=Your webcam is camera “web”.")
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

        page.click('#cameras button[data-id="web"]')
        page.fill("#question", "What is in the picture?")
        page.press("#question", "Enter")
        page.wait_for_selector(".turn:last-child .facts", timeout=60_000)
        answer = (page.text_content(".turn:last-child .answered") or "").strip()
        assert len(answer) > 5
        page.wait_for_selector('#stage[data-empty="false"]')

        page.click("#webcam")
        until(lambda: not live.camera("web")["publishing"], "the end of the session")
        browser.close()
    # The page may offer before the camera is open, and asks for pictures before there is one.
    assert [problem for problem in problems if "503" not in problem and "404" not in problem] == []
    # What was published is still remembered.
    assert live.camera("web")["watched_s"] >= WATCH_S
