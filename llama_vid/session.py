"""A live camera being watched: frames flow into memory while questions are answered from it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import UTC, tzinfo
from types import TracebackType
from typing import Final, Self

from llama_vid.chronicle import Chronicle
from llama_vid.errors import EndOfStream, SourceError
from llama_vid.film import Watching
from llama_vid.intake import Intake
from llama_vid.leisure import Leisure
from llama_vid.llm.answer import AnswerPiece, MemoryUse, Span, TokenUse
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
#: Entries that the KV cache may lag behind: the weights are read once for all of them, and a question reads the rest
#: itself in some 50 ms.
READ_PAIRS: Final = 8
#: Seconds after a question in which a memory is kept read even where that takes pages from one not asked for longer.
ASKED_SECONDS: Final = 300.0
#: How often the scene that still goes on is written to the journal: what the timeline lacks at most after a crash.
NOTE_SECONDS: Final = 20.0


class Session:
    """One camera. `async with` opens the source and starts watching; leaving stops both.

    Frames are encoded in the model thread in batches of what has come, over all cameras; the KV cache follows behind,
    so that a question prefills only itself and the last seconds.
    """

    def __init__(
        self,
        source: Source,
        recorder: Recorder,
        responder: Responder,
        thread: ModelThread,
        intake: Intake,
        leisure: Leisure,
        *,
        name: str,
        zone: tzinfo = UTC,
    ) -> None:
        self.name = name
        self._source, self._responder, self._thread = source, responder, thread
        self._intake, self._leisure = intake, leisure
        self._watching = Watching(recorder, zone)
        self._subjects: OrderedDict[str, str] = OrderedDict()
        self._chronicle = Chronicle(recorder.bank, responder.find, recorder.journal)
        self._news = asyncio.Event()  # frames came into memory that nobody rested on yet
        self._read_version, self._read_entries = recorder.bank.version, 0
        self._asked_at = self._noted_at = float("-inf")
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue(WAITING)  # None: no more will come
        self._over = False  # every frame of a source that has ended is in memory
        self._dropped = 0
        self._newest: Frame | None = None
        self._seen = asyncio.Condition()
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._thread.run(Priority.FRAMES, self._restore)
        await self._source.__aenter__()
        await self._group.__aenter__()
        self._tasks = [
            self._group.create_task(self._pull(), name=f"pull-{self.name}"),
            self._group.create_task(self._watch(), name=f"watch-{self.name}"),
            self._group.create_task(self._rest(), name=f"rest-{self.name}"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            await self._group.__aexit__(None, None, None)  # an error of the caller's stays as it is, in no group
        finally:
            await self._source.__aexit__(kind, error, trace)

    def _restore(self) -> None:
        self._watching.recorder.restore()
        self._chronicle.resume()
        if self.restored:
            logger.info("%s: memory goes on with %s from the journal", self.name, self.restored)

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
    def restored(self) -> str:
        """What was taken up again from an earlier run, in words; empty where there was nothing."""
        return self._watching.recorder.restored

    @property
    def memory(self) -> MemoryUse:
        """What memory holds, and what the KV cache that mirrors it takes."""
        return self._watching.memory

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
            await self._seen.wait_for(lambda: self.watched_s >= seconds or self._over)
        if self.watched_s < seconds:
            raise SourceError(
                f"{self.name} ended after {self.watched_s:.0f} s of the {seconds:.0f} s waited for; check the source"
            )

    async def ask(self, question: str, *, conversation: str | None = None) -> AsyncIterator[AnswerPiece]:
        """The answer in pieces; the last one carries the whole. Closing the iterator cancels. Raises QuestionError."""
        self._asked_at = time.monotonic()
        subject = self._subjects.get(conversation) if conversation else None
        pieces = self._responder.respond(question, self._watching, subject=subject)
        async with contextlib.aclosing(self._thread.iterate(Priority.QUESTION, pieces)) as items:
            async for piece in items:
                yield piece
        if conversation:
            said = sort_question(question, zone=self._watching.zone).subject
            if said:
                self._subjects[conversation] = said
                self._subjects.move_to_end(conversation)
                while len(self._subjects) > CONVERSATIONS:
                    self._subjects.popitem(last=False)

    async def timeline(self, start: float | None = None, end: float | None = None) -> list[Span]:
        """The captioned scenes that share time with [start, end]. Scenes not told yet have plain sentences."""
        first, last = float("-inf") if start is None else start, float("inf") if end is None else end
        return await self._thread.run(Priority.QUESTION, lambda: self._chronicle.spans(first, last))

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
                self._put(frame)
        except EndOfStream:
            logger.info("%s has ended", self.name)
        except SourceError as problem:
            logger.warning("%s: %s", self.name, problem)
        self._put(None)

    def _put(self, frame: Frame | None) -> None:
        if self._frames.full():
            self._frames.get_nowait()
            self._dropped += 1
        self._frames.put_nowait(frame)

    async def _watch(self) -> None:
        recorder = self._watching.recorder
        while not self._over:
            waiting = [await self._frames.get()]
            while len(waiting) < BATCH and not self._frames.empty():
                waiting.append(self._frames.get_nowait())
            frames = [frame for frame in waiting if frame is not None]
            try:
                if frames:
                    await self._intake.add(recorder, frames)
            except Exception:  # one bad frame must not end a camera
                logger.exception("%s: a frame could not be taken in", self.name)
            self._over = None in waiting
            self._news.set()
            await self._tell()

    async def _rest(self) -> None:
        """Behind the frames, in idle time: memory into the KV cache, and finished scenes into the chronicle."""
        if self.restored:
            self._news.set()
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                if (self._unread >= READ_PAIRS or self._over) and self._may_read:
                    await self._read()
                while not await self._leisure.spend(self._chronicle.telling()):
                    if not self._over:
                        break  # more at the next frame
                    await asyncio.sleep(0.1)
                if time.monotonic() - self._noted_at >= NOTE_SECONDS:
                    self._noted_at = time.monotonic()
                    await self._thread.run(Priority.REBUILD, self._chronicle.note_present)
            except Exception:  # what failed is tried again with the next frame
                logger.exception("%s: memory could not be read or told", self.name)

    @property
    def _unread(self) -> int:
        """Entries that the KV cache does not hold yet; all of them after a consolidation."""
        bank = self._watching.recorder.bank
        return len(bank) - (self._read_entries if bank.version == self._read_version else 0)

    @property
    def _may_read(self) -> bool:
        """A memory that nobody asks about takes no other's place in the KV cache."""
        asked = time.monotonic() - self._asked_at < ASKED_SECONDS
        return asked or self._watching.context.fits(self._watching.entries)

    async def _read(self) -> None:
        began, first = time.monotonic(), self._read_entries == 0
        bank = self._watching.recorder.bank
        version, entries = bank.version, bank.entries
        async with contextlib.aclosing(
            self._thread.iterate(Priority.REBUILD, self._watching.context.syncing(entries))
        ) as batches:
            async for _ in batches:
                pass
        self._read_version, self._read_entries = version, len(entries)
        if first and self.restored:
            took = time.monotonic() - began
            logger.info("%s: the language model has read its memory again, in %.1f s of idle time", self.name, took)

    async def _tell(self) -> None:
        async with self._seen:
            self._seen.notify_all()
