"""The live clock, and the gate that keeps abandoned readers out."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_vid.errors import EndOfStream, SourceError
from llama_vid.stream.clock import LiveClock
from llama_vid.stream.frame import Frame
from llama_vid.stream.gate import Gate, Mailbox
from llama_vid.stream.live import LONGEST_WAIT, backoff

BLACK = np.zeros((2, 2, 3), dtype=np.uint8)


class Hands:
    """A wall clock and a monotonic one that a test turns."""

    def __init__(self) -> None:
        self.wall, self.ticks = 1_800_000_000.0, 50.0

    def go(self, seconds: float) -> None:
        self.wall += seconds
        self.ticks += seconds


def clock(hands: Hands, ahead: float = 0.0) -> LiveClock:
    return LiveClock(ahead=ahead, wall=lambda: hands.wall, ticks=lambda: hands.ticks)


def test_seconds_follow_the_streams_stamps() -> None:
    hands = Hands()
    live = clock(hands)
    assert live.place(7000.0).seconds == pytest.approx(hands.wall)
    hands.go(1.3)  # this picture was held up by 0.3 s on its way
    assert live.place(7001.0).seconds == pytest.approx(hands.wall - 0.3)


def test_a_burst_at_the_start_does_not_set_the_clock_forward() -> None:
    hands = Hands()
    live = clock(hands)
    for n in range(50):
        stamp = live.place(n / 25)
        assert stamp.seconds <= hands.wall + 1e-6
        assert not stamp.jump
    hands.go(1.0)
    assert live.place(2.96).seconds == pytest.approx(hands.wall)


def test_a_stream_that_comes_in_pieces_may_run_ahead() -> None:
    hands = Hands()
    live = clock(hands, ahead=15)
    live.place(0.0)
    assert live.place(6.0).seconds == pytest.approx(hands.wall + 6)


def test_setting_the_machines_time_moves_nothing_while_connected_or_backward() -> None:
    hands = Hands()
    live = clock(hands)
    first = live.place(0.0).seconds
    hands.go(1)
    hands.wall -= 3600
    assert live.place(1.0).seconds == pytest.approx(first + 1)
    live.begin()
    assert live.place(0.0).seconds >= first + 1


def test_a_stream_that_lost_time_is_set_right_and_marked() -> None:
    hands = Hands()
    live = clock(hands)
    live.place(0.0)
    hands.go(100)
    stamp = live.place(1.0)
    assert stamp.seconds == pytest.approx(hands.wall)
    assert stamp.jump


@given(st.lists(st.tuples(st.one_of(st.none(), st.floats(-1e3, 1e6)), st.floats(0, 30), st.booleans()), max_size=60))
def test_live_seconds_never_run_backward(steps: list[tuple[float | None, float, bool]]) -> None:
    hands = Hands()
    live = clock(hands)
    latest = 0.0
    for raw, pause, again in steps:
        hands.go(pause)
        if again:
            live.begin()
        seconds = live.place(raw).seconds
        assert seconds >= latest
        assert abs(seconds - hands.wall) <= 16
        latest = seconds


def test_an_abandoned_readers_pictures_are_not_admitted() -> None:
    gate = Gate(1.0)
    old = gate.begin()
    assert gate.admit(old, 0.0) is not None
    new = gate.begin()
    assert not gate.current(old)
    assert gate.admit(old, 100.0) is None
    admitted = gate.admit(new, 0.0)
    assert admitted is not None
    assert admitted[1], "the first picture after a reconnect follows a gap"


def test_a_gate_refuses_impossible_rates() -> None:
    with pytest.raises(SourceError, match="0 frames a second"):
        Gate(0)


async def test_the_newest_frame_wins_and_drops_are_counted() -> None:
    box = Mailbox()
    box.put(Frame(1.0, BLACK, gap=True))
    box.put(Frame(2.0, BLACK))
    frame = await box.take()
    assert (frame.seconds, frame.gap) == (2.0, True)
    assert (box.frames, box.dropped) == (1, 1)


async def test_a_waiting_taker_gets_the_next_frame_and_a_cancelled_one_takes_nothing() -> None:
    box = Mailbox()
    cancelled = asyncio.create_task(box.take())
    await asyncio.sleep(0)
    cancelled.cancel()
    waiting = asyncio.create_task(box.take())
    await asyncio.sleep(0)
    box.put(Frame(1.0, BLACK))
    assert (await waiting).seconds == 1.0
    box.put(Frame(2.0, BLACK))
    box.close(EndOfStream("over"))
    assert (await box.take()).seconds == 2.0
    with pytest.raises(EndOfStream):
        await box.take()


def test_backing_off_is_quick_first_bounded_and_spread() -> None:
    assert backoff(0, 1.0) == 0.25
    assert backoff(2, 1.0) == 1.0
    assert backoff(10_000, 1.0) == LONGEST_WAIT == 2.0
    assert backoff(10_000, 0.0) == LONGEST_WAIT / 2
