"""Sound out of files and live sources: 16 kHz mono whose times are those of the pictures."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path

import numpy as np
import pytest

from llama_vid.errors import SourceError
from llama_vid.stream.audio import RATE, AudioBlock, AudioQueue
from llama_vid.stream.audio_file import AudioFile
from llama_vid.stream.audio_track import Continuity
from llama_vid.stream.file import FileSource
from llama_vid.stream.live import LiveSource
from llama_vid.stream.opening import open_source
from tests.peers.http import WebServer
from tests.peers.sound import click_times, clicks, write_sound
from tests.peers.video import make_video, painted_seconds
from tests.peers.waiting import until


def joined(blocks: list[AudioBlock]) -> tuple[float, np.ndarray]:
    """First second and samples of blocks, which must follow each other without a hole."""
    for before, after in itertools.pairwise(blocks):
        assert after.seconds == pytest.approx(before.end, abs=1e-6)
    return blocks[0].seconds, np.concatenate([block.samples for block in blocks])


@pytest.mark.parametrize(
    ("name", "rate", "codec", "layout"),
    [
        ("a.flac", 16_000, "flac", "mono"),
        ("a.wav", 8_000, "pcm_s16le", "mono"),
        ("a.flac", 48_000, "flac", "5.1"),
        ("a.mp4", 44_100, "aac", "stereo"),
        ("a.mka", 8_000, "pcm_mulaw", "mono"),
    ],
)
def test_every_kind_becomes_mono_at_16_khz(tmp_path: Path, name: str, rate: int, codec: str, layout: str) -> None:
    path = write_sound(tmp_path / name, clicks(4.0, rate), rate=rate, codec=codec, layout=layout)
    first, samples = joined(list(AudioFile(path)))
    assert samples.dtype == np.float32
    assert first == pytest.approx(0.0, abs=0.05)
    assert len(samples) == pytest.approx(4.0 * RATE, abs=0.1 * RATE)
    assert click_times(samples, first) == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=0.03)


def test_sound_that_starts_late_keeps_the_clock_of_the_pictures(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "late.mkv", clicks(3.0, first=2.5), start=2.5, film_s=6.0)
    first, samples = joined(list(AudioFile(path)))
    assert first == pytest.approx(2.5, abs=0.03)
    assert click_times(samples, first) == pytest.approx([3.0, 4.0, 5.0], abs=0.03)
    assert [painted_seconds(frame.image) for frame in FileSource(path)] == pytest.approx(list(range(6)), abs=0.11)


def test_lost_packets_are_silence_and_long_holes_are_gaps(tmp_path: Path) -> None:
    short = write_sound(tmp_path / "short.mkv", clicks(6.0), missing=(1.5, 2.6))
    first, samples = joined(list(AudioFile(short)))
    assert click_times(samples, first) == pytest.approx([0.0, 1.0, 3.0, 4.0, 5.0], abs=0.03)
    long = write_sound(tmp_path / "long.mkv", clicks(9.0), missing=(1.5, 5.6))
    blocks = list(AudioFile(long))
    (after,) = [n for n, block in enumerate(blocks) if block.gap]
    assert blocks[after - 1].end == pytest.approx(1.5, abs=0.1)
    first, samples = joined(blocks[after:])
    assert first == pytest.approx(5.6, abs=0.1)
    assert click_times(samples, first) == pytest.approx([6.0, 7.0, 8.0], abs=0.03)


def test_a_rate_that_changes_midway_keeps_the_clock(tmp_path: Path) -> None:
    """Transport streams can be joined end to end, as when a broadcaster changes its encoder."""
    parts = [
        write_sound(tmp_path / "one.ts", clicks(2.0, 48_000), rate=48_000, codec="mp2", layout="stereo"),
        write_sound(tmp_path / "two.ts", clicks(2.0, 32_000), rate=32_000, codec="mp2", start=2.0),
    ]
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    blocks = list(AudioFile(whole))
    samples = np.concatenate([block.samples for block in blocks])
    assert blocks[-1].end == pytest.approx(4.0, abs=0.25)
    times = click_times(samples, blocks[0].seconds)
    assert len(times) == 4
    assert np.diff(times) == pytest.approx([1.0, 1.0, 1.0], abs=0.15)


def test_no_audio_track_is_one_clear_error(tmp_path: Path) -> None:
    film = make_video(tmp_path / "silent.mp4", seconds=1)
    with pytest.raises(SourceError, match=r"silent\.mp4 has no audio track"):
        list(AudioFile(film))


def test_a_row_fills_cuts_and_breaks() -> None:
    second = np.ones(RATE, dtype=np.float32)
    row = Continuity()
    assert joined(row.push(10.0, second))[0] == 10.0
    (jitter,) = row.push(11.05, second)
    assert (jitter.seconds, jitter.gap) == (11.0, False)
    (filled,) = row.push(13.0, second)
    assert filled.seconds == 12.0
    assert len(filled.samples) == 2 * RATE
    assert not filled.samples[:RATE].any()
    (cut,) = row.push(13.5, second)
    assert (cut.seconds, cut.end) == (14.0, 14.5)
    (far,) = row.push(40.0, second)
    assert (far.seconds, far.gap) == (40.0, True)
    (uncounted,) = row.push(None, second)
    assert (uncounted.seconds, uncounted.gap) == (41.0, False)


def test_a_full_queue_keeps_the_newest_and_counts_the_rest() -> None:
    queue = AudioQueue(room=3.0)
    for n in range(10):
        queue.put(AudioBlock(float(n), np.zeros(RATE, dtype=np.float32)))
    assert queue.dropped_s == 7.0
    assert (queue.waiting_s, queue.newest) == (3.0, 10.0)
    blocks = queue.take(0)
    assert [block.seconds for block in blocks] == [7.0, 8.0, 9.0]
    assert [block.gap for block in blocks] == [True, False, False]
    queue.close()
    queue.put(blocks[0])
    assert queue.take(0) == []
    assert queue.closed


async def test_a_looped_file_plays_its_sound_on_the_live_clock(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "loop.mp4", clicks(2.0, 48_000), rate=48_000, codec="aac", film_s=2.0)
    queue = AudioQueue()
    began = time.time()
    async with open_source(path, live=True, audio=queue) as camera, asyncio.timeout(20):
        frame = await camera.recv()
        await until(lambda: (queue.newest or 0) - frame.seconds > 2.6)
    blocks = queue.take(0)
    assert blocks[0].seconds == pytest.approx(began, abs=1.0)
    assert sum(block.gap for block in blocks) == 1, "where the film begins again"
    again = next(block for block in blocks if block.gap)
    assert again.seconds - blocks[0].seconds == pytest.approx(2.0, abs=0.3)
    assert queue.closed


async def test_a_live_stream_gives_pictures_and_sound_on_one_clock(tmp_path: Path) -> None:
    write_sound(tmp_path / "av.mkv", clicks(5.0, 48_000), rate=48_000, codec="aac", film_s=5.0)
    queue = AudioQueue()
    with WebServer(tmp_path) as server:
        async with LiveSource(server.url("av.mkv"), audio=queue) as camera, asyncio.timeout(30):
            frame = await camera.recv()
            await until(lambda: (queue.newest or 0) - frame.seconds > 1.5)
    first, samples = joined([block for block in queue.take(0) if not block.gap])
    zero = frame.seconds - painted_seconds(frame.image)
    times = [moment - zero for moment in click_times(samples, first)]
    assert times
    assert times == pytest.approx([round(moment) for moment in times], abs=0.15)


async def test_a_stream_of_sound_alone_is_a_source(tmp_path: Path) -> None:
    write_sound(tmp_path / "radio.mka", clicks(3.0, 48_000), rate=48_000, codec="aac")
    queue = AudioQueue()
    with WebServer(tmp_path) as server:
        async with LiveSource(server.url("radio.mka"), audio=queue) as radio, asyncio.timeout(30):
            await until(lambda: queue.waiting_s > 1.0)
            assert radio.state == "live"
    assert queue.take(0)[0].seconds == pytest.approx(time.time(), abs=10)


async def test_a_stream_without_sound_says_so_and_goes_on(tmp_path: Path) -> None:
    make_video(tmp_path / "mute.mp4", seconds=2)
    queue = AudioQueue()
    with WebServer(tmp_path) as server:
        async with LiveSource(server.url("mute.mp4"), audio=queue) as camera, asyncio.timeout(30):
            await camera.recv()
            assert "has no audio track" in queue.note
    assert queue.newest is None


async def test_without_a_queue_no_sound_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("sound was read")

    monkeypatch.setattr("llama_vid.stream.reader.LiveSound", refuse)
    write_sound(tmp_path / "av.mkv", clicks(2.0, 48_000), rate=48_000, codec="aac", film_s=2.0)
    with WebServer(tmp_path) as server:
        async with LiveSource(server.url("av.mkv")) as camera, asyncio.timeout(30):
            assert (await camera.recv()).image.shape[2] == 3
