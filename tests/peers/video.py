"""Videos made at run time whose every picture shows its own time, so that tests check times for real."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream

BITS = 24
Rgb = npt.NDArray[np.uint8]


def paint(milliseconds: int, width: int = 192, height: int = 108) -> Rgb:
    """A picture that shows `milliseconds` as BITS black or white bars, with their opposites below as a check."""
    image = np.full((height, width, 3), 90, dtype=np.uint8)
    for bit in range(BITS):
        on = bool(milliseconds >> bit & 1)
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        image[: height // 3, left:right] = 255 if on else 0
        image[height // 3 : 2 * height // 3, left:right] = 0 if on else 255
    return image


def painted_seconds(image: Rgb) -> float:
    """The time in seconds that a picture made by `paint` shows, whatever its size. Fails on any other picture."""
    height, width = image.shape[:2]
    value = 0
    for bit in range(BITS):
        x = int((bit + 0.5) * width / BITS)
        upper = float(image[height // 12 : height // 4, x].mean())
        lower = float(image[5 * height // 12 : 7 * height // 12, x].mean())
        assert abs(upper - lower) > 60, f"bar {bit} cannot be read: {upper:.0f} over {lower:.0f}"
        value |= (upper > lower) << bit
    return value / 1000


def make_video(
    path: Path,
    *,
    seconds: float = 10.0,
    fps: float = 25.0,
    size: tuple[int, int] = (192, 108),
    group: int = 50,
    b_frames: int = 2,
    times: Sequence[float] | None = None,
    start: float = 0.0,
    turn: int = 0,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a video whose picture at t seconds shows t; the container follows from the path's suffix.

    `times` gives each picture's own time (variable rate). `start` shifts all stamps. `turn` stores the pictures turned
    by that many degrees, with a display matrix that turns them back.
    """
    stamps = list(times) if times is not None else [n / fps for n in range(round(seconds * fps))]
    ticks = round(fps) if path.suffix == ".avi" else 90_000  # AVI counts pictures, it has no finer clock
    with av.open(str(path), "w", container_options=container_options or {}) as out:
        stream = out.add_stream(
            codec,
            rate=Fraction(fps).limit_denominator(1001),
            options={"preset": "ultrafast"} if options is None else options,
        )
        assert isinstance(stream, VideoStream)
        width, height = size if turn % 180 == 0 else size[::-1]
        stream.width, stream.height = width, height
        chroma = "yuv420p" if width % 2 == 0 and height % 2 == 0 else "yuv444p"
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else chroma
        stream.codec_context.time_base = Fraction(1, ticks)
        stream.time_base = Fraction(1, ticks)
        stream.codec_context.gop_size = group
        stream.codec_context.max_b_frames = b_frames
        stream.codec_context.thread_count = 1
        if turn:
            stream.set_display_rotation(turn)
        for stamp in stamps:
            image = np.ascontiguousarray(np.rot90(paint(round(stamp * 1000), *size), -turn // 90))
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.time_base = Fraction(1, ticks)
            picture.pts = round((stamp + start) * ticks)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path


def make_sound(path: Path, seconds: float = 2.0) -> Path:
    """Write a file that holds only sound (a quiet tone)."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16_000)
        wave = (np.sin(np.arange(round(seconds * 16_000)) / 16) * 0.1).astype(np.float32)
        for at in range(0, len(wave), 1024):
            block = av.AudioFrame.from_ndarray(wave[None, at : at + 1024], format="fltp", layout="mono")
            block.sample_rate, block.pts = 16_000, at
            out.mux(stream.encode(block))
        out.mux(stream.encode(None))
    return path
