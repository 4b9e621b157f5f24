"""A live camera being watched: frames flow into memory while questions are answered from it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from datetime import UTC, tzinfo
from types import TracebackType
from typing import Final, Self

from llama_vid.errors import EndOfStream, SourceError
from llama_vid.film import Watching
from llama_vid.llm.answer import AnswerPiece, Span, TokenUse
from llama_vid.llm.questions import sort_question
from llama_vid.llm.responder import Responder
from llama_vid.model_thread import ModelThread, Priority
from llama_vid.recorder import BATCH, Recorder
from llama_vid.stream.frame import Frame
from llama_vid.stream.source import Source, SourceState, SourceStats, StateCallback

logger = logging.getLogger(__name__)

#: Frames that wait for the model thread; beyond that the oldest is dropped and counted: 16 s at one a second.
WAITING: Final = 16
#: Conversations whose subject is remembered for follow-up questions.
CONVERSATIONS: Final = 256


class Session:
    """One camera. `async with` opens the source and starts watching; leaving stops both.

    Frames are encoded in the model thread in batches of what has come; the KV cache follows behind, so that a question
    prefills only itself.
    """

    def __init__(
        self,
        source: Source,
        recorder: Recorder,
        responder: Responder,
        thread: ModelThread,
        *,
        name: str,
        zone: tzinfo = UTC,
    ) -> None:
        self.name = name
        self._source, self._responder, self._thread = source, responder, thread
        self._watching = Watching(recorder, zone)
        self._subjects: OrderedDict[str, str] = OrderedDict()
        self._frames: asyncio.Queue[Frame] = asyncio.Queue(WAITING)
        self._dropped = 0
        self._newest: Frame | None = None
        self._seen = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._exit = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._exit.enter_async_context(self._source)
        self._tasks = [
            asyncio.create_task(self._pull(), name=f"pull-{self.name}"),
            asyncio.create_task(self._watch(), name=f"watch-{self.name}"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._exit.aclose()

    @property
    def state(self) -> SourceState:
        """Where the source stands."""
        return self._source.state

    @property
    def stats(self) -> SourceStats:
        """The source's counts, with the frames that the model was too slow for among the dropped."""
        stats = self._source.stats
        return SourceStats(stats.frames, stats.dropped + self._dropped, stats.reconnects, stats.warnings)

    @property
    def watched_s(self) -> float:
        """Seconds from the first to the last remembered frame's end."""
        recorder = self._watching.recorder
        return recorder.end - recorder.start

    @property
    def tokens(self) -> TokenUse:
        """Frames watched and the tokens that stand for them."""
        return self._watching.tokens

    def on_state(self, callback: StateCallback) -> None:
        """Call `callback(state, reason)` on every change of the source's state; it may come from another thread."""
        self._source.on_state(callback)

    async def wait_watched(self, seconds: float) -> None:
        """Wait until memory holds that many seconds. Raises SourceError if the source ends or fails before."""
        async with self._seen:
            await self._seen.wait_for(lambda: self.watched_s >= seconds or self._tasks[0].done())
        if self.watched_s < seconds:
            raise SourceError(
                f"{self.name} ended after {self.watched_s:.0f} s of the {seconds:.0f} s waited for; check the source"
            )

    async def ask(self, question: str, *, conversation: str | None = None) -> AsyncIterator[AnswerPiece]:
        """The answer in pieces; the last one carries the whole. Closing the iterator cancels. Raises QuestionError."""
        subject = self._subjects.get(conversation) if conversation else None
        pieces = self._responder.respond(question, self._watching, subject=subject)
        async for piece in self._thread.iterate(Priority.QUESTION, pieces):
            yield piece
        if conversation:
            said = sort_question(question, zone=self._watching.zone).subject
            if said:
                self._subjects[conversation] = said
                self._subjects.move_to_end(conversation)
                while len(self._subjects) > CONVERSATIONS:
                    self._subjects.popitem(last=False)

    async def timeline(self, start: float | None = None, end: float | None = None) -> list[Span]:
        """The captioned stretches of memory within [start, end]."""

        def work() -> list[Span]:
            bank = self._watching.recorder.bank
            entries = (
                bank.entries
                if start is None and end is None
                else bank.between(float("-inf") if start is None else start, float("inf") if end is None else end)
            )
            return self._responder.timeline(entries)

        return await self._thread.run(Priority.QUESTION, work)

    async def snapshot(self, seconds: float | None = None) -> bytes | None:
        """The picture nearest to a time (None: the newest frame) as JPEG."""
        recorder = self._watching.recorder
        newest = self._newest
        if seconds is None and newest is not None:
            await asyncio.to_thread(recorder.see_last, newest.image, newest.seconds)
        return recorder.jpeg(seconds)

    async def _pull(self) -> None:
        try:
            while True:
                frame = await self._source.recv()
                self._newest = frame
                if self._frames.full():
                    self._frames.get_nowait()
                    self._dropped += 1
                self._frames.put_nowait(frame)
        except EndOfStream:
            logger.info("%s has ended", self.name)
        except SourceError as problem:
            logger.warning("%s: %s", self.name, problem)
        finally:
            await self._tell()

    async def _watch(self) -> None:
        recorder, context = self._watching.recorder, self._watching.context
        while True:
            frames = [await self._frames.get()]
            while len(frames) < BATCH and not self._frames.empty():
                frames.append(self._frames.get_nowait())
            try:
                await self._thread.run(Priority.FRAMES, _job(recorder.add, frames))
                async for _ in self._thread.iterate(Priority.REBUILD, context.syncing(recorder.bank.entries)):
                    if not self._frames.empty():
                        break  # new frames first; what is left of the cache follows them
            except Exception:  # one bad frame must not end a camera
                logger.exception("%s: a frame could not be taken in", self.name)
            await self._tell()

    async def _tell(self) -> None:
        async with self._seen:
            self._seen.notify_all()


def _job(call: Callable[[list[Frame]], None], frames: list[Frame]) -> Callable[[], None]:
    return lambda: call(frames)
