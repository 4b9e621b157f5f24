"""`make screenshots`: pictures of the page in each of its states, from a real server with a real model, in docs/images.

    python -m tests.screenshots [state …]

Two sample films play as cameras over RTSP (or as files, where GStreamer's RTSP server is not installed), with slides
and read speech as a third where the evaluation data is; without it there is no picture of captions.
"""

from __future__ import annotations

import contextlib
import functools
import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as PlaywrightError

from benchmarks.samples import loop_film
from llama_vid.access_tokens import create_token
from tests.bundles import film
from tests.clients.browsing import chromium
from tests.lecture import speech, write_lecture
from tests.peers.rtsp import RtspCamera, missing
from tests.server.running import RunningServer, running_server, until

FOLDER: Final = Path(__file__).resolve().parents[1] / "docs" / "images"
MOST_BYTES: Final = 150_000
DESKTOP: Final = {"width": 1280, "height": 800}
PHONE: Final = {"width": 390, "height": 844}
WATCH_S: Final = 45.0  # of the cameras, before the first picture
LECTURE_S: Final = 32.0  # of the lecture, which is played once
PATIENCE_MS: Final = 90_000
#: Cameras by name: the film, the picture's size, what to watch for, its alert rule.
CAMERAS: Final = {
    "street": ("bikes.mp4", (640, 272), "cyclists and cars", "a person riding a bicycle", "cyclist"),
    "meadow": ("bigbuckbunny.mp4", (640, 360), "animals", "an animal on the grass", "animal"),
}

Shot = Callable[[Browser, RunningServer], Page]
SHOTS: dict[str, Shot] = {}
FAILED: list[str] = []


def shot(function: Shot) -> Shot:
    """Makes the function that brings the page into a state known by the state's name."""
    SHOTS[function.__name__.removeprefix("show_").replace("_", "-")] = function
    return function


