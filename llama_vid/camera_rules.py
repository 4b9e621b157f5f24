"""A live camera's alert rules: they see every frame as it enters memory, and what they find is told at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.watcher import RuleWatcher, Second
from llama_vid.memory.alerts import AlertChange
from llama_vid.model_thread import ModelThread, Priority
from llama_vid.recorder import Recorder
from llama_vid.tokenizer.seen import Seen

logger = logging.getLogger(__name__)

#: Seconds before an event's beginning, and after it, that memory keeps in detail: what led to it, what came of it.
LED_TO_IT, CAME_OF_IT = 5.0, 30.0
AlertSink = Callable[[AlertChange], None]


class CameraRules:
    """One camera's rules between the model thread, which sees and looks again, and the event loop, which is told.

    `see` is called in the model thread, for the recorder's every frame; everything else in the event loop's thread.
    """

    def __init__(self, watcher: RuleWatcher, recorder: Recorder, thread: ModelThread, sink: AlertSink) -> None:
        self._watcher, self._recorder, self._thread, self._sink = watcher, recorder, thread, sink
        self._found: deque[AlertChange] = deque()
        self._due = asyncio.Event()  # an event waits for its second look, or the picture is gone
        self._gone = False
        self._failed = False
        recorder.on_seen = self.see

    def see(self, seen: Seen) -> None:
        """The next frame. What a rule breaks on must not cost the camera its memory."""
        try:
            self._keep(self._watcher.see(seen))
            self._failed = False
        except Exception:  # the edge between memory, which goes on, and the rules
            if not self._failed:  # once, not once a second
                logger.exception("%s: the alert rules failed on a frame", self._watcher.camera)
            self._failed = True

    def tell(self) -> None:
        """Hand out what the last frames brought."""
        while self._found:
            self._sink(self._found.popleft())
        if self._watcher.waiting:
            self._due.set()

    def gone(self) -> None:
        """The camera's picture is gone for now: what is open ends where it was seen last."""
        self._gone = True
        self._due.set()

    async def run(self) -> None:
        """Look again at events that ask for it, between questions and frames, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                if self._gone:
                    self._gone = False
                    await self.away()
                async with contextlib.aclosing(self._thread.iterate(Priority.REBUILD, self._looking())) as steps:
                    async for _ in steps:
                        self.tell()
            except Exception:  # the alert stands as it is, unverified
                logger.exception("%s: an alert could not be looked at again", self._watcher.camera)

    async def apply(self, rules: Sequence[Rule]) -> None:
        """Take these rules from now on; unchanged ones keep what is open."""
        await self._do(lambda: self._watcher.apply(rules))

    async def away(self) -> None:
        """As `gone`, done when it returns."""
        if self._watcher.open:
            await self._do(self._watcher.finish)

    async def forget(self, start: float, end: float) -> None:
        """Nothing of [start, end) is kept; what is open and began before its end is over."""
        if any(event.start < end for event in self._watcher.open):
            await self.away()
        await self._thread.run(Priority.FRAMES, lambda: self._watcher.forget(start, end))

    async def pause(self, paused: bool) -> None:
        """Raise nothing more, or go on; what is open ends."""

        def change() -> list[AlertChange]:
            self._watcher.paused = paused
            return self._watcher.finish() if paused else []

        await self._do(change)

    def hear(self, start: float, end: float, text: str) -> None:
        """A finished line of the transcript; in the model thread."""
        self._keep(self._watcher.hear(start, end, text))

    @property
    def scores(self) -> tuple[Second, ...]:
        """The last hour's scores of every rule."""
        return self._watcher.scores

    async def _do(self, work: Callable[[], list[AlertChange]]) -> None:
        """Something that concerns the watcher, in the thread that owns it; what comes of it is told."""
        await self._thread.run(Priority.FRAMES, lambda: self._keep(work()))
        self.tell()

    def _looking(self) -> Iterator[None]:
        """Second looks, in the model thread."""
        for changes in self._watcher.look_again():
            self._keep(changes)
            yield

    def _keep(self, changes: Sequence[AlertChange]) -> None:
        """Have changes told, and memory keep what they rest on; in the model thread."""
        for change in changes:
            self._found.append(change)
            if change.type != "update" and not change.event.withdrawn:
                start = change.event.start
                self._recorder.pin(start - LED_TO_IT, min(change.at, start + CAME_OF_IT))
