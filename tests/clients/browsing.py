"""Debian's Chromium with the page in it, and what its console and its requests complained about."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, sync_playwright

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
    # What getDisplayMedia would ask: the first screen.
    "--auto-select-desktop-capture-source=Entire screen",
    # Loopback candidates as addresses: nobody answers multicast names in a container.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt install chromium")


@contextlib.contextmanager
def chromium(flags: Sequence[str] = FLAGS) -> Iterator[Browser]:
    """A headless browser with a fake webcam."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(flags))
        try:
            yield browser
        finally:
            browser.close()


@dataclass  # without slots: Playwright notes its wrappers on the object
class Complaints:
    """What a page's console, its scripts and its requests complained about."""

    found: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Note what goes wrong from now on."""
        page.on("console", self._console)
        page.on("pageerror", lambda problem: self.found.append(str(problem)))
        page.on("response", self._response)
        page.on("requestfailed", self._failed)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.found.append(message.text)

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.found.append(f"{response.status} {response.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page itself gave it up
            self.found.append(f"{request.failure} {request.url}")


def open_page(
    browser: Browser | BrowserContext, url: str, complaints: Complaints, place: str = "", **options: Any
) -> Page:
    """The page at a place of its own, connected. A context's page has the context's options."""
    page = browser.new_page(**options)
    page.set_default_timeout(15_000)
    complaints.watch(page)
    page.goto(f"{url}/{place}")
    page.wait_for_selector('#link[data-state="ready"]')
    return page


def serious(page: Page, rules: Sequence[str] = ()) -> list[str]:
    """What axe-core finds to be wrong, seriously or critically, by these rules or by all."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found: list[dict[str, Any]] = Axe().run(page, options=options).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
