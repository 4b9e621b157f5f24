"""An hour of video: a clip looped for 60 minutes, asked once. 3,600 frames, at most 7,200 video tokens, 2 a frame.

    llama-vid bench hour                (or: python -m benchmarks.hour)

The floor beside it is decoding every key frame of the file and nothing else, in the same run.
"""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from benchmarks.program import ask
from benchmarks.samples import loop_film, sample_film

SECONDS = 3600
LIMIT_S = 3600.0
TOKENS_AT_MOST = 7200
QUESTION = "What is in the video?"


@dataclass(frozen=True, slots=True)
class Hour:
    """What `ask --json` said of an hour, its wall time, and the largest memory of a program in this run."""

    seconds: int
    frames: int
    video_tokens: int
    per_frame: int
    ingest_s: float
    first_token_s: float
    wall_s: float
    peak_gb: float
    decode_s: float
    answer: str

    def to_json(self) -> dict[str, Any]:
        return {
            "name": "hour",
            "n": 1,
            "seconds": self.seconds,
            "frames": self.frames,
            "video_tokens": self.video_tokens,
            "per_frame": self.per_frame,
            "as_promised": self.frames == self.seconds and self.video_tokens <= TOKENS_AT_MOST and self.per_frame == 2,
            "ingest_s": self.ingest_s,
            "times_real_time": self.seconds / self.ingest_s if self.ingest_s else None,
            "first_token_s": self.first_token_s,
            "wall_s": self.wall_s,
            "peak_gb": self.peak_gb,
            "floor": {"decode_key_frames_s": self.decode_s},
            "answer": self.answer,
        }


def decode_key_frames(path: Path) -> float:
    """Seconds that decoding the file's key frames takes."""
    started = time.perf_counter()
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        stream.codec_context.skip_frame = "NONKEY"
        for _ in film.decode(stream):
            pass
    return time.perf_counter() - started


def measure(runs: int | None = None, *, seconds: int = SECONDS) -> Hour:
    """Loop the sample film and ask about it once; `runs` is not used, one hour is enough."""
    with tempfile.TemporaryDirectory(prefix="llama-vid-hour-") as place:
        film = loop_film(sample_film(), Path(place) / "hour.mp4", seconds)
        decode_s = decode_key_frames(film)
        run = ask(str(film), QUESTION, limit_s=LIMIT_S)
    said = run.json()
    tokens, timing = said["tokens"], said["timing"]
    return Hour(
        seconds=seconds,
        frames=int(tokens["frames"]),
        video_tokens=int(tokens["video"]),
        per_frame=int(tokens["per_frame"]),
        ingest_s=float(timing["ingest_s"]),
        first_token_s=float(timing["first_token_s"]),
        wall_s=run.wall_s,
        peak_gb=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9,
        decode_s=decode_s,
        answer=str(said["answer"]),
    )


if __name__ == "__main__":
    from evaluation.report import print_table

    print_table(measure())
