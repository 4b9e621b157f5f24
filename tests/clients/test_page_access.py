"""The page where something is wrong or missing: no token, camera, server or disk; its sizes and its accessibility."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from llama_vid.access_tokens import create_token, revoke_token
from llama_vid.memory.alerts import AlertChange
from tests.clients.browsing import Complaints, needs_chromium, open_page, serious
from tests.clients.test_page import EVENT
from tests.server.running import FRONT_AND_BACK, RunningServer, running_server, until
from tests.server.scripted import ScriptedModel

pytestmark = [pytest.mark.peer, needs_chromium]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """Two scripted cameras; tests leave them as they are."""
    with running_server() as running:
        yield running


def test_signing_in_and_out(browser: Browser, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    secret = create_token(tokens, "kitchen", ("watch", "ask")).secret
    complaints = Complaints()
    with running_server(FRONT_AND_BACK, server_settings={"tokens_file": tokens}) as server:
        page = browser.new_page()
        complaints.watch(page)
        page.goto(server.url)
        page.wait_for_selector("#sign-in[open]")
        page.keyboard.press("Escape")
        assert page.is_visible("#sign-in")
        page.fill("#token", "wrong")
        page.press("#token", "Enter")
        page.wait_for_selector("#token-problem >> text=unknown")
        page.fill("#token", secret)
        page.press("#token", "Enter")
        page.wait_for_selector("a.tile img:not([hidden])")
        assert page.inner_text("#account-name") == "kitchen"
        assert page.is_hidden("#add-open")
        page.fill("#question", "who?")
        page.press("#question", "Enter")
        page.wait_for_selector(".proof a")
        assert secret not in page.content()
        revoke_token(tokens, "kitchen")
        page.wait_for_selector("#token-problem >> text=You were signed out")
        page.fill("#token", create_token(tokens, "kitchen").secret)
        page.press("#token", "Enter")
        page.wait_for_selector('#link[data-state="ready"]')
        assert page.is_hidden("#sign-in")
        page.click("#sign-out")
        page.wait_for_selector("#sign-in[open]")
        page.close()
    # Who is not signed in, or has the wrong token, is told so by 401; nothing else may be wrong.
    assert [line for line in complaints.found if "401" not in line] == []


def test_a_camera_is_added_and_what_is_wrong_is_said_at_its_field(browser: Browser) -> None:
    complaints = Complaints()
    with running_server({}) as server:
        page = open_page(browser, server.url, complaints)
        assert page.is_visible("#empty")
        page.click("#add-open")
        page.click("#add-submit")
        assert "short name" in page.inner_text("#add-id-problem")
        page.fill('[name="id"]', "yard")
        page.fill('[name="url"]', "file:/etc/passwd")
        page.click("#add-submit")
        page.wait_for_selector('#add-form [name="url"][aria-invalid="true"]')
        assert page.inner_text("#add-url-problem")
        page.fill('[name="url"]', "rtsp://bob:hunter22@127.0.0.1:9/yard")
        assert page.inner_text("#add-url-problem") == ""
        page.click("#add-submit")
        page.wait_for_selector('#stage[data-empty="false"]')
        assert page.inner_text("#stage-name") == "yard"
        page.click("#tab-memory")
        page.click("#remove")
        page.click("#remove-yes")
        page.wait_for_selector("#empty:not([hidden])")
        assert server.http.get("/api/cameras").json() == {"cameras": []}
        page.close()
    assert [line for line in complaints.found if "422" not in line and "400" not in line] == []


def test_the_webcam_is_a_camera_in_two_clicks(browser: Browser) -> None:
    complaints = Complaints()
    with running_server({}) as server:
        page = open_page(browser, server.url, complaints)
        page.click("#add-open")
        page.click('#add [data-publish="webcam"]')
        page.wait_for_selector("#sharing >> text=Your webcam is camera “webcam”.")
        assert page.is_hidden("#add")
        until(lambda: page.inner_text("#stage-name") == "webcam", "the new camera")
        source = server.model.session("webcam").source
        until(lambda: source.state == "live", "pictures over WebRTC")
        page.click("#stop-webcam")
        until(lambda: source.resource_id is None, "the end of the session")
        page.wait_for_selector("#sharing", state="hidden")
        page.close()
    assert complaints.found == []


def test_it_says_why_there_is_no_webcam_without_https(browser: Browser, server: RunningServer) -> None:
    complaints = Complaints()
    page = browser.new_page()
    # What a browser gives to a page that was opened over plain http from another machine.
    page.add_init_script(
        "Object.defineProperty(navigator, 'mediaDevices', {value: undefined});"
        "Object.defineProperty(window, 'isSecureContext', {value: false});"
    )
    complaints.watch(page)
    page.goto(server.url)
    page.click("#add-open")
    assert "only to pages opened over https or on localhost" in page.inner_text("#add")
    assert page.is_disabled('#add [data-publish="webcam"]')
    page.close()
    assert complaints.found == []


def test_it_comes_back_with_the_server(browser: Browser, tmp_path: Path) -> None:
    complaints = Complaints()
    with running_server() as server:
        port = int(server.url.rsplit(":", 1)[1])
        page = open_page(browser, server.url, complaints)
        server.stop()
        page.wait_for_selector('#link[data-state="lost"]')
        assert page.is_visible("#lost")
        assert page.is_disabled("#send")
        page.wait_for_selector('.tile[data-state="offline"]')
    with running_server(server_settings={"port": port}):
        page.click("#retry")
        page.wait_for_selector('#link[data-state="ready"]')
        page.wait_for_selector('.tile[data-state="live"]')
        assert page.is_hidden("#lost")
        page.close()


def test_it_says_that_the_model_is_loading(browser: Browser) -> None:
    complaints, loaded, model = Complaints(), threading.Event(), ScriptedModel()

    def load() -> ScriptedModel:
        loaded.wait(15)
        return model

    with running_server(load_model=load, ready=False) as server:
        page = browser.new_page()
        complaints.watch(page)
        page.goto(f"{server.url}/#/front")
        page.wait_for_selector('#link[data-state="loading"] >> text=the model is loading')
        assert page.get_attribute("#question", "placeholder") == "The model is loading…"
        assert page.is_disabled("#send")
        loaded.set()
        page.wait_for_selector('#link[data-state="ready"]')
        page.wait_for_selector('#stage[data-empty="false"]')
        page.fill("#question", "who?")
        assert page.is_enabled("#send")
        page.close()
    # Whether it is ready is asked of /readyz, which says 503 until then.
    assert [line for line in complaints.found if "503" not in line] == []


def test_memory_that_is_not_kept_is_said(browser: Browser, tmp_path: Path) -> None:
    complaints = Complaints()
    folder = tmp_path / "memory"
    folder.write_text("a file is where the folder should be")
    with running_server(memory=folder) as server:
        until(lambda: server.http.get("/readyz").json()["memory"]["state"] == "failing", "the state")
        page = open_page(browser, server.url, complaints)
        page.wait_for_selector("text=Connected · scripted · memory is not being kept")
        page.close()
    assert complaints.found == []


SIZES = [(360, 700), (390, 844), (768, 1024), (1024, 700), (1360, 820), (2200, 1200)]


def test_it_fits(browser: Browser, server: RunningServer) -> None:
    page = open_page(browser, server.url, Complaints(), "#/front")
    page.wait_for_selector('#stage[data-empty="false"]')
    for place in ("#/front", "#/"):
        page.goto(f"{server.url}/{place}")
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") == width, (place, width)
            for part in ("#stage", "#track", "#question") if place == "#/front" else ("a.tile",):
                box = page.locator(part).first.bounding_box()
                assert box is not None, (part, width)
                assert box["width"] > 100, (part, width)
                assert box["y"] + box["height"] <= height or part == "a.tile", (part, width)
    page.close()


def test_it_is_accessible(browser: Browser) -> None:
    camera = {"url": "rtsp://127.0.0.1:9/front", "alerts": [{"name": "dog", "when": "a dog"}]}
    with running_server({"front": camera, "back": {"url": "rtsp://127.0.0.1:9/back"}}) as server:
        page = open_page(
            browser, server.url, Complaints(), reduced_motion="reduce", viewport={"width": 1360, "height": 820}
        )

        def check(view: str) -> None:
            page.emulate_media(color_scheme="light", reduced_motion="reduce")
            assert serious(page) == [], view
            page.emulate_media(color_scheme="dark", reduced_motion="reduce")  # other colours, the same page
            assert serious(page, ["color-contrast"]) == [], view

        page.wait_for_selector("a.tile img:not([hidden])")
        server.model.session("front").alert(AlertChange("new", EVENT, 7.0))
        page.wait_for_selector("#note:not([hidden])")
        check("wall")
        page.click('.tile[data-id="front"]')
        page.wait_for_selector('#timeline[data-state="ready"]')
        page.fill("#question", "what?")
        page.press("#question", "Enter")
        page.wait_for_selector(".proof a")
        for tab in ("ask", "alerts", "rules", "memory"):
            page.click(f"#tab-{tab}")
            if tab == "rules":
                page.fill('[name="when"]', "a dog")
                page.wait_for_selector("text=Would have fired")
                page.click("summary")
            check(tab)
        page.set_viewport_size({"width": 390, "height": 844})
        check("phone")
        page.click("#add-open")
        check("add")
        page.evaluate("document.getElementById('add').close(); document.getElementById('sign-in').showModal()")
        check("sign-in")
        page.close()
