"""Which source an address opens, and the file that plays as a camera."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path

import pytest

from llama_vid.errors import EndOfStream, SourceError
from llama_vid.stream.file import FileSource
from llama_vid.stream.live import LiveSource
from llama_vid.stream.opening import open_source
from llama_vid.stream.pacing import FileCamera
from llama_vid.stream.source import Source
from llama_vid.stream.whip import WhipIngest
from tests.peers.video import make_video, painted_seconds


@pytest.mark.parametrize(
    ("url", "live", "kind"),
    [
        ("film.mp4", None, FileSource),
        ("file:film.mp4", None, FileSource),
        ("film.mp4", True, FileCamera),
        ("rtsp://host/x", None, LiveSource),
        ("rtsp://host/x", False, LiveSource),
        ("http://host/film.MP4?x=1", None, FileSource),
        ("http://host/film.mp4", True, LiveSource),
        ("https://host/live.m3u8", None, LiveSource),
        ("https://host/live.m3u8", False, FileSource),
        ("http://host/video.cgi", None, LiveSource),
        ("v4l2:/dev/video9", None, LiveSource),
        ("webrtc:", None, WhipIngest),
    ],
)
async def test_kinds(url: str, live: bool | None, kind: type) -> None:
    source = open_source(url, live=live)
    assert type(source) is kind
    assert isinstance(source, Source)
    assert source.state == "connecting"


@pytest.mark.parametrize("fps", [0.0, -1.0])
@pytest.mark.parametrize("url", ["film.mp4", "rtsp://host/x", "webrtc:"])
async def test_impossible_rates(url: str, fps: float) -> None:
    with pytest.raises(SourceError, match="frames a second"):
        open_source(url, fps=fps)


async def test_a_missing_capture_device_is_told_and_retried(tmp_path: Path) -> None:
    reasons: asyncio.Queue[str] = asyncio.Queue()
    async with LiveSource(f"v4l2:{tmp_path}/video9") as source, asyncio.timeout(10):
        source.on_state(lambda _state, reason: reasons.put_nowait(reason))
        assert "There is no device" in await reasons.get()


async def test_a_file_camera_loops_in_real_time(tmp_path: Path) -> None:
    path = make_video(tmp_path / "film.mp4", seconds=1.5, fps=10)
    begun = time.time()
    async with FileCamera(path, fps=4) as camera, asyncio.timeout(20):
        frames = [await camera.recv() for _ in range(14)]
        assert camera.state == "live"
        taken_at = time.time()
    shown = [painted_seconds(frame.image) for frame in frames]
    assert shown[0] == 0
    assert shown.index(0, 1) == 6, "the film begins again after six quarters of a second"
    seconds = [frame.seconds for frame in frames]
    assert all(b - a == pytest.approx(0.25, abs=0.2) for a, b in itertools.pairwise(seconds))
    assert seconds == sorted(set(seconds))
    assert seconds[0] == pytest.approx(begun, abs=1.0)
    assert seconds[-1] == pytest.approx(taken_at, abs=0.5)
    with pytest.raises(EndOfStream):
        await camera.recv()


async def test_a_file_camera_without_a_file_is_an_error(tmp_path: Path) -> None:
    async with FileCamera(tmp_path / "none.mp4") as camera, asyncio.timeout(10):
        with pytest.raises(SourceError, match="There is no file"):
            await camera.recv()
        assert camera.state == "failed"
