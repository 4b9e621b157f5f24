"""An hour of 720p film with real motion: from opening it to its memory being complete, and to the first answer.

    llama-vid bench file                (or: python -m benchmarks.file; --seconds 600 for a shorter film)

Two floors are measured in the same run, each with nothing beside it: decoding what a frame a second needs and nothing
else (and beside it what FFmpeg takes to decode everything), and the tower on as many frames in batches of 8. Decoding
and the model share the machine's cores, so that even a perfect overlap takes longer than the larger floor.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.frame import decode_all, decode_needed
from benchmarks.motion import HEIGHT, WIDTH, motion_film
from llama_vid.model import LLaMAVID
from llama_vid.stream.file import FileSource
from llama_vid.tokenizer.tower import ImageTower

SECONDS: Final = 3600
GOAL: Final = 1.3  # ready in this many times the larger floor
BATCH: Final = 8
QUESTION: Final = "What is in the video?"


@dataclass(frozen=True, slots=True)
class FileTimes:
    """Seconds: `ready` from opening to complete memory, `first_answer` from opening to the first answer's first token
    (the language model's own), `decode` and `tower` the floors, `decode_all` FFmpeg alone on everything."""

    film: int
    frames: int
    video_tokens: int
    load: float
    ready: float
    first_answer: float
    decode: float
    decode_all: float
    tower: float
    engine: str
    answer: str

    @property
    def ratio(self) -> float:
        """How many times the larger floor it took until memory was complete."""
        return self.ready / max(self.decode, self.tower)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": "file",
            "n": 1,
            "seconds": self.film,
            "picture": f"{WIDTH}x{HEIGHT}",
            "frames": self.frames,
            "video_tokens": self.video_tokens,
            "ready_s": self.ready,
            "first_answer_s": self.first_answer,
            "times_real_time": self.film / self.ready,
            "by_larger_floor": self.ratio,
            "goal_by_larger_floor": GOAL,
            "by_sum_of_floors": self.ready / (self.decode + self.tower),
            "model_load_s": self.load,
            "engine": self.engine,
            "floor": {"decode_needed_s": self.decode, "tower_s": self.tower},
            "peer": {"ffmpeg_decode_all_s": self.decode_all},
            "answer": self.answer,
        }


def tower_floor(tower: ImageTower, film: Path, frames: int) -> float:
    """Seconds of the tower alone on that many frames in batches of 8 (real ones, squashed beforehand)."""
    images = []
    for frame in FileSource(film):
        images.append(frame.image)
        if len(images) == 8 * BATCH:
            break
    with torch.inference_mode():
        pixels = tower.pixels(images)
        tower.encode_pixels(pixels[:BATCH])
        began = time.perf_counter()
        for at in range(0, frames, BATCH):
            few = min(BATCH, frames - at)
            start = at % max(1, len(pixels) - BATCH + 1)
            tower.encode_pixels(pixels[start : start + few])
        return time.perf_counter() - began


def measure(runs: int | None = None, *, seconds: int = SECONDS, model: str = "mini") -> FileTimes:
    """Open a film of that many seconds once and ask once; `runs` is not used, an hour is enough."""
    began = time.perf_counter()
    loaded = LLaMAVID.from_pretrained(model)
    load = time.perf_counter() - began
    with tempfile.TemporaryDirectory(prefix="llama-vid-file-") as place:
        path = motion_film(Path(place), seconds)
        tower = tower_floor(loaded.bundle.tower, path, seconds)
        decode = decode_needed(path)
        began = time.perf_counter()
        film = loaded.open(path)
        ready = time.perf_counter() - began
        answer = film.ask(QUESTION)
        first = ready + answer.timing.first_token_s
        everything = decode_all(path)
    engine = loaded.bundle.tower.engine
    return FileTimes(
        film=seconds,
        frames=film.tokens.frames,
        video_tokens=film.tokens.video,
        load=load,
        ready=ready,
        first_answer=first,
        decode=decode,
        decode_all=everything,
        tower=tower,
        engine=engine.name if engine is not None else "torch modules",
        answer=answer.answer,
    )


if __name__ == "__main__":
    import argparse

    from evaluation.report import print_table

    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=int, default=SECONDS)
    print_table(measure(seconds=options.parse_args().seconds))
