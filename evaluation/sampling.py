"""Frames as other video models take them: so many, evenly spread over a film, or so many a second up to a most."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from llama_vid.errors import SourceError
from llama_vid.stream.file import FileSource

#: The most frames a second that a film is sampled at, whatever is asked for: `FileSource` takes no more.
FASTEST: Final = 240.0


@dataclass(frozen=True, slots=True)
class Sampled:
    """Frames of a film: `images` (N, H, W, 3) uint8 RGB, and the `seconds` at which each stands, in time order."""

    images: npt.NDArray[np.uint8]
    seconds: tuple[float, ...]
    duration: float

    @property
    def fps(self) -> float:
        """Frames a second, between the first and the last; 1 where there is only one."""
        span = self.seconds[-1] - self.seconds[0]
        return (len(self.seconds) - 1) / span if span > 0 else 1.0


def evenly(path: Path, count: int) -> Sampled:
    """`count` frames at 0, T/count, 2T/count, … of a film of T seconds. Raises SourceError for what does not decode."""
    source = FileSource(path)
    duration = source.duration
    if duration is None:  # not stated: one a second is what there is to choose from
        return _stacked(path, [(frame.seconds, frame.image) for frame in source], count)
    fps = min(FASTEST, count / max(duration, count / FASTEST))
    return _stacked(path, [(frame.seconds, frame.image) for frame in FileSource(path, fps=fps)], count, duration)


def by_rate(path: Path, fps: float, *, least: int, most: int) -> Sampled:
    """`fps` frames a second, but at least `least` and at most `most`, evenly spread. Raises SourceError."""
    duration = FileSource(path).duration
    count = most if duration is None else min(most, max(least, int(duration * fps)))
    return evenly(path, count)


def _stacked(
    path: Path, frames: list[tuple[float, npt.NDArray[np.uint8]]], count: int, duration: float | None = None
) -> Sampled:
    """At most `count` of the frames, evenly spread. Raises SourceError if there are none."""
    if not frames:
        raise SourceError(f"{path.name}: no frame could be decoded; is it a video?")
    chosen = [frames[index * len(frames) // count] for index in range(count)] if len(frames) > count else frames
    images = np.stack([image for _, image in chosen])
    return Sampled(images, tuple(seconds for seconds, _ in chosen), duration or frames[-1][0] + 1.0)
