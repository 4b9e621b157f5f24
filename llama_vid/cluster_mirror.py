"""A camera's memory where questions are answered: what its worker remembers, step by step, and a session over it.

The worker appends to its bank and sends each entry on; the mirror's bank appends the same entries under the same
policy, so both hold the same. A worker that is new to the camera, or finds that the mirror has missed something, sends
all.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self

import torch

from llama_vid.cluster_wire import Pinned, Step, Steps
from llama_vid.errors import LlamaVidError
from llama_vid.llm.speech.words import Line
from llama_vid.memory.entry import MemoryEntry
from llama_vid.model_thread import ModelThread, Priority
from llama_vid.recorder import Glance, Recorder
from llama_vid.session import Session
from llama_vid.stream.frame import Frame
from llama_vid.stream.source import SourceState, SourceStats, StateCallback
from llama_vid.tokenizer.stillness import StillGate


class SentRecorder(Recorder):
    """The worker's recorder: what happens to its memory is queued for the mirror."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.steps: deque[Step] = deque()  # filled in the model thread, emptied in the event loop's

    def append(self, entry: MemoryEntry) -> None:
        """As Recorder's."""
        super().append(entry)
        self.steps.append(entry)

    def pin(self, start: float, end: float) -> None:
        """As Recorder's."""
        super().pin(start, end)
        self.steps.append(Pinned(start, end))

    def missed(self) -> None:
        """The frames of the last look were not encoded: the next ones are."""
        self._gate = StillGate()

    def all(self) -> Steps:
        """The whole bank, in place of what is queued. In the model thread."""
        self.steps.clear()
        return Steps.of(self.bank.entries)


class MirrorRecorder(Recorder):
    """The memory of a camera that is watched elsewhere. Pictures come from its worker, through the journal."""

    def take_steps(self, steps: Sequence[Step]) -> None:
        """What happened at the worker, in order."""
        for step in steps:
            if isinstance(step, Pinned):
                self.bank.pin(step.start, step.end)
            else:
                self.bank.append(step)

    def hold(self, steps: Sequence[Step], restored: str) -> None:
        """Hold this memory and nothing else."""
        self.restored = restored
        entries = [replace(step, embedding=step.embedding.half()) for step in steps if isinstance(step, MemoryEntry)]
        self.bank.replace(entries)

    def restore(self) -> None:
        """Nothing: the worker sends what it restored."""

    def recall(self) -> None:
        """Nothing, as `restore`."""

    def pin(self, start: float, end: float) -> None:
        """Nothing: the worker pins."""


class MirrorSession(Session):
    """What answers for a camera that is watched elsewhere."""

    @property
    def mirror(self) -> MirrorRecorder:
        """Its memory."""
        recorder = self._watching.recorder
        assert isinstance(recorder, MirrorRecorder)
        return recorder

    async def hold(self, steps: Sequence[Step], restored: str) -> None:
        """Its memory is this, from now on."""
        await self._thread.run(Priority.FRAMES, lambda: self.mirror.hold(steps, restored))
        self._upkeep.news()

    async def take_steps(self, steps: Sequence[Step]) -> None:
        """Its memory goes on."""
        await self._thread.run(Priority.FRAMES, lambda: self.mirror.take_steps(steps))
        self._upkeep.news()

    def hear(self, line: Line) -> None:
        """A finished line of what is said; the worker keeps it on disk."""
        self._transcript.add(line)


class IdleSource:
    """The source of a camera that is watched elsewhere: no frame ever comes."""

    state: SourceState = "live"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def recv(self) -> Frame:
        """Waits until cancelled."""
        await asyncio.Event().wait()
        raise AssertionError

    @property
    def stats(self) -> SourceStats:
        """Nothing."""
        return SourceStats()

    def on_state(self, callback: StateCallback) -> None:
        """Nothing to tell."""


class Mirrors(Protocol):
    """The language model's host, as a worker uses it. Both say how many steps the mirror has had since `begin`."""

    async def begin(self, camera: str, epoch: int, steps: Steps, restored: str, watch_for: str | None) -> int: ...

    async def append(self, camera: str, epoch: int, at: int, steps: Steps) -> int: ...


class Feed:
    """Sends one camera's steps to its mirror, in order, as they come; all of them where the mirror has missed any."""

    def __init__(self, camera: str, epoch: int, recorder: SentRecorder, thread: ModelThread, mirrors: Mirrors) -> None:
        self._camera, self._epoch, self._recorder = camera, epoch, recorder
        self._thread, self._mirrors = thread, mirrors
        self._due = asyncio.Event()
        self._due.set()  # the mirror hears of what was restored
        self._count: int | None = None  # steps that the mirror has; None: it must hear all
        self.sent_bytes = 0

    def news(self) -> None:
        """There are steps to send."""
        self._due.set()

    def renew(self) -> None:
        """The mirror must hear all."""
        self._count = None
        self._due.set()

    async def run(self, retry_s: float = 0.5) -> None:
        """Send until cancelled. What does not get through is sent again, as a whole."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self.send()
            except LlamaVidError:
                self._count = None
                await asyncio.sleep(retry_s)
                self._due.set()

    async def send(self) -> None:
        """Send what waits. Raises LlamaVidError where the mirror cannot be reached."""
        recorder = self._recorder
        if self._count is None:
            whole = await self._thread.run(Priority.FRAMES, recorder.all)
            self.sent_bytes += whole.nbytes
            self._count = await self._mirrors.begin(
                self._camera, self._epoch, whole, recorder.restored, recorder.watch_for
            )
        waiting: list[Step] = []
        while recorder.steps:
            waiting.append(recorder.steps.popleft())
        if not waiting:
            return
        packed = Steps.of(waiting)
        self.sent_bytes += packed.nbytes
        found = await self._mirrors.append(self._camera, self._epoch, self._count, packed)
        if found == self._count + len(waiting):
            self._count = found
        else:
            self.renew()


class DistantIntake:
    """Takes frames into memories as `Intake` does; the tower is the pool, which joins the cameras' frames itself."""

    def __init__(self, encode: Callable[[Any], Awaitable[Any]], thread: ModelThread) -> None:
        self._encode, self._thread = encode, thread
        self.frames, self.seconds = 0, 0.0  # taken in, and how long each waited for that, together

    async def add(self, recorder: SentRecorder, frames: Sequence[Frame]) -> None:
        """Remember frames of one camera, in time order. Raises what its memory or the pool raises."""
        from llama_vid.cluster_parts import DistantTower

        tower, began = recorder.bundle.tower, time.perf_counter()
        assert isinstance(tower, DistantTower)
        glance: Glance = await self._thread.run(Priority.FRAMES, lambda: recorder.look(frames))
        features = None
        if len(glance.pixels):
            try:
                features = await self._encode(glance.pixels.numpy())
            except BaseException:
                await asyncio.shield(self._thread.run(Priority.FRAMES, recorder.missed))
                raise

        def take() -> None:
            with torch.inference_mode():
                encoded = tower.joined(glance.pixels, features) if features is not None else None
            recorder.take(glance, encoded)

        await self._thread.run(Priority.FRAMES, take)
        self.frames += len(frames)
        self.seconds += (time.perf_counter() - began) * len(frames)
