"""What waits for viewers: whole from a key frame on, bounded, the newest first."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import av
import pytest

from llama_vid.stream.live import LiveSource
from llama_vid.stream.pacing import FileCamera
from llama_vid.stream.view import Coding, View
from llama_vid.stream.view_decoding import coding_of
from llama_vid.stream.view_queues import WAITING, Packets, Part, ViewEnded
from tests.peers.rtsp import RtspCamera, missing
from tests.peers.video import make_video, painted_seconds


def part(seconds: float, *, key: bool = False) -> Part:
    return Part(b"x", seconds, key, seconds)


async def test_a_viewer_begins_with_a_key_frame_and_goes_on_with_the_newest() -> None:
    queue = Packets()
    queue.put(part(0.0))
    queue.put(part(0.1, key=True))
    queue.put(part(0.2))
    assert [each.seconds for each in await queue.take()] == [0.1, 0.2]
    for tenth in range(3, 10):
        queue.put(part(tenth / 10))
    queue.put(part(1.0, key=True))  # it is late: what waited is left out
    queue.put(part(1.1))
    assert [each.seconds for each in await queue.take()] == [1.0, 1.1]
    queue.interrupt()
    queue.put(part(1.2))
    queue.put(part(1.3, key=True))
    assert [each.seconds for each in await queue.take()] == [1.3]
    assert queue.left_out == 9
    queue.end()
    with pytest.raises(ViewEnded):
        await queue.next()


async def test_a_viewer_that_takes_nothing_costs_no_more_than_its_queue() -> None:
    queue = Packets()
    queue.put(part(0.0, key=True))
    for number in range(5 * WAITING):
        queue.put(part(number / 1e4))
    assert queue.left_out >= WAITING
    queue.put(part(9.0, key=True))
    assert [each.seconds for each in await queue.take()] == [9.0]


@asynccontextmanager
async def played(source: FileCamera | LiveSource) -> AsyncIterator[None]:
    """The source, open, its frames taken as a session does."""

    async def take() -> None:
        while True:
            await source.recv()

    async with source:
        await source.recv()
        taking = asyncio.create_task(take(), name="taking")
        try:
            yield
        finally:
            taking.cancel()
            await asyncio.wait({taking})


async def test_a_looped_film_is_passed_in_step_and_in_real_time(tmp_path: Path) -> None:
    film = make_video(tmp_path / "film.mp4", seconds=2, b_frames=0, group=25)
    view = View("film")
    async with asyncio.timeout(20), played(FileCamera(film, view=view)):
        assert view.passable
        loop = asyncio.get_running_loop()
        with view.packets() as packets:
            first = await packets.next()
            assert first.key
            began, parts = loop.time(), [first]
            while parts[-1].seconds < first.seconds + 3.0:  # over the end of a round
                parts.append(await packets.next())
            assert loop.time() - began == pytest.approx(3.0, abs=0.7)
            assert len(parts) == pytest.approx(75, abs=25)
            assert all(after.seconds > before.seconds for before, after in itertools.pairwise(parts))
        assert not view.wanted


async def test_a_film_with_pictures_out_of_order_is_decoded_once_into_small_pictures(tmp_path: Path) -> None:
    film = make_video(tmp_path / "film.mp4", seconds=3, size=(384, 216), b_frames=2, group=50)
    view = View("film", fps=8, longest_side=192)
    async with asyncio.timeout(20), played(FileCamera(film, view=view)):
        assert not view.passable
        with view.pictures() as one, view.pictures() as other:
            shown = [await one.take() for _ in range(4)]
            assert (await other.take()).width == 192
        times = [painted_seconds(picture.to_ndarray(format="rgb24")) for picture in shown]
        stamps = [picture.time for picture in shown]
        assert all(after > before for before, after in itertools.pairwise(stamps))
        steps = [after - before for before, after in itertools.pairwise(times)]
        assert all(step == pytest.approx(0.125, abs=0.09) or step < 0 for step in steps), times


@pytest.mark.peer
@pytest.mark.skipif(bool(missing()), reason=missing())
async def test_an_rtsp_camera_is_tapped_and_not_called_twice() -> None:
    view = View("camera")
    with RtspCamera() as camera:
        async with asyncio.timeout(30), played(source := LiveSource(camera.url, view=view)):
            readers = [each for each in threading.enumerate() if each.name.startswith("reader rtsp")]
            assert view.passable
            with view.packets() as packets:
                parts = [await packets.next() for _ in range(50)]
            assert parts[0].key
            # At most the first 15 were there already: a key frame comes every second.
            assert parts[-1].seconds - parts[19].seconds == pytest.approx(2.0, abs=0.3)
            with view.pictures() as pictures:  # for a viewer that knows no H.264
                assert (await pictures.take()).width == 320
            assert [each for each in threading.enumerate() if each.name.startswith("reader rtsp")] == readers
            assert source.stats.reconnects == 0


async def test_who_joins_between_key_frames_runs_through_what_was_there(tmp_path: Path) -> None:
    film = make_video(tmp_path / "film.mp4", seconds=3, b_frames=0, group=100)
    view = View("camera")
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        view.begin(coding_of(stream))
        packets = [packet for packet in container.demux(stream) if packet.size]
        for at, packet in enumerate(packets[:60]):
            view.packet(packet, at / 25)
        with view.packets() as joined:
            view.packet(packets[60], 60 / 25)
            with view.packets() as later:
                view.packet(packets[61], 61 / 25)
                async with asyncio.timeout(5):
                    first = [await joined.next() for _ in range(62)]
                    second = [await later.next() for _ in range(62)]
        for parts in (first, second):
            assert parts[0].key
            assert [part.number for part in parts] == list(range(62)), "each once"
            assert all(after.seconds > before.seconds for before, after in itertools.pairwise(parts))
            assert parts[60].seconds - parts[0].seconds < 0.2
        view.begin(coding_of(stream))
    with view.packets() as joined, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await joined.next()


async def test_another_coding_ends_the_viewers() -> None:
    view = View("camera")
    view.begin(Coding("hevc"))
    with view.packets() as packets:
        view.begin(Coding("hevc"))
        view.begin(Coding("h264"))
        with pytest.raises(ViewEnded):
            await packets.next()
    with view.packets() as packets:
        view.close()
        with pytest.raises(ViewEnded):
            await packets.next()
