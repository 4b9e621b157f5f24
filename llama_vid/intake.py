"""Frames of all cameras on their way into memory: those that come together share one forward of the image tower.

One forward of eight frames takes far less than eight forwards of one, and most cameras look at nothing that changed:
their frames need none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import torch

from llama_vid.model_thread import ModelThread, Priority
from llama_vid.recorder import BATCH, Glance, Recorder
from llama_vid.stream.frame import Frame
from llama_vid.tokenizer.tower import Encoded, ImageTower

#: Frames looked at in one job: a look takes some 3 ms, so a question waits 100 ms at most.
GLANCES: Final = 32


@dataclass(frozen=True, slots=True)
class _Arrival:
    """Frames of one camera that wait, and who waits for them."""

    recorder: Recorder
    frames: Sequence[Frame]
    done: Future[None]


class Intake:
    """Takes frames of any number of cameras into their memories, in the model thread."""

    def __init__(self, tower: ImageTower, thread: ModelThread) -> None:
        self._tower, self._thread = tower, thread
        self._waiting: deque[_Arrival] = deque()

    async def add(self, recorder: Recorder, frames: Sequence[Frame]) -> None:
        """Remember at most BATCH frames of one camera, in time order. Raises what its memory raises.

        One call at a time for each recorder.
        """
        arrival = _Arrival(recorder, frames, Future())
        self._waiting.append(arrival)
        # Whoever's job runs first takes along those that wait behind it; their own jobs then find nothing to do.
        try:
            await self._thread.run(Priority.FRAMES, self._take)
            await asyncio.wrap_future(arrival.done)
        except asyncio.CancelledError:
            arrival.done.cancel()  # a camera that was taken away: what still waits is not remembered
            raise

    def _take(self) -> None:
        """Look at what waits until there is a batch for the tower, encode it once, and hand it out."""
        looked: list[tuple[_Arrival, Glance]] = []
        seen = count = 0
        while self._waiting and (not looked or count + len(self._waiting[0].frames) <= BATCH) and seen < GLANCES:
            arrival = self._waiting.popleft()
            if not arrival.done.set_running_or_notify_cancel():
                continue
            try:
                glance = arrival.recorder.look(arrival.frames)
            except BaseException as problem:  # this camera's; the others go on
                arrival.done.set_exception(problem)
                continue
            looked.append((arrival, glance))
            seen += len(glance.frames)
            count += len(glance.pixels)
        try:
            encoded = self._tower.encode_pixels(torch.cat([glance.pixels for _, glance in looked])) if count else None
        except BaseException as problem:
            for arrival, _ in looked:
                arrival.done.set_exception(problem)
            return
        at = 0
        for arrival, glance in looked:
            rows = slice(at, at + len(glance.pixels))
            at = rows.stop
            try:
                arrival.recorder.take(glance, _part(encoded, rows))
            except BaseException as problem:
                arrival.done.set_exception(problem)
            else:
                arrival.done.set_result(None)


def _part(encoded: Encoded | None, rows: slice) -> Encoded | None:
    """The rows of one camera, or None where it needed none."""
    if encoded is None or rows.start == rows.stop:
        return None
    return encoded.rows(rows)
