"""A camera's microphone over RTSP: G.711 at 8 kHz beside H.264, on the clock of the pictures."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from llama_vid.stream.audio import AudioQueue
from llama_vid.stream.live import LiveSource
from tests.peers import rtsp
from tests.peers.sound import click_times
from tests.peers.waiting import until

SCRIPT = Path(__file__).resolve().parents[1] / "peers" / "talking_camera.py"

pytestmark = pytest.mark.peer


@pytest.fixture
def talking_camera() -> Iterator[str]:
    """Its URL."""
    if why := rtsp.missing():
        pytest.skip(why)
    with subprocess.Popen(
        [rtsp.SYSTEM_PYTHON, str(SCRIPT)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stdout is not None
        line = running.stdout.readline().split()
        if line[:1] != ["ready"]:
            pytest.skip("GStreamer cannot serve a camera with sound here")
        yield line[1]
        running.kill()


async def test_pictures_and_sound_of_a_camera(talking_camera: str) -> None:
    queue = AudioQueue()
    async with LiveSource(talking_camera, audio=queue) as camera, asyncio.timeout(40):
        frames = [await camera.recv() for _ in range(2)]
        await until(lambda: queue.waiting_s > 6.5)
        frames.append(await camera.recv())
    blocks = queue.take(0)
    for before, after in pairwise(blocks):
        assert after.seconds == pytest.approx(before.end, abs=1e-6), "not one hole"
    assert blocks[-1].end == pytest.approx(time.time(), abs=3.0)
    assert blocks[-1].end == pytest.approx(frames[-1].seconds, abs=1.5)
    ticks = click_times(np.concatenate([block.samples for block in blocks]), blocks[0].seconds)
    # The camera's first report on its clocks (RTCP) may move its sound against its pictures, once.
    assert np.diff(ticks)[-3:] == pytest.approx([1.0] * 3, abs=0.05)


async def test_the_sound_alone(talking_camera: str) -> None:
    queue = AudioQueue()
    async with LiveSource(talking_camera, audio=queue, pictures=False) as camera, asyncio.timeout(40):
        await until(lambda: queue.waiting_s > 1.5)
        assert camera.state == "live"
        assert camera.stats.frames == 0
    assert not any(block.gap for block in queue.take(0))
