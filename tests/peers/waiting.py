"""Waiting for a condition, with a time limit, where there is no event to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    """Return as soon as `condition()` holds. Raises TimeoutError when it does not within `timeout` seconds."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - the thing waited for offers no event
            await asyncio.sleep(0.02)
