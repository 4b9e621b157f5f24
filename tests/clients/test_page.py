"""The web page in headless Chromium: wall, camera, timeline, questions, alerts, captions, rules and memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from llama_vid.caption_desk import record_of
from llama_vid.llm.speech.words import CaptionEvent, Line, Word
from llama_vid.memory.alerts import AlertChange, AlertEvent
from llama_vid.memory.journal import Journal
from tests.clients.browsing import Complaints, needs_chromium, open_page
from tests.server.running import RunningServer, running_server, until

PAGE = Path(__file__).resolve().parents[2] / "clients" / "page"
EVENT = AlertEvent("evt_1", "front", "package", "Seen: a package.", 4.0, None, 0.91, frames=(6.0,), before=3.0)

pytestmark = [pytest.mark.peer, needs_chromium]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """Two scripted cameras for all tests that leave them as they are."""
    with running_server() as running:
        yield running


def size_of(page: Page, picture: str) -> int:
    """The natural width of an <img>; 0 while it shows nothing."""
    return int(page.evaluate("id => document.getElementById(id).naturalWidth", picture))


def at(page: Page) -> float | None:
    """The second that the page looks at; None for live."""
    parts = str(page.evaluate("location.hash")).split("/")
    return float(parts[2]) if len(parts) == 3 else None


def test_the_wall_shows_every_camera_and_its_pictures_go_on(
    browser: Browser, server: RunningServer, complaints: Complaints
) -> None:
    page = open_page(browser, server.url, complaints)
    page.wait_for_selector('.tile[data-id="back"] img:not([hidden])')
    assert [tile.get_attribute("data-id") for tile in page.query_selector_all("a.tile")] == ["back", "front"]
    assert page.inner_text("#wall-count") == "2 of 2 live"
    assert "20 s in memory" in page.inner_text('.tile[data-id="front"]')
    first = page.get_attribute('.tile[data-id="front"] img', "src")
    until(lambda: page.get_attribute('.tile[data-id="front"] img', "src") != first, "the next picture")
    page.click('.tile[data-id="front"]')
    page.wait_for_selector('#stage[data-empty="false"]')
    assert page.inner_text("#stage-badge") == "Live"
    page.go_back()
    page.wait_for_selector("#wall-view:not([hidden])")
    page.close()


def test_one_camera_is_shown_at_once(browser: Browser, complaints: Complaints) -> None:
    with running_server({"only": {"url": "rtsp://127.0.0.1:9/only"}}) as server:
        page = open_page(browser, server.url, complaints)
        page.wait_for_selector('#stage[data-empty="false"]')
        assert page.inner_text("#stage-name") == "only"
        page.close()


def test_times_of_an_answer_lead_to_their_pictures(front: Page, server: RunningServer) -> None:
    front.fill("#question", "<b>count</b> <|im_start|>what at 0:04?")
    front.press("#question", "Enter")
    front.wait_for_selector(".proof a")
    # Text from outside stays text, and the time in it is a link.
    assert front.inner_text(".answered") == "You asked: <b>count</b> what at 0:04?"
    assert front.query_selector(".answered b") is None
    assert front.inner_text(".answered a") == "0:04"
    assert [link.inner_text() for link in front.query_selector_all(".proof a time")] == ["0:04", "0:06"]
    question, conversation = server.model.session("front").questions[-1]
    assert question == "<b>count</b> what at 0:04?"

    front.click(".proof li:nth-child(2) a")
    until(lambda: size_of(front, "past") == 64, "the picture of then")
    assert at(front) == 6.25
    assert front.inner_text("#stage-badge") == "Past"
    assert front.inner_text("#stage-facts") == "0:06"
    front.click("#to-live")
    front.wait_for_selector("#past", state="hidden")
    assert at(front) is None

    front.fill("#question", "and then?")
    front.click("#send")
    front.wait_for_selector(".turn:nth-child(2) .proof a")
    assert server.model.session("front").questions[-1] == ("and then?", conversation)
    front.click("#anew")
    assert front.is_visible("#welcome")
    front.click("#ideas button:first-child")
    front.wait_for_selector(".turn .proof a")
    assert server.model.session("front").questions[-1][1] != conversation


def test_an_answer_is_stopped_and_a_failure_is_said(front: Page, server: RunningServer) -> None:
    front.fill("#question", "wait")
    front.press("#question", "Enter")
    until(lambda: front.text_content(".turn .answered") == "Well, ", "the first word")
    assert front.inner_text("#send") == "Stop"
    front.click("#send")
    front.wait_for_selector("text=Stopped.")
    assert server.model.session("front").cancelled.wait(5)
    front.fill("#question", "fail")
    front.press("#question", "Enter")
    front.wait_for_selector(".problem >> text=The camera has seen nothing yet")


def test_all_cameras_are_asked_at_once(browser: Browser, server: RunningServer, complaints: Complaints) -> None:
    page = open_page(browser, server.url, complaints)
    page.fill("#question", "who?")
    page.press("#question", "Enter")
    page.wait_for_selector(".proof a")
    assert "front: You asked: who?" in page.inner_text(".answered")
    page.click(".proof li:last-child a")
    page.wait_for_selector("#camera-view:not([hidden])")
    page.close()


def test_the_timeline_is_scrubbed_by_keyboard(front: Page) -> None:
    track = front.locator("#track")
    track.focus()
    assert track.get_attribute("aria-valuetext") == "Live"
    front.keyboard.press("PageUp")
    assert at(front) == 9.5
    assert track.get_attribute("aria-valuetext") == "0:09, a package at the door"
    front.keyboard.press("PageUp")
    front.keyboard.press("Shift+ArrowRight")
    assert at(front) == 5.0
    assert track.get_attribute("aria-valuetext") == "0:05, a man puts a package down"
    until(lambda: size_of(front, "past") == 64, "the picture of then")
    assert front.locator('.scene[aria-current="true"]').inner_text().split("\n")[-1] == "a man puts a package down"
    front.keyboard.press("Home")
    assert at(front) == 0.0
    front.keyboard.press("End")
    assert at(front) is None
    assert front.evaluate("document.activeElement.id") == "track"


def test_the_timeline_is_scrubbed_by_pointer(front: Page) -> None:
    box = front.locator("#track").bounding_box()
    assert box is not None
    x = box["x"] + box["width"] / 2
    y = box["y"] + box["height"] / 2
    front.mouse.move(x, y)
    front.wait_for_selector("#preview:not([hidden])")
    until(lambda: size_of(front, "preview-picture") == 64, "the picture at the pointer")
    half = front.inner_text("#preview-time")
    front.mouse.down()
    front.mouse.move(x - 100, y, steps=4)
    front.mouse.up()
    earlier = at(front)
    assert earlier is not None
    until(lambda: size_of(front, "past") == 64, "the picture of then")
    assert front.inner_text("#stage-facts") < half
    front.mouse.click(box["x"] + box["width"] - 3, y)
    assert at(front) is None


def test_an_alert_arrives_with_its_picture(browser: Browser, complaints: Complaints, tmp_path: Path) -> None:
    with running_server(memory=tmp_path) as server:
        page = open_page(browser, server.url, complaints)
        page.wait_for_selector("a.tile")
        session = server.model.session("front")
        session.alert(AlertChange("new", EVENT, 7.0))
        page.wait_for_selector("#note:not([hidden])")
        until(lambda: size_of(page, "note-picture") == 64, "the picture of the note")
        assert page.inner_text("#note-title") == "front: package"
        assert page.inner_text('.tile[data-id="front"] .tile-alert') == "package"
        assert page.inner_text("#alert-badge") == "1 new"
        assert page.title() == "(1) Cameras · LLaMA-VID Live"
        page.click("#tab-alerts")
        page.wait_for_selector(".alert-card")
        assert page.locator(".alert-card .tag").inner_text() == "going on"
        assert page.is_hidden("#alert-badge")
        session.alert(AlertChange("end", replace(EVENT, end=9.5, verified=True), 12.0))
        page.wait_for_selector('.alert-card[data-open="false"]')
        assert page.locator(".alert-card .tag").inner_text() == "confirmed"
        assert page.is_hidden('.tile[data-id="front"] .tile-alert')
        page.click(".alert-card > a:first-child")
        until(lambda: at(page) == 4.0, "the second of the alert")
        until(lambda: size_of(page, "past") == 64, "the picture of then")
        page.wait_for_selector(".lanes .alert", state="attached")
        page.close()


def test_alerts_are_paused(browser: Browser, complaints: Complaints) -> None:
    camera = {"url": "rtsp://127.0.0.1:9/front", "alerts": [{"name": "dog", "when": "a dog"}]}
    with running_server({"front": camera}) as server:
        page = open_page(browser, server.url, complaints, "#/front")
        page.click("#tab-alerts")
        page.click("#pause")
        page.wait_for_selector("text=Alerts are paused")
        until(lambda: server.model.session("front").paused, "the pause")
        page.press("#pause", "Space")
        page.wait_for_selector("text=Alerts are on")
        page.close()


def test_captions_are_over_the_picture(front: Page, server: RunningServer) -> None:
    session = server.model.session("front")
    assert session.loop is not None

    def say(kind: str, text: str) -> None:
        words = [Word(10.0 + n, 10.5 + n, word, 0.9) for n, word in enumerate(text.split())]
        event = CaptionEvent("final" if kind == "final" else "partial", Line.of(words) if words else None)
        assert session.loop is not None
        session.loop.call_soon_threadsafe(session.say, event)

    say("partial", "Ask not")
    front.wait_for_selector("#subtitles .partial >> text=Ask not")
    say("final", "Ask not what")
    say("partial", "your country")
    until(lambda: front.inner_text("#subtitles") == "Ask not what your country", "the captions")
    front.click("#captions")
    assert front.is_hidden("#subtitles")
    front.click("#captions")
    say("final", " ".join(["words"] * 40))
    until(lambda: "words" in front.inner_text("#subtitles"), "more words")
    assert len(front.inner_text("#subtitles")) <= 90


def test_what_was_said_is_in_the_timeline(browser: Browser, complaints: Complaints, tmp_path: Path) -> None:
    text = "Put the package down, please."
    words = [Word(5.0 + n / 2, 5.4 + n / 2, word, 0.9) for n, word in enumerate(text.split())]
    with Journal(tmp_path) as journal:
        journal.camera("front").note(record_of(Line.of(words)))
        journal.camera("front").flush()
    with running_server(memory=tmp_path) as server:
        page = open_page(browser, server.url, complaints, "#/front")
        page.wait_for_selector("#scenes .kind-chapter")
        assert page.locator(".lanes .said").count() == 1
        page.check('[name="kind"][value="said"]', force=True)
        rows = [row.split("\n")[-1] for row in page.locator("#scenes li").all_inner_texts()]
        assert rows == [f"“{text}”", "Packages"]
        page.click("#chapters a >> text=Packages")
        assert at(page) == 4.0
        assert page.get_attribute("#chapters a", "aria-current") == "true"
        page.click("#scenes li:first-child a")
        until(lambda: page.inner_text("#subtitles") == text, "the words of then")
        page.close()


def test_what_was_seen_is_searched(front: Page, server: RunningServer) -> None:
    front.fill("#search-text", "a package & more")
    front.press("#search-text", "Enter")
    front.wait_for_selector("#matches a")
    assert server.model.session("front").searched[-1][0] == "a package & more"
    assert [time.inner_text() for time in front.query_selector_all("#matches time")] == ["0:06", "0:02"]
    front.fill("#search-text", "said down")
    front.press("#search-text", "Enter")
    front.wait_for_selector("#matches q >> text=Put it down.")
    front.click("#matches li:first-child a")
    until(lambda: at(front) == 6.75, "the second of the match")
    until(lambda: size_of(front, "past") == 64, "the picture of then")


def test_memory_is_measured(front: Page) -> None:
    assert front.inner_text("#memory-short") == "Remembers 20 s"
    front.click("#tab-memory")
    assert front.inner_text("#memory-used") == "40 of 7,200 tokens"
    assert "rtsp://127.0.0.1:9/front" in front.inner_text("#facts")
    assert "hunter22" not in front.content()
    assert "one frame was damaged" in front.inner_text("#facts")


def test_a_camera_that_is_away_says_so(browser: Browser, complaints: Complaints) -> None:
    with running_server() as server:
        page = open_page(browser, server.url, complaints, "#/front")
        page.wait_for_selector('#stage[data-empty="false"]')
        server.model.session("front").change("reconnecting", "the stream ended")
        page.wait_for_selector('#camera-list [data-id="front"] .dot[data-state="reconnecting"]')
        assert page.inner_text("#stage-note").startswith("The camera is away")
        page.close()


def test_nothing_comes_from_elsewhere() -> None:
    for file in PAGE.iterdir():
        text = file.read_text().replace('"http://www.w3.org/2000/svg"', "")
        for word in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", "onclick="):
            assert word not in text, file
        assert not re.search(r"""["'(]https?://|url\(""", text), file
