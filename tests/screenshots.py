"""`make screenshots`: pictures of the page in each of its states, from a real server with a real model, in docs/images.

    python -m tests.screenshots [state …]

One server and one browser for all of them: while the cameras are watched for a while, what needs none is pictured. The
sample films play as cameras over RTSP (or as files, where GStreamer's RTSP server is not installed), with slides and
read speech as a third where the evaluation data is; without it there are no pictures of captions. A state is waited for
as long as the cameras go on being watched; one that does not come leaves the others, and is named at the end.
"""

from __future__ import annotations

import contextlib
import functools
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as PlaywrightError

from benchmarks.samples import loop_film
from llama_vid.access_tokens import create_token
from tests.bundles import film
from tests.clients.browsing import chromium
from tests.lecture import speech, write_lecture
from tests.montage import MEADOW, RATE, SIZE, STREET, write_montage
from tests.peers.rtsp import RtspCamera, missing
from tests.server.running import RunningServer, running_server, until

FOLDER: Final = Path(__file__).resolve().parents[1] / "docs" / "images"
MOST_BYTES: Final = 200_000
DESKTOP: Final = {"width": 1280, "height": 920}
PHONE: Final = {"width": 390, "height": 844}
LECTURE_S: Final = (40.0, 105.0)  # of the lecture, before the picture of its captions and that of its chapters
PATIENCE_MS: Final = 180_000  # for what a busy machine brings late
STUCK_S: Final = 60.0  # without a new picture of any camera: nothing will come
LONGEST_S: Final = 300.0  # and what has not come by then will not, either
LOOK_S: Final = 0.5
#: Cameras by name: the film, its takes, what to watch for, and a rule.
CAMERAS: Final = {
    "street": ("bikes.mp4", STREET, "cyclists and cars", ("cyclist", "a person riding a bicycle")),
    "meadow": ("bigbuckbunny.mp4", MEADOW, "animals", ("animal", "an animal on the grass")),
}

Shot = Callable[[Browser, RunningServer], Page]
BARE: dict[str, Callable[[Browser], None]] = {}
SHOTS: dict[str, Shot] = {}  # in the order in which they are made
FAILED: list[str] = []


def shot(function: Shot) -> Shot:
    """Makes the function that brings the page into a state known by the state's name."""
    SHOTS[function.__name__.removeprefix("show_").replace("_", "-")] = function
    return function


def bare(function: Callable[[Browser], None]) -> Callable[[Browser], None]:
    """The same for a state that has a server of its own, without cameras."""
    BARE[function.__name__.removeprefix("show_").replace("_", "-")] = function
    return function


def save(page: Page, name: str) -> None:
    """What the page shows, as a WebP that is small enough for a repository. Nothing on it may still be moving."""
    shown(page, "!document.getAnimations().some(a => a.playState === 'running')")
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    target = FOLDER / f"page-{name}.webp"
    for quality in (90, 84, 78, 70):
        image.save(target, quality=quality, method=6)
        if target.stat().st_size <= MOST_BYTES:
            break
    print(f"{target.relative_to(FOLDER.parents[1])}: {image.width}x{image.height}, {target.stat().st_size:,} bytes")


@contextlib.contextmanager
def cameras(folder: Path) -> Iterator[dict[str, Any]]:
    """The cameras as the configuration has them, while their films play."""
    settings: dict[str, Any] = {}
    with contextlib.ExitStack() as playing:
        sound = speech()
        if sound is not None:
            lecture = write_lecture(folder / "lecture.mkv", sound)
            settings["lecture"] = {"url": f"file:{lecture}", "captions": True}
        for name, (file, takes, wanted, (rule, sight)) in CAMERAS.items():
            montage = write_montage(film(file), takes, folder / f"{name}.mp4")
            if missing():
                url = f"file:{loop_film(montage, folder / f'{name}-hour.mp4', 3600)}"
            else:
                url = playing.enter_context(RtspCamera(montage, size=SIZE, rate=RATE)).url
            alerts = [{"name": rule, "when": sight, "cooldown": "5s"}]
            settings[name] = {"url": url, "watch_for": wanted, "alerts": alerts}
        yield settings


def get(server: RunningServer, path: str) -> Any:
    return server.http.get(path, timeout=PATIENCE_MS / 1000).json()


