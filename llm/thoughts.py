"""Leaves out what a reasoning model thinks aloud before its answer (`<think>…</think>`, as open models write it)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"


async def without_thoughts(pieces: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    """The pieces of a text without a thought at its beginning; one that never ends leaves nothing."""
    held, thinking, speaking = "", False, False
    async for piece in pieces:
        if speaking:
            yield piece
            continue
        held = (held + piece).lstrip()
        if not thinking and held.startswith(_OPEN):
            held, thinking = held[len(_OPEN) :], True
        if thinking:
            before, closed, behind = held.partition(_CLOSE)
            held, thinking = (behind.lstrip(), False) if closed else (before[-len(_CLOSE) :], True)
        if held and not thinking and not _OPEN.startswith(held):
            yield held
            held, speaking = "", True
    if held and not thinking:
        yield held
