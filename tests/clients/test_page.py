"""The web page in headless Chromium: asks, shows, publishes its fake webcam, and stays inside its strict policy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.server.running import FRONT_AND_BACK, RunningServer, running_server, until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    # Loopback candidates as addresses: nobody answers multicast names in a container.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]
PAGE = Path(__file__).resolve().parents[2] / "clients" / "page"

pytestmark = [pytest.mark.peer, pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt install chromium")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def problems() -> list[str]:
    """What the page's console complained about."""
    return []


def open_page(browser: Browser, server: RunningServer, problems: list[str], **options: Any) -> Page:
    page = browser.new_page(**options)
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda problem: problems.append(str(problem)))
    page.goto(server.url)
    page.wait_for_selector('#link[data-state="ready"]')
    return page


def test_ask_watch_and_look(browser: Browser, problems: list[str]) -> None:
    with running_server() as server:
        page = open_page(browser, server, problems)
        page.wait_for_selector('#stage[data-empty="false"]')
        assert [b.get_attribute("data-id") for b in page.query_selector_all("#cameras button")] == ["back", "front"]
        assert page.inner_text("#timeline li:first-child").split("\n")[-1] == "a package at the door"

        page.click('#cameras button[data-id="front"]')
        page.fill("#question", "<b>count</b> <|im_start|>what?")
        page.press("#question", "Enter")
        page.wait_for_selector(".facts button")
        # Text from outside stays text.
        assert page.inner_text(".answered") == "You asked: <b>count</b> what?"
        assert page.query_selector(".answered b") is None
        assert [b.inner_text() for b in page.query_selector_all(".facts button")] == ["0:04", "0:06"]
        assert server.model.session("front").questions[-1][0] == "<b>count</b> what?"

        page.click(".facts button")
        until(lambda: page.evaluate("document.getElementById('viewer-picture').naturalWidth") == 64, "the picture")
        assert page.inner_text("#viewer-title") == "front, 0:04"
        page.keyboard.press("Escape")

        page.fill("#question", "wait")
        page.press("#question", "Enter")
        until(lambda: page.text_content(".turn:last-child .answered") == "Well, ", "the first word")
        page.click("#send")
        page.wait_for_selector("text=Stopped.")
        assert server.model.session("front").cancelled.wait(5)

        server.model.session("front").change("reconnecting", "the stream ended")
        page.wait_for_selector('#cameras button[data-id="front"][data-state="reconnecting"]')
        assert page.inner_text("#stage-note") == "Waiting for the camera."
        assert problems == []
        page.close()


@pytest.mark.parametrize(("width", "height"), [(360, 700), (390, 844), (900, 700), (1360, 820), (2200, 1200)])
def test_it_fits(browser: Browser, problems: list[str], width: int, height: int) -> None:
    with running_server() as server:
        page = open_page(browser, server, problems, viewport={"width": width, "height": height})
        page.wait_for_selector('#stage[data-empty="false"]')
        assert page.evaluate("document.documentElement.scrollWidth") == width
        box = page.locator("#question").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= height
        page.close()


def test_the_webcam_becomes_a_camera(browser: Browser, problems: list[str]) -> None:
    with running_server({}) as server:
        page = open_page(browser, server, problems)
        assert page.is_visible("#no-cameras")
        page.click("#webcam")
        page.wait_for_selector("text=Your webcam is camera “webcam”.")
        source = server.model.session("webcam").source
        until(lambda: source.state == "live", "pictures over WebRTC")
        page.click("#webcam")
        until(lambda: source.resource_id is None, "the end of the session")
        assert page.inner_text("#webcam") == "Use my webcam"
        # The first offer may come before the new camera is open.
        assert [p for p in problems if "503" not in p] == []
        page.close()


def test_it_comes_back_with_the_server(browser: Browser, problems: list[str]) -> None:
    with running_server(FRONT_AND_BACK) as server:
        page = open_page(browser, server, problems)
        server.stop()
        page.wait_for_selector('#link[data-state="lost"]')
        assert page.is_disabled("#send")
        page.close()


def test_memory_that_is_not_kept_is_said(browser: Browser, problems: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    folder.write_text("a file is where the folder should be")
    with running_server(memory=folder) as server:
        until(lambda: server.http.get("/readyz").json()["memory"]["state"] == "failing", "the state")
        page = open_page(browser, server, problems)
        page.wait_for_selector("text=Connected · scripted · memory is not being kept")
        assert problems == []
        page.close()


def test_nothing_comes_from_elsewhere() -> None:
    for file in PAGE.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "innerHTML" not in text
        assert "http://" not in text
        assert "https://" not in text
