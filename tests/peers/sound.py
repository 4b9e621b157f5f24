"""Files with sound whose times can be checked: a click on every second, twice as long at every tenth."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from tests.peers.video import paint

Wave = npt.NDArray[np.float32]


def clicks(seconds: float, rate: int = 16_000, *, first: float = 0.0) -> Wave:
    """Silence with a 50 ms tone at every whole second, (n,) float32; `first` is the time of the first sample."""
    times = first + np.arange(round(seconds * rate)) / rate
    wave: Wave = (0.5 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    wave[times % 1.0 >= 0.05] = 0.0
    return wave


def click_times(samples: Wave, first: float, rate: int = 16_000) -> list[float]:
    """When the tones of `clicks` begin in a recording of them whose first sample is at `first`."""
    loud = np.abs(samples) > 0.1
    starts = [n for n in np.flatnonzero(loud) if not loud[max(0, n - rate // 4) : n].any()]
    return [first + float(n) / rate for n in starts]


def write_sound(
    path: Path,
    wave: Wave,
    *,
    rate: int = 16_000,
    codec: str = "flac",
    layout: str = "mono",
    start: float = 0.0,
    film_s: float = 0.0,
    film_start: float = 0.0,
    missing: tuple[float, float] | None = None,
) -> Path:
    """A file with that sound in every channel, from `start` on; with `film_s` also pictures that show their time.

    `missing` leaves out the packets between two times (seconds into the wave).
    """
    with av.open(str(path), "w") as out:
        film = None
        if film_s:
            film = out.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
            film.width, film.height, film.pix_fmt = 192, 108, "yuv420p"
        stream = out.add_stream(codec, rate=rate, layout=layout)
        for n in range(round(film_s * 10)):
            assert film is not None
            picture = av.VideoFrame.from_ndarray(paint(n * 100), format="rgb24")
            picture.pts = n + round(film_start * 10)
            out.mux(film.encode(picture))
        if film is not None:
            out.mux(film.encode(None))
        channels = len(av.AudioLayout(layout).channels)
        resampler = av.AudioResampler(format=stream.codec_context.format.name, layout=layout, rate=rate)
        size = stream.codec_context.frame_size or 1024
        for at in range(0, len(wave), size):
            piece = np.ascontiguousarray(np.repeat(wave[None, at : at + size], channels, axis=0))
            block = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
            block.sample_rate, block.pts = rate, at + round(start * rate)
            for ready in resampler.resample(block):
                for packet in stream.encode(ready):
                    into = at / rate
                    if missing is None or not missing[0] <= into < missing[1]:
                        out.mux(packet)
        out.mux(stream.encode(None))
    return path
