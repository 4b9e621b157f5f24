"""A running server and a browser for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.clients.browsing import Complaints, chromium, open_page
from tests.server.running import RunningServer, running_server


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """Two scripted cameras, `front` and `back`, behind the real server."""
    with running_server() as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium, one for all tests of a module."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for the tests of a module that leave nothing in it: what the page consists of is loaded and compiled once."""
    context = browser.new_context(viewport={"width": 1360, "height": 820})
    yield context
    context.close()


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """None may be left at the end of a test."""
    complaints = Complaints()
    yield complaints
    assert complaints.found == []


@pytest.fixture
def front(context: BrowserContext, server: RunningServer, complaints: Complaints) -> Iterator[Page]:
    """The page with camera `front` and its past."""
    page = open_page(context, server.url, complaints, "#/front")
    page.wait_for_selector('#stage[data-empty="false"]')
    page.wait_for_selector('#timeline[data-state="ready"]')
    yield page
    page.close()
