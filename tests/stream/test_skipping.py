"""Leaving packets out must never change which pictures come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llama_vid.stream.demux import open_container, video_stream
from llama_vid.stream.frame import Frame
from llama_vid.stream.recording import Recording
from llama_vid.stream.starts import clean_start
from llama_vid.stream.urls import parse_url
from tests.peers.video import make_video


def read(path: Path, *, skip: bool, fps: float) -> tuple[list[Frame], int]:
    """The sampled frames and how many packets were left out."""
    url = parse_url(str(path))
    with open_container(url) as container:
        recording = Recording(container, video_stream(container, url), url, fps=fps, skip=skip)
        return list(recording), recording.skipped


def same(path: Path, fps: float = 1.0) -> int:
    """Compare with decoding everything; gives how many packets were left out."""
    fast, skipped = read(path, skip=True, fps=fps)
    full, _ = read(path, skip=False, fps=fps)
    assert [(frame.seconds, frame.gap) for frame in fast] == [(frame.seconds, frame.gap) for frame in full]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(fast, full, strict=True))
    return skipped


@pytest.mark.parametrize("suffix", ["mp4", "ts", "mkv"])
@pytest.mark.parametrize(("group", "b_frames"), [(7, 0), (12, 3), (25, 2), (40, 3), (90, 5)])
def test_the_same_pictures_come_out(tmp_path: Path, suffix: str, group: int, b_frames: int) -> None:
    path = make_video(
        tmp_path / f"film.{suffix}", seconds=7, group=group, b_frames=b_frames, options={"preset": "veryfast"}
    )
    assert same(path) > 0


@pytest.mark.parametrize("fps", [0.3, 2.0, 10.0])
def test_the_same_pictures_come_out_at_other_rates(tmp_path: Path, fps: float) -> None:
    same(make_video(tmp_path / "film.mp4", seconds=8, group=30, b_frames=3), fps)


def test_open_groups_are_left_whole(tmp_path: Path) -> None:
    options = {"preset": "veryfast", "x264-params": "open-gop=1:keyint=20:bframes=3"}
    assert same(make_video(tmp_path / "film.ts", seconds=8, options=options, b_frames=3)) == 0


def test_uneven_stamps(tmp_path: Path) -> None:
    times = [n / 10 for n in range(20)] + [2.5, 6.1, 6.2, 6.21, 6.9] + [100 + n / 10 for n in range(25)]
    same(make_video(tmp_path / "film.mkv", times=times, group=9))


def test_key_frames_alone_are_decoded_where_they_lie_on_the_grid(tmp_path: Path) -> None:
    path = make_video(tmp_path / "film.mp4", seconds=10, fps=25, group=25)
    assert same(path) == 9 * 24  # the last group is read to its end


def test_a_clean_start_is_an_idr_picture() -> None:
    h264 = clean_start("h264", None)
    assert h264(b"\0\0\0\1\x67abc\0\0\1\x68d\0\0\1\x65slice")
    assert not h264(b"\0\0\0\1\x67abc\0\0\1\x06sei\0\0\1\x41slice")
    assert not h264(b"")
    boxed = clean_start("h264", b"\x01\x64\x00\x1f\xff\xe1")
    assert boxed(b"\0\0\0\3\x06xx\0\0\0\2\x65x")
    assert not boxed(b"\0\0\0\3\x06xx\0\0\0\2\x41x")
    hevc = clean_start("hevc", None)
    assert hevc(b"\0\0\1\x40\x01vps\0\0\1\x26\x01slice")  # IDR_W_RADL
    assert not hevc(b"\0\0\1\x2a\x01slice")  # CRA
    assert clean_start("vp9", None)(b"anything")


@pytest.mark.data
def test_clips_give_the_same_pictures(data: Path) -> None:
    for clip in sorted((data / "clips").glob("*.mp4"))[::6]:
        same(clip)
