"""The file source: exact times, every kind of film, and one clear error for each bad file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from llama_vid.errors import EndOfStream, SourceError
from llama_vid.stream.file import FileSource
from llama_vid.stream.source import Source
from tests.peers.video import make_sound, make_video, painted_seconds

X264 = {"preset": "veryfast"}


def shown(path: Path, fps: float = 1.0) -> list[tuple[float, float]]:
    """(the frame's seconds, the seconds painted on it) of every sampled frame."""
    return [(frame.seconds, painted_seconds(frame.image)) for frame in FileSource(path, fps=fps)]


def test_ten_seconds_give_ten_frames_each_of_its_own_second(ten_seconds: Path) -> None:
    source = FileSource(ten_seconds)
    assert [(frame.seconds, painted_seconds(frame.image), frame.gap) for frame in source] == [
        (float(k), float(k), False) for k in range(10)
    ]
    assert source.duration == pytest.approx(10.0)
    assert source.warnings == []


def test_frames_are_rgb_and_not_to_be_written_to(ten_seconds: Path) -> None:
    frame = next(iter(FileSource(ten_seconds)))
    assert frame.image.shape == (108, 192, 3)
    assert frame.image.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        frame.image[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("matroska-late-start.mkv", {"start": 7.5}),
        ("transport-late-start.ts", {"start": 100.3}),
        ("no-stamps.h264", {}),
        ("half-turn.mp4", {"turn": 180}),
        ("quarter-turn.mp4", {"turn": 90}),
        ("quarter-back.mp4", {"turn": 270}),
        ("odd-size.mp4", {"size": (193, 109)}),
        ("all-key.avi", {"codec": "mjpeg", "options": {}, "b_frames": 0}),
        ("open-groups.mp4", {"options": X264 | {"x264-params": "open-gop=1:keyint=30:bframes=3"}, "b_frames": 3}),
        ("open-groups.ts", {"options": X264 | {"x264-params": "open-gop=1:keyint=30:bframes=3"}, "b_frames": 3}),
        ("pyramid.mkv", {"options": X264 | {"x264-params": "b-pyramid=normal:bframes=5:b-adapt=0"}, "b_frames": 5}),
        ("one-group.mp4", {"group": 1000}),
        ("one-second-groups.mp4", {"group": 25}),
        (
            "h265.mp4",
            {"codec": "libx265", "options": {"preset": "ultrafast", "x265-params": "log-level=none:keyint=30"}},
        ),
        ("vp9.webm", {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}, "b_frames": 0}),
    ],
)
def test_every_kind_of_film_shows_each_second_at_its_time(
    tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    path = make_video(tmp_path / name, seconds=6.0, **options)  # type: ignore[arg-type]
    assert shown(path) == [(float(k), float(k)) for k in range(6)]


@pytest.mark.parametrize("fps", [24000 / 1001, 30000 / 1001, 12.5, 8.0, 60.0])
def test_the_picture_is_within_half_a_frame_of_its_second(tmp_path: Path, fps: float) -> None:
    path = make_video(tmp_path / "film.mp4", seconds=5.0, fps=fps)
    frames = shown(path)
    assert [seconds for seconds, _ in frames] == [0, 1, 2, 3, 4]
    assert all(abs(painted - seconds) <= 0.5 / fps + 0.001 for seconds, painted in frames)


def test_pictures_without_their_own_stamps_lag_by_a_frame_at_most(tmp_path: Path) -> None:
    path = make_video(tmp_path / "film.avi", codec="mpeg4", options={}, seconds=5)
    frames = shown(path)
    assert [seconds for seconds, _ in frames] == [0, 1, 2, 3, 4]
    assert all(abs(painted - seconds) <= 0.041 for seconds, painted in frames)


@pytest.mark.parametrize(("fps", "count"), [(5.0, 10), (0.5, 1), (25.0, 50), (2.0, 4)])
def test_other_rates(tmp_path: Path, fps: float, count: int) -> None:
    frames = shown(make_video(tmp_path / "film.mp4", seconds=2.0), fps)
    assert [seconds for seconds, _ in frames] == pytest.approx([k / fps for k in range(count)])
    assert all(abs(painted - seconds) <= 0.021 for seconds, painted in frames)


@pytest.mark.parametrize("seconds", [0.04, 0.4, 0.96])
def test_a_clip_shorter_than_a_second_gives_one_frame(tmp_path: Path, seconds: float) -> None:
    assert shown(make_video(tmp_path / "film.mp4", seconds=seconds)) == [(0.0, 0.0)]


def test_a_variable_rate_shows_what_stood_on_the_screen(tmp_path: Path) -> None:
    path = make_video(tmp_path / "film.mp4", times=[0, 0.1, 0.5, 3.2, 3.3, 3.9, 4.4, 9.95, 80, 80.5, 81.5])
    frames = list(FileSource(path))
    found = [(frame.seconds, painted_seconds(frame.image)) for frame in frames]
    assert found[:10] == [(0, 0), (1, 0.5), (2, 0.5), (3, 0.5), (4, 3.9), *((float(k), 4.4) for k in range(5, 10))]
    assert found[-2:] == [(80, 80), (81, 80.5)]
    # Nothing was shown for 70 s: that is a gap and not a still picture.
    assert [frame.seconds for frame in frames if frame.gap] == [80]


def test_a_large_picture_is_scaled_down_while_it_is_converted(tmp_path: Path) -> None:
    path = make_video(tmp_path / "film.mp4", seconds=1.0, fps=5, size=(1600, 900))
    (frame,) = FileSource(path)
    assert frame.image.shape == (720, 1280, 3)
    (small,) = FileSource(path, longest_side=400)
    assert small.image.shape == (225, 400, 3)
    assert painted_seconds(small.image) == 0


def test_iterating_again_begins_again(ten_seconds: Path) -> None:
    source = FileSource(ten_seconds)
    first = [frame.seconds for frame in source]
    assert [frame.seconds for frame in source] == first


async def test_recv_gives_the_same_frames_and_ends(ten_seconds: Path) -> None:
    states: list[str] = []
    source = FileSource(ten_seconds)
    assert isinstance(source, Source)
    source.on_state(lambda state, _reason: states.append(state))
    async with source:
        for k in range(10):
            frame = await source.recv()
            assert (frame.seconds, painted_seconds(frame.image)) == (k, k)
        for _ in range(2):
            with pytest.raises(EndOfStream):
                await source.recv()
    assert states == ["live", "ended"]
    assert source.stats.frames == 10
    assert source.stats.dropped == 0


async def test_a_cancelled_recv_loses_nothing(ten_seconds: Path) -> None:
    async with FileSource(ten_seconds) as source:
        waiting = asyncio.create_task(source.recv())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert [(await source.recv()).seconds for _ in range(10)] == list(range(10))


async def test_leaving_early_closes_the_file(ten_seconds: Path) -> None:
    async with FileSource(ten_seconds) as source:
        await source.recv()
    assert source.state == "ended"
    with pytest.raises(SourceError, match="not open"):
        await source.recv()


async def test_recv_tells_of_a_missing_file(tmp_path: Path) -> None:
    async with FileSource(tmp_path / "none.mp4") as source:
        with pytest.raises(SourceError, match="no file"):
            await source.recv()
        assert source.state == "failed"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.mp4", None, "There is no file .*none.mp4: check the path"),
        ("empty.mp4", b"", "is empty"),
        ("noise.mp4", bytes(range(256)) * 64, "not a video"),
        ("notes.txt", b"Dear diary,\n" * 200, "not a video"),
        ("page.html", b"<html><body>hello</body></html>" * 20, "not a video"),
    ],
)
def test_a_bad_file_is_one_clear_error(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        list(FileSource(path))
    assert "\n" not in str(caught.value)
    with pytest.raises(SourceError, match=message):
        _ = FileSource(path).duration


def test_a_folder_and_a_sound_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a folder"):
        list(FileSource(tmp_path))
    with pytest.raises(SourceError, match="only sound"):
        list(FileSource(make_sound(tmp_path / "sound.m4a")))


def test_a_file_cut_off_before_its_index_is_refused(tmp_path: Path, ten_seconds: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(ten_seconds.read_bytes()[:8000])
    with pytest.raises(SourceError, match="cut off"):
        list(FileSource(path))


@pytest.mark.parametrize("name", ["cut.mkv", "cut.ts"])
def test_a_file_that_is_cut_off_gives_what_decodes(tmp_path: Path, name: str) -> None:
    whole = make_video(tmp_path / f"whole-{name}", seconds=20)
    path = tmp_path / name
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    source = FileSource(path)
    frames = [(frame.seconds, painted_seconds(frame.image)) for frame in source]
    assert 7 <= len(frames) <= 13
    assert frames == [(float(k), float(k)) for k in range(len(frames))]
    if name.endswith("mkv"):  # a transport stream states no length: nothing is known to be missing
        assert any("cut off" in warning for warning in source.warnings)


def test_a_cut_off_file_with_its_index_first_gives_what_decodes(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mp4", seconds=20, container_options={"movflags": "+faststart"})
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    source = FileSource(path)
    frames = list(source)
    assert 8 <= len(frames) <= 18
    assert any("cut off" in warning for warning in source.warnings)


def test_a_damaged_file_gives_what_decodes_and_says_so(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mp4", seconds=20)
    data = bytearray(whole.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 3000] = bytes(3000)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    source = FileSource(path)
    frames = list(source)
    assert len(frames) == 20
    assert any("damaged" in warning for warning in source.warnings)
    assert painted_seconds(frames[-1].image) == 19


@pytest.mark.data
def test_every_clip_gives_a_frame_a_second(data: Path) -> None:
    clips = sorted((data / "clips").glob("*.mp4"))
    for clip in clips:
        source = FileSource(clip)
        frames = list(source)
        assert [frame.seconds for frame in frames] == list(range(len(frames)))
        assert source.duration is not None
        assert abs(len(frames) - source.duration) < 1
        assert source.warnings == []
