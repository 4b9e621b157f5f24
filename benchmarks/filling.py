"""Filling a camera's journal with hours, sooner than in hours: the real memory, with each picture encoded once.

What is saved is the image tower's work on pictures that it has seen before, which gives the same features every time.
All else is the program's own and done for every frame: the glance at the pixels, the compressor with its state, folding
and consolidation, the JPEG of the picture, and the journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import torch

from benchmarks.pictures import Picture
from llama_vid.bundle import Bundle
from llama_vid.errors import LlamaVidError
from llama_vid.memory.journal import Journal
from llama_vid.recorder import BATCH, Glance, Recorder
from llama_vid.stream.frame import Frame
from llama_vid.tokenizer.tower import Encoded, ImageTower

#: Frames between two waits for the journal's writer, whose queue is meant for cameras and is bounded.
WRITTEN: Final = 256


class Features:
    """The tower's features of pictures, each computed once."""

    def __init__(self, tower: ImageTower) -> None:
        self._tower = tower
        self._known: dict[int, Encoded] = {}

    def of(self, glance: Glance, pictures: Sequence[Picture]) -> Encoded | None:
        """What `Recorder.take` needs for a glance at these pictures; None where it needs nothing."""
        wanted = [picture.number for picture, needed in zip(pictures, glance.needed, strict=True) if needed]
        new = [row for row, number in enumerate(wanted) if number not in self._known]
        if new:
            with torch.inference_mode():
                found = self._tower.encode_pixels(glance.pixels[torch.tensor(new)])
            for at, row in enumerate(new):
                one = slice(at, at + 1)  # cloned, so that a row does not keep its whole batch alive
                self._known[wanted[row]] = Encoded(
                    found.patches[one].clone(), found.embedding[one].clone(), found.luma[one].clone()
                )
        if not wanted:
            return None
        rows = [self._known[number] for number in wanted]
        return Encoded(
            torch.cat([row.patches for row in rows]),
            torch.cat([row.embedding for row in rows]),
            torch.cat([row.luma for row in rows]),
        )


def fill(
    bundle: Bundle,
    journal: Journal,
    camera: str,
    pictures: Iterator[Picture],
    features: Features,
    *,
    start: float,
    frames: int,
) -> int:
    """Let `camera` watch `frames` frames, one a second from epoch `start`; gives the entries that memory holds then.

    Raises LlamaVidError if the journal lost any of it.
    """
    recorder = Recorder(bundle, journal=journal.camera(camera))
    done = 0
    while done < frames:
        shown = list(islice(pictures, min(BATCH, frames - done)))
        glance = recorder.look([Frame(start + done + at, picture.image) for at, picture in enumerate(shown)])
        recorder.take(glance, features.of(glance, shown))
        before, done = done, done + len(shown)
        if done // WRITTEN > before // WRITTEN or done >= frames:
            journal.flush(60)
    if not journal.state.ok or journal.state.lost:
        raise LlamaVidError(f"the journal did not keep the filled memory ({journal.state.reason}); free some disk")
    return len(recorder.bank)
