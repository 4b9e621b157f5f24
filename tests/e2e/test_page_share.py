"""One's own screen as a camera, from the page in Chromium: shared in two clicks, ended by both sides, refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from llama_vid.stream.frame import Frame
from tests.clients.browsing import CHROMIUM, FLAGS, Complaints, chromium, needs_chromium, open_page
from tests.server.running import RunningServer, running_server, until

pytestmark = [pytest.mark.peer, needs_chromium]

#: What a page that shares a screen leaves in `window.shared`, for the browser's own "Stop sharing".
NOTE = """
  const ask = navigator.mediaDevices.getDisplayMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getDisplayMedia = async (wish) => (window.shared = await ask(wish));
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server({"front": {"url": "rtsp://127.0.0.1:9/front"}}) as running:
        yield running


def camera(server: RunningServer, name: str) -> dict[str, Any]:
    """What the server says of a camera; empty where there is none."""
    answer = server.http.get(f"/api/cameras/{name}")
    return dict(answer.json()) if answer.status_code == 200 else {}


def seen(server: RunningServer, name: str) -> Frame:
    """The next frame that the camera gives to the model."""
    session = server.model.session(name)
    assert session.loop is not None
    return asyncio.run_coroutine_threadsafe(session.source.recv(), session.loop).result(20)


def share(page: Page) -> None:
    page.click("#add-open")
    page.click('#add [data-publish="screen"]')
    page.wait_for_selector("#sharing >> text=Your screen is camera “screen”.")


def test_a_screen_is_shared_in_two_clicks_and_stopped_by_a_third(browser: Browser, server: RunningServer) -> None:
    complaints = Complaints()
    page = open_page(browser, server.url, complaints)
    share(page)
    until(lambda: camera(server, "screen").get("publishing"), "the screen to come in")
    first = seen(server, "screen")
    height, width, _ = first.image.shape
    assert (width, height) == (1280, 720)
    # Chromium's fake screen: a green field with a turning disc and the time.
    red, green, blue = first.image[height // 3, width - 8].tolist()
    assert green > max(red, blue) + 40
    until(lambda: (seen(server, "screen").image != first.image).any(), "a screen that moves")
    assert page.evaluate("location.hash").endswith("screen")
    page.click("#stop-screen")
    until(lambda: not camera(server, "screen")["publishing"], "the end of it")
    assert page.is_hidden("#stop-screen")
    # Who shares again goes on with the same camera.
    share(page)
    until(lambda: camera(server, "screen")["publishing"], "the screen to come again")
    assert not camera(server, "screen-2")
    page.close()  # its last word to the server
    until(lambda: not camera(server, "screen")["publishing"], "the end of a page that was closed")
    assert complaints.found == []


def test_what_the_browser_stops_to_share_is_said_and_ended(browser: Browser, server: RunningServer) -> None:
    complaints = Complaints()
    context = browser.new_context()
    context.add_init_script(NOTE)
    page = open_page(context, server.url, complaints)
    share(page)
    until(lambda: camera(server, "screen").get("publishing"), "the screen to come in")
    page.evaluate("window.shared.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    page.wait_for_selector("#sharing >> text=The screen is no longer shared.")
    until(lambda: not camera(server, "screen")["publishing"], "the end of it")
    context.close()
    assert complaints.found == []


def test_who_chooses_no_screen_is_told_so_and_no_camera_is_made(browser: Browser, server: RunningServer) -> None:
    complaints, before = Complaints(), server.http.get("/api/cameras").json()["cameras"]
    flags = [f"{flag}=deny" if flag == "--use-fake-ui-for-media-stream" else flag for flag in FLAGS]
    with contextlib.closing(browser.browser_type.launch(executable_path=CHROMIUM, args=flags)) as refusing:
        page = open_page(refusing, server.url, complaints)
        page.click("#add-open")
        page.click('#add [data-publish="screen"]')
        page.wait_for_selector("#add >> text=No screen was chosen.")
        assert page.is_hidden("#stop-screen")
    assert len(server.http.get("/api/cameras").json()["cameras"]) == len(before)
    assert complaints.found == []
