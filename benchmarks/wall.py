"""A wall of real RTSP cameras on loopback, and the films that they show."""

from __future__ import annotations

import functools
import select
import subprocess
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.processes import cpu_s
from benchmarks.samples import loop_film, sample_film
from llama_vid.errors import ConfigError

SCRIPT: Final = Path(__file__).with_name("rtsp_wall.py")
SYSTEM_PYTHON: Final = "/usr/bin/python3"
START_S: Final = 30.0
FILMS: Final = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")

QUIET_SIZE: Final = (640, 360)
QUIET_RATE: Final = 15  # frames a second, and frames from one key frame to the next
NOISE: Final = 2.0  # deviation of the sensor's noise, of 255
ROUND_S: Final = 30  # a quiet film repeats after so long
MOVING_S: Final = 3  # and moves for so long of it
VARIANTS: Final = 6  # quiet films that move at different times

BUSY_SIZE: Final = (1280, 720)
BUSY_RATE: Final = 25
BUSY_KEY: Final = 50  # frames from one key frame to the next: two seconds, as cameras come from the factory

#: One picture, RGB (H, W, 3).
Image8 = npt.NDArray[np.uint8]


@functools.cache
def missing() -> str:
    """Why no wall can be shown here; empty when one can."""
    if not Path(SYSTEM_PYTHON).exists():
        return f"no {SYSTEM_PYTHON} with GStreamer's bindings"
    try:
        check = subprocess.run([SYSTEM_PYTHON, str(SCRIPT), "--check"], capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "GStreamer does not answer"
    lines = check.stderr.strip().splitlines() or ["GStreamer's RTSP server is missing"]
    return "" if check.returncode == 0 else lines[-1]


class Wall:
    """`with Wall(films, 30) as wall: wall.urls`: that many cameras, from one process of their own.

    Raises ConfigError where GStreamer is missing or does not start.
    """

    def __init__(self, films: Sequence[Path], count: int) -> None:
        self._films, self._count = films, count
        self._process: subprocess.Popen[str] | None = None
        self.urls: list[str] = []

    def __enter__(self) -> Self:
        if why := missing():
            raise ConfigError(f"the benchmark of cameras needs GStreamer's RTSP server: {why}")
        line = [SYSTEM_PYTHON, str(SCRIPT), "--count", str(self._count), *map(str, self._films)]
        self._process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        ready = select.select([self._process.stdout], [], [], START_S)[0]
        word, _, port = (self._process.stdout.readline() if ready else "").partition(" ")
        if word != "ready":
            self.__exit__(None, None, None)
            raise ConfigError("the RTSP server did not start; run: python3 benchmarks/rtsp_wall.py --check")
        self.urls = [f"rtsp://127.0.0.1:{int(port)}/{number}" for number in range(self._count)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time that the cameras' process has taken."""
        assert self._process is not None
        return cpu_s(self._process.pid)


def quiet_films(folder: Path, seconds: int, *, variants: int = VARIANTS) -> list[Path]:
    """Films of a still place: a clip's first frame with sensor noise, which moves for MOVING_S of every ROUND_S.

    640×360, a key frame every second. Each variant moves at another time, so that not all cameras do at once.
    """
    out: list[Path] = []
    dice = np.random.default_rng(1)
    noise = [dice.normal(0, NOISE, (QUIET_SIZE[1], QUIET_SIZE[0], 3)).astype(np.float32) for _ in range(8)]
    for variant in range(variants):
        clip = list(islice(clip_images(FILMS[variant % len(FILMS)], QUIET_SIZE), MOVING_S * QUIET_RATE // 2 + 1))
        moving = [*clip, *clip[-2:0:-1]]  # there and back again: no cut
        begins = QUIET_RATE * (ROUND_S * variant // variants + 1)
        images = (
            moving[at - begins] if 0 <= at - begins < len(moving) else clip[0] for at in range(QUIET_RATE * ROUND_S)
        )
        noisy = (
            np.clip(image + noise[int(dice.integers(len(noise)))] + 0.5, 0, 255).astype(np.uint8) for image in images
        )
        path = write_film(folder / f"round-{variant}.mp4", noisy, QUIET_SIZE, QUIET_RATE, QUIET_RATE)
        out.append(loop_film(path, folder / f"quiet-{variant}.mp4", seconds))
    return out


def busy_films(folder: Path, seconds: int) -> list[Path]:
    """Films that always move: real clips at 1280×720 and 25 frames a second, a key frame every two seconds."""
    out: list[Path] = []
    for number, name in enumerate(FILMS):
        images = clip_images(name, BUSY_SIZE)
        path = write_film(folder / f"clip-{number}.mp4", images, BUSY_SIZE, BUSY_RATE, BUSY_KEY)
        out.append(loop_film(path, folder / f"busy-{number}.mp4", seconds))
    return out


def clip_images(name: str, size: tuple[int, int]) -> Iterator[Image8]:
    """Every frame of a sample film at `size` (width, height)."""
    with av.open(str(sample_film(name))) as film:
        for picture in film.decode(video=0):
            yield np.asarray(Image.fromarray(picture.to_ndarray(format="rgb24")).resize(size))


def write_film(path: Path, images: Iterator[Image8], size: tuple[int, int], rate: int, key_every: int) -> Path:
    """H.264 as cameras send it: no frames out of order, a key frame every `key_every` frames and nowhere else."""
    group = f"keyint={key_every}:min-keyint={key_every}:scenecut=0:bframes=0"
    options = {"preset": "veryfast", "tune": "zerolatency", "crf": "24", "x264-params": group}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate), options=options)
        stream.width, stream.height, stream.pix_fmt = size[0], size[1], "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path
