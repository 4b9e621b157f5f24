"""Live RTSP against a real server: pictures, passwords, the server's death and return, servers that hang."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from llama_vid.errors import EndOfStream, SourceError
from llama_vid.stream.live import LONGEST_WAIT, REFUSED_WAIT, LiveSource
from llama_vid.stream.reader import KeyFrames, Limits
from llama_vid.stream.source import Source, SourceState
from tests.peers.rtsp import RtspCamera, free_port
from tests.peers.video import painted_seconds
from tests.peers.waiting import until


class Log:
    """The states a source went through, and a way to wait for one."""

    def __init__(self, source: Source) -> None:
        self.seen: list[tuple[SourceState, str]] = []
        self._changed = asyncio.Event()
        source.on_state(self._take)

    def _take(self, state: SourceState, reason: str) -> None:
        self.seen.append((state, reason))
        self._changed.set()

    def count(self, state: SourceState) -> int:
        return sum(seen == state for seen, _ in self.seen)

    async def until(self, state: SourceState, timeout: float = 15.0) -> str:
        """The reason of the first such state that comes, or has come."""
        async with asyncio.timeout(timeout):
            while True:
                for seen, reason in self.seen:
                    if seen == state:
                        return reason
                self._changed.clear()
                await self._changed.wait()


@contextmanager
def mute_server() -> Iterator[int]:
    """A server that accepts and says nothing; gives its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield int(server.getsockname()[1])


@pytest.mark.peer
async def test_frames_flow_a_second_apart_on_the_live_clock(camera: RtspCamera) -> None:
    async with LiveSource(camera.url) as source, asyncio.timeout(20):
        assert isinstance(source, Source)
        frames = [await source.recv() for _ in range(4)]
        assert source.state == "live"
        assert abs(frames[-1].seconds - time.time()) < 2
        for before, after in itertools.pairwise(frames):
            assert after.seconds - before.seconds == pytest.approx(1.0, abs=0.4)
            assert painted_seconds(after.image) - painted_seconds(before.image) == pytest.approx(1.0, abs=0.4)
        assert [frame.gap for frame in frames] == [True, False, False, False]
        assert source.stats.reconnects == 0
    assert source.state == "ended"
    with pytest.raises(EndOfStream):
        await source.recv()


@pytest.mark.peer
async def test_a_reader_that_is_late_gets_the_newest_frame(camera: RtspCamera) -> None:
    async with LiveSource(camera.url, fps=5) as source, asyncio.timeout(20):
        first = await source.recv()
        await until(lambda: source.stats.dropped >= 5)  # the reader looks away until five frames were replaced
        late = await source.recv()
        assert late.seconds > first.seconds + 0.8
        assert abs(late.seconds - time.time()) < 2


@pytest.mark.peer
async def test_a_camera_that_died_and_returned_flows_within_five_seconds(camera: RtspCamera) -> None:
    async with LiveSource(camera.url) as source, asyncio.timeout(50):
        log = Log(source)
        before = [await source.recv() for _ in range(2)]
        await asyncio.to_thread(camera.stop)
        await log.until("reconnecting")
        # Long enough for the waits between attempts to have grown to their longest.
        await until(lambda: log.count("reconnecting") >= 2 and time.time() > before[-1].seconds + 8)
        await asyncio.to_thread(camera.start)
        returned = time.monotonic()
        after = [await source.recv() for _ in range(3)]
        while after[0].seconds <= before[-1].seconds + 5:  # a frame from before the end may have waited in the slot
            after = [*after[1:], await source.recv()]
        first_at = time.monotonic() - returned - (time.time() - after[0].seconds)
        assert first_at < 5
        seconds = [frame.seconds for frame in (*before, *after)]
        assert seconds == sorted(set(seconds))
        assert after[0].gap
        assert source.stats.reconnects == 1


