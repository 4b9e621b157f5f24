"""A running server for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.running import RunningServer, running_server


@pytest.fixture
def server() -> Iterator[RunningServer]:
    """Two scripted cameras, `front` and `back`, behind the real server."""
    with running_server() as running:
        yield running