def save(page: Page, name: str) -> None:
    """What the page shows, as a PNG of few colours that is small enough for a repository."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    target = FOLDER / f"page-{name}.png"
    for colours in (256, 192, 128, 96, 64, 48, 32):
        image.quantize(colours, Image.Quantize.MEDIANCUT).save(target, optimize=True)
        if target.stat().st_size <= MOST_BYTES:
            break
    print(f"{target.relative_to(FOLDER.parents[1])}: {image.width}x{image.height}, {target.stat().st_size:,} bytes")


@contextlib.contextmanager
def cameras(folder: Path) -> Iterator[dict[str, Any]]:
    """The cameras as the configuration has them, while their films play."""
    settings: dict[str, Any] = {}
    with contextlib.ExitStack() as playing:
        for name, (file, size, wanted, sight, rule) in CAMERAS.items():
            if missing():
                url = f"file:{loop_film(film(file), folder / f'{name}.mp4', 3600)}"
            else:
                url = playing.enter_context(RtspCamera(film(file), size=size, rate=12)).url
            alerts = [{"name": rule, "when": sight, "cooldown": "5s"}]
            settings[name] = {"url": url, "watch_for": wanted, "alerts": alerts}
        sound = speech()
        if sound is not None:
            lecture = write_lecture(folder / "lecture.mkv", sound)
            settings["lecture"] = {"url": f"file:{lecture}", "captions": True}
        yield settings


def open_at(browser: Browser, server: RunningServer, place: str = "", **options: Any) -> Page:
    page = browser.new_page(**({"viewport": DESKTOP, "reduced_motion": "reduce"} | options))
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{server.url}/{place}")
    page.wait_for_selector('#link[data-state="ready"]')
    return page


def open_camera(browser: Browser, server: RunningServer, name: str = "street", **options: Any) -> Page:
    page = open_at(browser, server, f"#/{name}", **options)
    page.wait_for_selector('#stage[data-empty="false"]')
    page.wait_for_selector('#timeline[data-state="ready"]')
    return page


def ask(page: Page, question: str) -> None:
    page.fill("#question", question)
    page.press("#question", "Enter")
    page.wait_for_selector(".turn:last-child .facts:not(:empty)")
    settle(page)


def shown(page: Page, condition: str) -> None:
    """Wait for a condition of the page's script (its policy forbids Playwright's own way of asking)."""
    until(lambda: page.evaluate(condition), condition, PATIENCE_MS / 1000)


def settle(page: Page) -> None:
    """Wait until every picture that is shown has come."""
    ready = "[...document.images].every(i => !i.checkVisibility() || !i.src || (i.complete && i.naturalWidth))"
    shown(page, ready)
    page.evaluate("document.activeElement?.blur()")


def without_note(page: Page) -> None:
    """Close the note of a new alert, where there is one."""
    page.evaluate("document.getElementById('note').hidden = true")


@shot
def show_wall(browser: Browser, server: RunningServer) -> Page:
    page = open_at(browser, server)
    shown(page, f"document.querySelectorAll('a.tile img:not([hidden])').length >= {len(CAMERAS)}")
    ask(page, "Is there a bicycle?")
    without_note(page)
    return page


@shot
def show_answer(browser: Browser, server: RunningServer) -> Page:
    page = open_camera(browser, server)
    ask(page, "What has happened so far?")
    ask(page, "When was there a car?")
    without_note(page)
    return page


@shot
def show_timeline(browser: Browser, server: RunningServer) -> Page:
    page = open_camera(browser, server)
    box = page.locator("#track").bounding_box()
    assert box is not None
    y = box["y"] + 50
    page.mouse.click(box["x"] + box["width"] * 0.35, y)
    page.mouse.move(box["x"] + box["width"] * 0.62, y)
    shown(page, "document.getElementById('preview-picture').naturalWidth > 0")
    shown(page, "document.getElementById('past').naturalWidth > 0")
    without_note(page)
    settle(page)
    return page


@shot
def show_alert(browser: Browser, server: RunningServer) -> Page:
    page = open_camera(browser, server)
    page.click("#tab-alerts")
    page.wait_for_selector(".alert-card")
    for paused in (True, False):  # ends what goes on, so that something new can come
        server.http.put("/api/cameras/street/alerts", json={"paused": paused}, timeout=60).raise_for_status()
    page.wait_for_selector("#note:not([hidden])")
    settle(page)
    return page


@shot
def show_rule(browser: Browser, server: RunningServer) -> Page:
    page = open_camera(browser, server)
    page.click("#tab-rules")
    page.fill('[name="when"]', "a person riding a bicycle")
    page.wait_for_selector('#trial[data-kind="good"]')
    without_note(page)
    settle(page)
    return page


@shot
def show_captions(browser: Browser, server: RunningServer) -> Page:
    until(lambda: watched(server, "lecture") >= LECTURE_S, f"{LECTURE_S:g} s of the lecture", 120)
    page = open_camera(browser, server, "lecture")
    page.wait_for_selector("#subtitles:not([hidden])")
    shown(page, "document.getElementById('subtitles').innerText.length > 50")
    without_note(page)
    return page


@shot
def show_memory(browser: Browser, server: RunningServer) -> Page:
    page = open_camera(browser, server, "meadow")
    page.click("#tab-memory")
    without_note(page)
    settle(page)
    return page


@shot
def show_phone(browser: Browser, server: RunningServer) -> Page:
    page = open_camera(browser, server, viewport=PHONE)
    ask(page, "Is there a bicycle?")
    without_note(page)
    return page


@shot
def show_dark(browser: Browser, server: RunningServer) -> Page:
    page = open_camera(browser, server, "meadow", color_scheme="dark")
    ask(page, "Is there an animal?")
    without_note(page)
    return page


@shot
def show_error(browser: Browser, server: RunningServer) -> Page:
    """The last one: it stops the server."""
    page = open_camera(browser, server)
    without_note(page)
    server.stop()
    page.wait_for_selector('#link[data-state="lost"]')
    page.wait_for_selector('#stage[data-empty="false"] .stage-note:not([hidden])')
    return page


def show_watched(wanted: list[str]) -> None:
    """The states that need cameras which have been watched for a while."""
    with (
        tempfile.TemporaryDirectory(prefix="llama-vid-pictures-") as place,
        cameras(Path(place)) as settings,
        chromium() as browser,
        running_server(
            settings,
            memory=Path(place, "memory"),
            real_model=True,
            ready=False,
        ) as server,
    ):
        # Captions are what passes first: the lecture is played once.
        early = [name for name in wanted if name == "captions" and "lecture" in settings]
        until(lambda: server.http.get("/readyz").status_code == 200 or server.failures, "the model", 150)
        for name in early:
            take(browser, server, name)
        for name in CAMERAS:
            seen = functools.partial(watched, server, name)
            until(lambda seen=seen: seen() >= WATCH_S, f"{WATCH_S:g} s of {name}", 180)
        for name in wanted:
            if name != "captions":
                take(browser, server, name)
        if "captions" in wanted and not early:
            print("no picture of captions: there is no lecture here (LLAMA_VID_DATA)", file=sys.stderr)


def watched(server: RunningServer, name: str) -> float:
    """Seconds of a camera that are in memory."""
    return float(server.http.get(f"/api/cameras/{name}", timeout=60).json()["watched_s"])


def take(browser: Browser, server: RunningServer, name: str) -> None:
    """Bring the page into a state, and keep its picture; one that does not come leaves the others."""
    try:
        save(SHOTS[name](browser, server), name)
    except (PlaywrightError, AssertionError) as problem:
        FAILED.append(name)
        print(f"{name}: {str(problem).splitlines()[0]}", file=sys.stderr)
    for context in browser.contexts:
        context.close()


def show_bare(wanted: list[str]) -> None:
    """The states of a server without cameras, and of one that wants a token."""
    with tempfile.TemporaryDirectory(prefix="llama-vid-pictures-") as place, chromium() as browser:
        if "empty" in wanted:
            with running_server({}) as server:
                page = open_at(browser, server)
                page.wait_for_selector("#empty:not([hidden])")
                save(page, "empty")
        if "add" in wanted:
            with running_server({}) as server:
                page = open_at(browser, server)
                page.click("#add-open")
                page.fill('[name="id"]', "front")
                page.fill('[name="url"]', "file:/films/front.mp4")
                page.click("#add-submit")
                page.wait_for_selector('[name="url"][aria-invalid="true"]')
                save(page, "add")
        if "sign-in" in wanted:
            tokens = Path(place, "tokens.json")
            create_token(tokens, "kitchen")
            with running_server({}, server_settings={"tokens_file": tokens}) as server:
                page = browser.new_page(viewport={"width": 800, "height": 600})
                page.goto(server.url)
                page.wait_for_selector("#sign-in[open]")
                page.fill("#token", "not-the-right-one")
                page.press("#token", "Enter")
                page.wait_for_selector("#token-problem:not(:empty)")
                save(page, "sign-in")


def main() -> None:
    bare = ["empty", "add", "sign-in"]
    known = [*bare, *SHOTS]
    wanted = sys.argv[1:] or known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        sys.exit(f"no such state: {', '.join(unknown)}; known: {', '.join(known)}")
    FOLDER.mkdir(exist_ok=True)
    show_bare([name for name in wanted if name in bare])
    live = [name for name in SHOTS if name in wanted]
    if live:
        show_watched(live)
    if FAILED:
        sys.exit(f"no picture of: {', '.join(FAILED)}")


if __name__ == "__main__":
    main()