@pytest.mark.peer
async def test_a_wrong_password_is_told_apart_and_secrets_are_not_told(
    locked_camera: RtspCamera, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with LiveSource(locked_camera.address("bob", "wrong-horse")) as source:
        wrong = Log(source)
        assert "refused the user name or password" in await wrong.until("reconnecting")
    async with LiveSource(locked_camera.url) as source, asyncio.timeout(20):
        right = Log(source)
        await source.recv()
    async with LiveSource(locked_camera.address("bob", "open-sesame", "/nothing")) as source:
        lost = Log(source)
        assert "was not found" in await lost.until("reconnecting")
    printed = capfd.readouterr()
    told = f"{caplog.text}{wrong.seen}{right.seen}{lost.seen}{printed.out}{printed.err}{source!r}"
    for secret in ("wrong-horse", "open-sesame", "bob"):
        assert secret not in told


@pytest.mark.peer
async def test_a_refused_password_is_not_tried_for_ever_at_full_speed(
    locked_camera: RtspCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def watched(seconds: float) -> None:
        task = asyncio.current_task()
        if task is None or not task.get_name().startswith("live source"):
            return await sleep(seconds)  # anybody else's
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr("llama_vid.stream.live.asyncio.sleep", watched)
    async with LiveSource(locked_camera.address("bob", "wrong-horse")), asyncio.timeout(20):
        while len(waits) < 4:
            await sleep(0.02)
    assert max(waits[:2]) <= LONGEST_WAIT
    assert waits[2:4] == [REFUSED_WAIT] * 2


async def test_nobody_listening_and_no_such_host_are_told_apart() -> None:
    reasons = []
    for url in (f"rtsp://bob:hush-hush@127.0.0.1:{free_port()}/live", "rtsp://bob:hush-hush@no-such-host.invalid/live"):
        async with LiveSource(url) as source:
            reasons.append(await Log(source).until("reconnecting"))
    assert "refused the connection" in reasons[0]
    assert "no host of the name no-such-host.invalid" in reasons[1]
    assert not any("hush" in reason for reason in reasons)


async def test_trying_again_leaves_the_programs_random_numbers_alone() -> None:
    came: asyncio.Queue[None] = asyncio.Queue()

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        came.put_nowait(None)

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server, asyncio.timeout(20):
        port = server.sockets[0].getsockname()[1]
        before = random.getstate()
        async with LiveSource(f"rtsp://127.0.0.1:{port}/live"):
            for _ in range(3):
                await came.get()
        assert random.getstate() == before


async def test_a_server_that_says_nothing_is_abandoned() -> None:
    others = set(threading.enumerate())  # a camera of another test's server may be read at the same time
    with mute_server() as port:
        source = LiveSource(f"rtsp://127.0.0.1:{port}/live", limits=Limits(open=0.5, stall=0.5))
        async with source, asyncio.timeout(20):
            log = Log(source)
            assert "silent" in await log.until("stalled")
            await until(lambda: log.count("stalled") >= 2)  # it tries again, with a new thread
            assert source.stats.warnings == ["Connections that hung and were abandoned: 2."]
    # FFmpeg's own time limits end the abandoned threads in the end.
    await until(lambda: not any(t.name.startswith("reader rtsp") for t in threading.enumerate() if t not in others))


@pytest.mark.peer
async def test_a_stream_that_freezes_is_abandoned_and_taken_up_again(camera: RtspCamera) -> None:
    source = LiveSource(camera.url, limits=Limits(open=5, stall=1.0))
    async with source, asyncio.timeout(50):
        log = Log(source)
        await source.recv()
        camera.freeze()
        assert "nothing came for 1 s" in await log.until("stalled")
        camera.thaw()
        latest = await source.recv()
        while source.stats.reconnects == 0:
            latest = await source.recv()
        assert latest.gap


async def test_closing_while_connecting_is_quick() -> None:
    with mute_server() as port:
        begun = time.monotonic()
        async with LiveSource(f"rtsp://127.0.0.1:{port}/live") as source:
            waiting = asyncio.create_task(source.recv())
            await asyncio.sleep(0)
        assert time.monotonic() - begun < 3
        with pytest.raises(EndOfStream):
            await waiting


async def test_recv_wants_an_open_source() -> None:
    with pytest.raises(SourceError, match="not open"):
        await LiveSource("rtsp://127.0.0.1/x").recv()
    with pytest.raises(SourceError, match="not a live stream"):
        LiveSource("film.mp4")


def test_key_frames_alone_are_enough_where_they_are_dense() -> None:
    keys = KeyFrames(1.0)
    needed = [keys.needs(n % 10 == 0, n / 10) for n in range(60)]
    assert all(needed[:31])
    assert needed[31:] == [n % 10 == 0 for n in range(31, 60)]
    # A reader that is late decodes key frames only, until it is not late at a key frame.
    slow = KeyFrames(1.0)
    lateness = [(n, slow.needs(n % 40 == 0, n / 10, late=45 <= n < 60)) for n in range(120)]
    assert [n for n, need in lateness if not need] == list(range(45, 80))
    # The camera changes to a key frame every three seconds: everything is decoded again from the next one on.
    later = [(n, keys.needs(n % 30 == 0, n / 10)) for n in range(60, 120)]
    assert all(need for n, need in later if n >= 90)
