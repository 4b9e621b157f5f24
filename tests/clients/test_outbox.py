"""What a slow client loses, and when it is given up."""

from __future__ import annotations

import asyncio

import pytest

from llama_vid.clients.outbox import Outbox, Overloaded, drain
from llama_vid.clients.protocol import ServerMessage, StreamStatus, TextDelta


def delta(number: int) -> TextDelta:
    return TextDelta(response_id="r", seq=number, delta="x")


def status(state: str, camera: str = "front") -> StreamStatus:
    return StreamStatus(camera=camera, state=state)


async def test_keeps_the_order() -> None:
    outbox = Outbox()
    messages: list[ServerMessage] = [delta(0), status("live"), delta(1)]
    for message in messages:
        outbox.put(message)
    assert [(await outbox.get())[1] for _ in messages] == messages


async def test_status_is_left_out_first_and_its_newest_told_afterwards() -> None:
    outbox = Outbox(status_limit=2, backlog_limit=100)
    for number in range(10):
        outbox.put(delta(number))
        outbox.put(status(f"state {number}"))
    outbox.put(status("live", "back"))
    got = [(await outbox.get())[1] for _ in range(13)]
    assert [m.seq for m in got if isinstance(m, TextDelta)] == list(range(10))
    assert got[1] == status("state 0")
    assert got[-2:] == [status("state 9"), status("live", "back")]
    assert len(outbox) == 0


async def test_a_newer_status_supersedes_the_one_left_out() -> None:
    outbox = Outbox(status_limit=1)
    outbox.put(delta(0))
    outbox.put(status("stalled"))
    await outbox.get()
    outbox.put(status("live"))
    assert (await outbox.get())[1] == status("live")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await outbox.get()


async def test_the_backlog_limit_overloads_for_good() -> None:
    outbox = Outbox(status_limit=1, backlog_limit=3)
    for number in range(4):
        outbox.put(delta(number))
    assert outbox.overloaded
    outbox.put(delta(5))
    with pytest.raises(Overloaded):
        await outbox.get()


async def test_drain_gives_up_on_a_send_that_hangs() -> None:
    outbox = Outbox()
    outbox.put(delta(0))

    async def hang(_: str) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Overloaded):
        async with asyncio.timeout(5):
            await drain(outbox, hang, patience_s=0.05)