def ready(server: RunningServer) -> bool:
    """Whether the model is loaded; while it loads, a busy machine answers late."""
    assert not server.failures, server.failures
    return bool(server.http.get("/readyz", timeout=PATIENCE_MS / 1000).status_code == 200)


def watched(server: RunningServer, name: str) -> float:
    """Seconds of a camera that are in memory."""
    return float(get(server, f"/api/cameras/{name}")["watched_s"])


def come(server: RunningServer, what: str, condition: Callable[[], Any]) -> None:
    """Wait for a condition, as long as the cameras are being watched."""
    began = time.monotonic()
    seen, since = -1.0, began
    while not condition():
        assert not server.failures, server.failures
        now = sum(camera["watched_s"] for camera in get(server, "/api/cameras")["cameras"])
        if now > seen:
            seen, since = now, time.monotonic()
        assert time.monotonic() - since < STUCK_S, f"nothing is watched any more, and there is no {what}"
        assert time.monotonic() - began < LONGEST_S, f"there is still no {what}"
        time.sleep(LOOK_S)


def fired(server: RunningServer, times: int) -> None:
    """Wait until the rule of `street` has fired so often, and the last event is over."""

    def over() -> bool:
        events = get(server, "/api/cameras/street/events")["events"]
        return len(events) >= times and all(event["end"] is not None for event in events)

    come(server, f"alert number {times}", over)


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


def look_at(page: Page, second: float) -> None:
    """Go to a second of the past, and wait for its picture."""
    page.evaluate("([at]) => { location.hash = location.hash.split('/').slice(0, 2).join('/') + '/' + at }", [second])
    page.wait_for_selector("#past:not([hidden])")
    shown(page, "document.getElementById('past').naturalWidth > 0")


def sighting(server: RunningServer) -> dict[str, Any]:
    """The newest event of `street` that is over."""
    events = get(server, "/api/cameras/street/events")["events"]
    return dict([event for event in events if event["end"] is not None][-1])


@shot
def show_captions(browser: Browser, server: RunningServer) -> Page:
    come(server, "lecture", lambda: watched(server, "lecture") >= LECTURE_S[0])
    page = open_camera(browser, server, "lecture")
    page.check('[name="kind"][value="said"]', force=True)
    page.wait_for_selector(".lanes .said", state="attached")
    page.wait_for_selector("#scenes .kind-said")
    shown(page, "document.getElementById('subtitles').innerText.length > 60")
    without_note(page)
    return page


@shot
def show_wall(browser: Browser, server: RunningServer) -> Page:
    fired(server, 1)
    page = open_at(browser, server)
    shown(page, f"document.querySelectorAll('a.tile img:not([hidden])').length >= {len(CAMERAS)}")
    ask(page, "Is there a bicycle?")
    page.wait_for_selector('.tile[data-id="street"] .tile-alert:not([hidden])')
    without_note(page)
    return page


@shot
def show_alert(browser: Browser, server: RunningServer) -> Page:
    fired(server, 1)
    page = open_camera(browser, server)
    page.click("#tab-alerts")
    page.wait_for_selector('.alert-card[data-open="false"]')
    page.wait_for_selector("#note:not([hidden]) >> text=street")
    settle(page)
    return page


@shot
def show_rule(browser: Browser, server: RunningServer) -> Page:
    fired(server, 2)
    page = open_camera(browser, server)
    page.click("#tab-rules")
    page.click("summary")
    page.fill('[name="cooldown"]', "5s")
    page.click("summary")
    page.fill('[name="when"]', "a person riding a bicycle")
    page.wait_for_selector("#found li:nth-child(2) img")
    look_at(page, sighting(server)["start"] + 2)
    without_note(page)
    settle(page)
    return page


@shot
def show_zone(browser: Browser, server: RunningServer) -> Page:
    page = open_camera(browser, server)
    look_at(page, sighting(server)["start"] + 2)
    page.click("#tab-rules")
    page.fill('[name="when"]', "a person")
    page.check('[name="where"][value="box"]', force=True)
    for side, share in {"left": 46, "top": 4, "right": 97, "bottom": 98}.items():
        page.fill(f"#zone-{side}", str(share))
    page.wait_for_selector("#found img")
    without_note(page)
    settle(page)
    return page


