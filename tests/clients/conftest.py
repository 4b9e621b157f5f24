"""A running server and a browser for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.clients.browsing import chromium
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
