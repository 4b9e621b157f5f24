"""The film that `frame` and `file` measure on: real motion at 1280x720, encoded as people's encoders do.

Pieces of real films (cyclists in a street, an animated film, clips of LLAMA_VID_DATA where that is there) are scaled to
720p and encoded once with libx264 at ordinary settings: veryfast, a key frame every 250 pictures at most, B-pictures,
25 pictures a second. Longer films repeat that: its packets are copied, so that nothing is encoded for an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av import VideoFrame
from av.video.stream import VideoStream

from benchmarks.samples import loop_film, sample_film
from evaluation.run import data_folder

WIDTH, HEIGHT, FPS = 1280, 720, 25
ROUND_S: Final = 90  # how much of it is encoded; the rest repeats
PIECE_S: Final = 12.0  # of each film at most
CLIPS: Final = 6


def motion_film(folder: Path, seconds: int) -> Path:
    """A film of that many seconds in `folder`. Raises ConfigError where the sample films are not installed."""
    once = _encoded(folder / "round.mp4", min(seconds, ROUND_S))
    return once if seconds <= ROUND_S else loop_film(once, folder / "film.mp4", seconds)


def _sources() -> list[Path]:
    films = [sample_film("bikes.mp4"), sample_film("bigbuckbunny.mp4")]
    data = data_folder()
    clips = sorted((data / "clips").glob("*.mp4")) if data is not None else []
    return films + clips[:: max(1, len(clips) // CLIPS)][:CLIPS]


def _encoded(target: Path, seconds: int) -> Path:
    with av.open(str(target), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 250, 3
        number = 0
        while number < seconds * FPS:
            for picture in _pictures():
                picture.pts, picture.time_base = number, Fraction(1, FPS)
                out.mux(stream.encode(picture))
                number += 1
                if number == seconds * FPS:
                    break
        out.mux(stream.encode(None))
    return target


def _pictures() -> Iterator[VideoFrame]:
    """The first PIECE_S seconds of every source at FPS, in the film's size."""
    for path in _sources():
        with av.open(str(path)) as film:
            video = film.streams.video[0]
            video.thread_type = "AUTO"
            rate = float(video.average_rate or FPS)
            shown = 0
            for number, picture in enumerate(film.decode(video)):
                while shown / FPS <= number / rate and shown < PIECE_S * FPS:
                    yield picture.reformat(width=WIDTH, height=HEIGHT, format="yuv420p")
                    shown += 1
                if shown >= PIECE_S * FPS:
                    break