@shot
def show_answer(browser: Browser, server: RunningServer) -> Page:
    page = open_camera(browser, server)
    ask(page, "When was there a cyclist?")
    page.click(".proof a.pictured")
    shown(page, "document.getElementById('past').naturalWidth > 0")
    without_note(page)
    settle(page)
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
    page = open_camera(browser, server, color_scheme="dark")
    look_at(page, sighting(server)["start"] + 2)
    ask(page, "Was there a cyclist?")
    without_note(page)
    return page


@shot
def show_lecture(browser: Browser, server: RunningServer) -> Page:
    """When most of it is over: its chapters, and a question about what was said."""
    come(server, "end of the lecture", lambda: watched(server, "lecture") >= LECTURE_S[1])
    page = open_camera(browser, server, "lecture")
    page.wait_for_selector("#chapters a")
    ask(page, "What was said about the Bible?")
    page.check('[name="kind"][value="said"]', force=True)
    page.click("#chapters li:last-child a")
    page.wait_for_selector("#subtitles:not([hidden])")
    without_note(page)
    settle(page)
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


@bare
def show_empty(browser: Browser) -> None:
    with running_server({}) as server:
        page = open_at(browser, server)
        page.wait_for_selector("#empty:not([hidden])")
        save(page, "empty")


@bare
def show_add(browser: Browser) -> None:
    with running_server({}) as server:
        page = open_at(browser, server)
        page.click("#add-open")
        page.fill('[name="id"]', "front")
        page.fill('[name="url"]', "file:/films/front.mp4")
        page.click("#add-submit")
        page.wait_for_selector('[name="url"][aria-invalid="true"]')
        page.evaluate("document.activeElement.blur()")
        save(page, "add")


@bare
def show_sign_in(browser: Browser) -> None:
    with tempfile.TemporaryDirectory(prefix="llama-vid-tokens-") as place:
        tokens = Path(place, "tokens.json")
        create_token(tokens, "kitchen")
        with running_server({}, server_settings={"tokens_file": tokens}) as server:
            page = browser.new_page(viewport={"width": 800, "height": 600}, reduced_motion="reduce")
            page.goto(server.url)
            page.wait_for_selector("#sign-in[open]")
            page.fill("#token", "not-the-right-one")
            page.press("#token", "Enter")
            page.wait_for_selector("#token-problem:not(:empty)")
            save(page, "sign-in")


def attempt(browser: Browser, name: str, make: Callable[[], None]) -> None:
    """Make one picture; one that does not come leaves the others."""
    began = time.monotonic()
    try:
        make()
    except (PlaywrightError, httpx.HTTPError, AssertionError) as problem:
        FAILED.append(name)
        print(f"{name}: {str(problem).splitlines()[0]}", file=sys.stderr)
    print(f"    {name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    for context in browser.contexts:
        context.close()


def picture(browser: Browser, server: RunningServer, name: str) -> None:
    save(SHOTS[name](browser, server), name)


def make_bare(browser: Browser, wanted: list[str]) -> None:
    for name, function in BARE.items():
        if name in wanted:
            attempt(browser, name, functools.partial(function, browser))


def make_live(browser: Browser, wanted: list[str], folder: Path) -> None:
    with (
        cameras(folder) as settings,
        running_server(settings, memory=folder / "memory", real_model=True, ready=False) as server,
    ):
        make_bare(browser, wanted)  # while the model loads and the cameras are watched
        until(lambda: ready(server), "the model", PATIENCE_MS / 1000)
        for name in SHOTS:
            if name not in wanted:
                continue
            if name in ("captions", "lecture") and "lecture" not in settings:
                print(f"no picture of {name}: there is no lecture here (LLAMA_VID_DATA)", file=sys.stderr)
                continue
            attempt(browser, name, functools.partial(picture, browser, server, name))


def main() -> None:
    known = [*BARE, *SHOTS]
    wanted = sys.argv[1:] or known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        sys.exit(f"no such state: {', '.join(unknown)}; known: {', '.join(known)}")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="llama-vid-pictures-") as place, chromium() as browser:
        if any(name in SHOTS for name in wanted):
            make_live(browser, wanted, Path(place))
        else:
            make_bare(browser, wanted)
    if FAILED:
        sys.exit(f"no picture of: {', '.join(FAILED)}")


if __name__ == "__main__":
    main()
