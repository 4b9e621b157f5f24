"""Each benchmark of live cameras and films in its smallest form, on the real bundle and a real RTSP server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from benchmarks import wall
from benchmarks.reel import Reel
from tests.bundles import film, mini

if TYPE_CHECKING:
    from llama_vid.model import LLaMAVID

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def model() -> Iterator[LLaMAVID]:
    """The real model; its thread ends with the module."""
    bundle = mini()
    from llama_vid.model import LLaMAVID

    made = LLaMAVID(bundle)
    yield made
    if made._thread is not None:
        made._thread.close()


@pytest.mark.model
def test_ttft_asks_a_camera_that_remembers_a_minute() -> None:
    from benchmarks import ttft

    bundle = mini()
    began = time.time()
    found = ttft.measure(1, minutes=(1,), askers=(2,), bundle=bundle, distinct_scenes=4)
    minute = found.watched[1]
    assert minute.frames == 60
    assert 0 < minute.entries <= 60
    assert "entries" in minute.restore
    assert 0 < minute.first_s[0] <= minute.whole_s[0]
    assert minute.own_s[0] <= minute.first_s[0] + 0.01  # the asker sees no token before the program has it
    assert minute.cached_bytes > 100_000  # 60 pairs in the language model's cache
    assert found.floor.cached_bytes <= minute.cached_bytes  # a page at least
    assert len(minute.going_on_s) == 1
    crowd = found.crowds[2]
    assert len(crowd.at_once) == len(crowd.in_turn) == 2
    assert crowd.in_turn[1] > crowd.in_turn[0]
    figures = json.loads(json.dumps(found.to_json()))
    assert figures["n"] == 1
    assert time.time() - began > sum(minute.whole_s)


@pytest.mark.model
def test_recompute_opens_the_film_anew_for_every_question(model: LLaMAVID) -> None:
    from benchmarks import recompute

    found = recompute.measure(2, minutes=(0.2,), model=model)
    pair = found.pairs[0.2]
    assert pair.frames == 12
    assert len(pair.ours_s) == len(pair.recompute_s) == 2
    assert all(first <= whole for first, whole in zip(pair.ours_first_token_s, pair.ours_s, strict=True))
    assert pair.ratio > 1  # it contains the same question, and the film's decoding and encoding on top


@pytest.mark.model
@pytest.mark.peer
def test_cameras_watches_real_streams_from_memory_to_memory(model: LLaMAVID) -> None:
    if why := wall.missing():
        pytest.skip(why)
    from benchmarks import cameras

    found = cameras.measure(counts={"busy": (2,)}, seconds=4, read_seconds=2, model=model)
    stage = found.stages["busy"][2]
    assert stage.cameras == 2
    assert stage.fewest_frames >= 2
    assert 4 <= len(stage.late_s) <= 12
    assert all(-0.1 < late < 60 for late in stage.late_s)
    assert stage.reconnects == 0
    assert 0 < stage.read_only.cores < stage.load.cores
    assert stage.load.camera_cores > 0
    assert stage.load.resident_mb > 100
    assert json.loads(json.dumps(found.to_json()))["busy"]["2"]["dropped"] == stage.dropped


@pytest.mark.peer
def test_a_wall_serves_every_camera_from_the_start() -> None:
    if why := wall.missing():
        pytest.skip(why)
    with wall.Wall([film()], 3) as shown:
        for url in (shown.urls[0], shown.urls[2], shown.urls[2]):
            with av.open(url, options={"rtsp_transport": "tcp"}) as camera:
                picture = next(camera.decode(video=0))
                assert (picture.width, picture.height) == (640, 272)
        assert shown.cpu_s > 0
        assert len(set(shown.urls)) == 3


def test_films_of_the_wall_are_as_they_say(tmp_path: Path) -> None:
    (quiet,) = wall.quiet_films(tmp_path, 40, variants=1)
    with av.open(str(quiet)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert (stream.width, stream.height) == wall.QUIET_SIZE
    keys = [at for at, packet in enumerate(packets) if packet.is_keyframe]
    assert len(packets) == 40 * wall.QUIET_RATE
    assert keys == list(range(0, len(packets), wall.QUIET_RATE))  # one a second, over the film's seam too
    with av.open(str(quiet)) as container:
        pictures = [picture.to_ndarray(format="gray").astype(float) for picture in container.decode(video=0)]
    moved = [abs(one - other).mean() for one, other in zip(pictures, pictures[wall.QUIET_RATE :], strict=False)]
    moving = slice(wall.QUIET_RATE, 3 * wall.QUIET_RATE)  # the first variant moves from its second second on
    still = slice(10 * wall.QUIET_RATE, 25 * wall.QUIET_RATE)
    assert 0.2 < max(moved[still]) < 4  # the sensor's noise is there, and nothing else
    assert max(moved[moving]) > 2 * max(moved[still])


async def test_a_reel_plays_and_stands_still() -> None:
    from benchmarks.pictures import Picture
    from tests.conftest import painted, read_second

    reel = Reel((Picture(number, painted(number)) for number in range(9)), period=0.01)
    async with reel:
        waiting = asyncio.create_task(reel.recv(), name="first")
        await asyncio.sleep(0)
        assert not waiting.done()
        reel.play()
        frames = [await waiting, await reel.recv(), await reel.recv()]
        assert [read_second(frame.image) for frame in frames] == [0, 1, 2]
        assert [frame.gap for frame in frames] == [True, False, False]
        assert frames[0].seconds < frames[1].seconds < frames[2].seconds
        reel.pause()
        held = asyncio.create_task(reel.recv(), name="held")
        done, _ = await asyncio.wait({held}, timeout=0.1)
        assert not done
        reel.play()
        assert read_second((await held).image) == 3
    assert reel.stats.frames == 4
