"""A frame's milliseconds and where they go, from the film to the language model's cache, alone and in batches of 8.

    llama-vid bench frame               (or: python -m benchmarks.frame)

A 720p film with real motion (`motion.py`) is taken in step by step, as a camera or a recording is, each step timed by
itself with nothing running beside it: decoding what a frame a second needs, converting to RGB, squashing with the look
that tells which frames changed, the tower, the compressor, memory (bank and kept pictures, JPEG encoding included), and
reading the new tokens into the KV cache. Milliseconds are medians over the batches, a frame's share each.

The peer beside it is FFmpeg (PyAV) decoding all of the same film in the same run; the floor is the tower's trunk alone.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeVar

import av
import torch

from benchmarks.motion import FPS, HEIGHT, WIDTH, motion_film
from llama_vid.bundle import Bundle, load_bundle
from llama_vid.film import Watching
from llama_vid.recorder import Recorder
from llama_vid.stream.demux import open_container, video_stream
from llama_vid.stream.file import FileSource
from llama_vid.stream.frame import Frame
from llama_vid.stream.picture import to_rgb
from llama_vid.stream.recording import Recording
from llama_vid.stream.urls import parse_url

SECONDS: Final = 90
BATCHES: Final = (1, 8)
RUNS: Final = 10  # batches of each size, after one that is not counted

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Shares:
    """Milliseconds of one frame at each step, in batches of one size."""

    look: float
    tower: float
    compressor: float
    memory: float
    kv_cache: float

    @property
    def whole(self) -> float:
        return self.look + self.tower + self.compressor + self.memory + self.kv_cache


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """By batch size; `decode` and `convert` are the same for all. `decode_all` is FFmpeg's for the whole film
    by frame, `trunk` the tower's engine alone in a batch of 8."""

    runs: int
    engine: str
    decode: float
    convert: float
    batches: dict[int, Shares]
    decode_all: float
    trunk: float

    def to_json(self) -> dict[str, Any]:
        return {
            "name": "frame",
            "n": self.runs,
            "picture": f"{WIDTH}x{HEIGHT}",
            "engine": self.engine,
            "decode_ms": self.decode,
            "convert_ms": self.convert,
            "batch": {
                str(size): {f"{step}_ms": value for step, value in asdict(shares).items()}
                | {"frame_ms": shares.whole + self.decode + self.convert}
                for size, shares in self.batches.items()
            },
            "peer": {"ffmpeg_decode_all_ms": self.decode_all},
            "floor": {"trunk_ms": self.trunk},
        }


def decode_all(film: Path) -> float:
    """Seconds that FFmpeg takes to decode every picture of a film, with the two threads that recordings get."""
    began = time.perf_counter()
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type, stream.codec_context.thread_count = "AUTO", 2
        for _ in container.decode(stream):
            pass
    return time.perf_counter() - began


def decode_needed(film: Path, fps: float = 1.0) -> float:
    """Seconds that decoding takes for the pictures that sampling at `fps` needs, and for no other."""
    url = parse_url(str(film))
    began = time.perf_counter()
    with open_container(url) as container:
        for _ in Recording(container, video_stream(container, url), url, fps=fps).pictures():
            pass
    return time.perf_counter() - began


def measure(runs: int | None = None, *, seconds: int = SECONDS, model: str = "mini") -> FrameTimes:
    """Time `runs` batches of each size (10 by default; fewer if the film ends before)."""
    runs = runs or RUNS
    bundle = load_bundle(model)
    with tempfile.TemporaryDirectory(prefix="llama-vid-frame-") as place:
        film = motion_film(Path(place), seconds)
        needed, everything = decode_needed(film), decode_all(film)
        convert = _convert_ms(film)
        frames = list(islice(FileSource(film), seconds))
    batches = {size: _shares(bundle, frames, size, runs) for size in BATCHES}
    return FrameTimes(
        runs=runs,
        engine=bundle.tower.engine.name if bundle.tower.engine is not None else "torch modules",
        decode=1000 * needed / len(frames),
        convert=convert,
        batches=batches,
        decode_all=1000 * everything / len(frames),
        trunk=trunk_ms(bundle, frames),
    )


def trunk_ms(bundle: Bundle, frames: Sequence[Frame]) -> float:
    """Milliseconds a frame that the tower's engine needs alone, in batches of 8."""
    tower = bundle.tower
    with torch.inference_mode():
        pixels = tower.pixels([frame.image for frame in frames[:8]])
        engine = tower.engine
        if engine is None:
            return median(_timed(lambda: tower.encode_pixels(pixels))[0] for _ in range(RUNS)) / len(pixels)
        ready = (pixels.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        engine.forward(ready)
        return median(_timed(lambda: engine.forward(ready))[0] for _ in range(RUNS)) / len(pixels)


def _convert_ms(film: Path) -> float:
    taken: list[float] = []
    with av.open(str(film)) as container:
        for picture in islice(container.decode(video=0), 0, 10 * FPS, FPS):
            taken.append(_timed(lambda picture=picture: to_rgb(picture))[0])  # type: ignore[misc]
    return median(taken)


def _shares(bundle: Bundle, frames: Sequence[Frame], size: int, runs: int) -> Shares:
    """The steps of a recorder's `add`, one after another, on the film's frames in batches of `size`."""
    recorder = _Stepwise(bundle)
    watching = Watching(recorder)
    rows: list[list[float]] = []
    for at in range(0, min(len(frames), (runs + 1) * size) - size + 1, size):
        batch = frames[at : at + size]
        look_ms, glance = _timed(lambda batch=batch: recorder.look(batch))  # type: ignore[misc]
        with torch.inference_mode():
            tower_ms, encoded = _timed(
                lambda glance=glance: bundle.tower.encode_pixels(glance.pixels) if len(glance.pixels) else None  # type: ignore[misc]
            )
        take_ms, _ = _timed(lambda glance=glance, encoded=encoded: recorder.take(glance, encoded))  # type: ignore[misc]
        entries = recorder.bank.entries
        cache_ms, _ = _timed(lambda entries=entries: watching.context.sync(entries))  # type: ignore[misc]
        compressor_ms = recorder.compressor_ms
        rows.append([look_ms, tower_ms, compressor_ms, take_ms - compressor_ms, cache_ms])
    return Shares(*(median(column) / size for column in zip(*rows[1:], strict=True)))


class _Stepwise(Recorder):
    """A recorder that says how long its compressor took for the frames taken last."""

    compressor_ms = 0.0

    def _compressed(self, *arguments: Any) -> Any:
        self.compressor_ms, made = _timed(lambda: super(_Stepwise, self)._compressed(*arguments))
        return made


def _timed(work: Callable[[], Made]) -> tuple[float, Made]:
    """Milliseconds that a piece of work takes, and what it makes."""
    began = time.perf_counter()
    made = work()
    return 1000 * (time.perf_counter() - began), made


if __name__ == "__main__":
    from evaluation.report import print_table

    print_table(measure())
