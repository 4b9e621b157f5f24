"""One camera at its worker: frames in, memory and journal written, rules watched, the mirror fed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from llama_vid.bundle import Bundle
from llama_vid.camera_rules import CameraRules
from llama_vid.camera_speech import CameraSpeech
from llama_vid.caption_desk import record_of
from llama_vid.cluster_mirror import DistantIntake, Feed, Mirrors, SentRecorder
from llama_vid.cluster_wire import CameraNews, Order
from llama_vid.errors import EndOfStream, LlamaVidError
from llama_vid.frame_queue import FrameQueue
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.scoring import RuleScorer
from llama_vid.llm.rules.watcher import RuleWatcher, SecondLook
from llama_vid.llm.speech.recogniser import Hearing
from llama_vid.llm.speech.words import CaptionEvent, Line
from llama_vid.memory.alerts import AlertChange
from llama_vid.memory.journal import Journal
from llama_vid.memory.lease import FencedError
from llama_vid.model_thread import ModelThread, Priority
from llama_vid.stream.audio import AudioQueue
from llama_vid.stream.frame import Frame
from llama_vid.stream.masking import MaskedSource
from llama_vid.stream.opening import open_source
from llama_vid.stream.source import Source, SourceState, SourceStats
from llama_vid.stream.status import Status, Told

logger = logging.getLogger(__name__)

#: The channel of a camera's journal through which alerts reach the front server.
FRONT: Final = "front"
#: A worker that was killed holds the folder's lock for a moment longer than its actor lives.
LOCKED_S: Final = 5.0
#: Alerts handed to the front at a time.
ALERTS: Final = 50
#: Caption events that wait for the front: half a minute of a fast talker's partial captions.
SAID: Final = 256


class PushedSource(Told):
    """The source of frames that somebody else has, who pushes them here; `stats` are what came."""

    def __init__(self, name: str) -> None:
        self._status = Status(name)
        self._frames = FrameQueue(name)
        self._count = 0

    async def push(self, frame: Frame | None) -> None:
        """The next frame, or None: there will be none. The oldest is dropped where nobody takes them."""
        if frame is not None:
            self._status.set("live", "")
            self._count += 1
        self._frames.put(frame)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.set("ended", "closed")

    async def recv(self) -> Frame:
        """The next frame. Raises EndOfStream after the last."""
        frame = await self._frames.get()
        if frame is None:
            self._status.set("ended", "the source is over")
            raise EndOfStream("the source is over")
        return frame

    @property
    def stats(self) -> SourceStats:
        """Frames that came, and those that nobody took."""
        return SourceStats(self._count, self._frames.dropped, 0, [])


def open_journal(order: Order, wait_s: float = LOCKED_S) -> Journal:
    """The camera's journal, owned under the order's number. Raises FencedError where a later owner has it,
    LlamaVidError where another process does not let go of it.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            journal = Journal(
                Path(order.folder), retention_days=order.retention_days, retention_gb=order.retention_gb,
                model=order.tokens, epoch=order.epoch,
            )  # fmt: skip
        except FencedError:
            raise
        except LlamaVidError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            journal.alerts.channels([FRONT])
            return journal


class Keeper:
    """One camera, from `async with` to its end. All methods run in the event loop's thread."""

    def __init__(
        self,
        order: Order,
        bundle: Bundle,
        thread: ModelThread,
        intake: DistantIntake,
        mirrors: Mirrors,
        *,
        look: SecondLook,
        recent_minutes: float,
        load_hearing: Callable[[str, str, int], Hearing],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.order = order
        self._bundle, self._thread, self._intake, self._mirrors = bundle, thread, intake, mirrors
        self._look, self._recent_minutes, self._load_hearing, self._wake = look, recent_minutes, load_hearing, wake
        self._frames = FrameQueue(order.name)
        self._over = False
        self._group = asyncio.TaskGroup()
        self._stack = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._state: tuple[str, str] = ("connecting", "")
        self._given = 0  # the last alert handed to the front
        self.said: deque[CaptionEvent | Line] = deque(maxlen=SAID)
        self._speech: CameraSpeech | None = None

    async def __aenter__(self) -> Self:
        order = self.order
        self.journal = await asyncio.to_thread(open_journal, order)
        try:
            await self._open(order)
        except BaseException:
            await asyncio.to_thread(self.journal.close)
            raise
        return self

    async def _open(self, order: Order) -> None:
        self.camera = self.journal.camera(order.name)
        self.recorder = await self._thread.run(Priority.FRAMES, self._restored)
        self.feed = Feed(order.name, order.epoch, self.recorder, self._thread, self._mirrors)
        self._source = self._opened_source(order)
        watcher = await self._thread.run(Priority.FRAMES, self._watcher)
        watcher.paused = order.paused
        self.rules = CameraRules(watcher, self.recorder, self._thread, self._alert)
        loop = asyncio.get_running_loop()

        def changed(state: SourceState, reason: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._changed, state, reason)

        self._source.on_state(changed)
        await self._source.__aenter__()
        await self._group.__aenter__()
        if self._speech is not None:
            await self._speech.__aenter__()
        work = {
            "pull": self._frames.pull(self._source),
            "watch": self._watch(),
            "looks": self.rules.run(),
            "feed": self.feed.run(),
        }
        self._tasks = [self._group.create_task(what, name=f"{name}-{order.name}") for name, what in work.items()]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            if self._speech is not None:
                await self._speech.__aexit__(None, None, None)
            await self._source.__aexit__(None, None, None)
            await asyncio.to_thread(self.journal.close)

    def _restored(self) -> SentRecorder:
        recorder = SentRecorder(
            self._bundle, watch_for=self.order.watch_for, recent_minutes=self._recent_minutes, journal=self.camera
        )
        recorder.restore()
        return recorder

    def _watcher(self) -> RuleWatcher:
        scorer = RuleScorer(self._bundle.scorer, self._bundle.tower)
        return RuleWatcher(self.order.name, self.order.rules, scorer, self._look, zone=self.order.zone or UTC)

    def _opened_source(self, order: Order) -> Source:
        self.pushed = PushedSource(order.name) if order.url is None else None
        queue = AudioQueue() if order.captions and order.url is not None else None
        opened: Source = self.pushed or open_source(
            order.url or "", fps=order.fps, live=True, audio=queue, decoder=order.decoder
        )
        if queue is not None:
            wanted = order.captions
            load = partial(self._load_hearing, wanted.model, wanted.language or "", wanted.threads)
            self._speech = CameraSpeech(
                load, queue, hotwords=wanted.hotwords, name=order.name, sink=self.said.append, keep=self._heard
            )
        return MaskedSource(opened, order.masks, None) if order.masks else opened

    @property
    def news(self) -> CameraNews:
        """How it fares."""
        recorder, stats = self.recorder, self._source.stats
        bank, journal = recorder.bank, self.journal.state
        state = (str(self._source.state), self._state[1])
        dropped = stats.dropped + self._frames.dropped
        return CameraNews(
            *state, SourceStats(stats.frames, dropped, stats.reconnects, list(stats.warnings)),
            recorder.start, recorder.end, bank.frames, len(bank), bank.tokens, bank.budget.frames_tokens,
            recorder.restored, self._speech.stats if self._speech is not None else None,
            self._speech.settled if self._speech is not None else None, self._over,
            journal.reason if "taken over" in journal.reason else "",
        )  # fmt: skip

    def alerts(self) -> list[tuple[str, int, AlertChange]]:
        """What the front has not got yet, oldest first, each once: what gets lost the next owner tells again."""
        found = self.journal.alerts.undelivered(FRONT, ALERTS)
        fresh = [(self.order.name, out.seq, out.change) for out in found if out.seq > self._given]
        self._given = max([self._given, *(seq for _, seq, _ in fresh)])
        return fresh

    def acknowledge(self, number: int) -> None:
        """The front has everything up to this number on its own disk."""
        self.journal.alerts.delivered(FRONT, number)

    async def forget(self, start: float, end: float) -> None:
        """Forget [start, end) in memory and rules; the journal is told by whoever asked, and then `recall`."""
        await self.rules.forget(start, end)
        self._frames.forget(start, end)
        await self._thread.run(Priority.FRAMES, lambda: self.recorder.forget(start, end))

    async def recall(self) -> None:
        """Hold what the journal has left, and have the mirror hold the same."""
        await self._thread.run(Priority.FRAMES, self.recorder.recall)
        self.feed.renew()
        await self.feed.send()

    async def apply_rules(self, rules: Sequence[Rule]) -> None:
        """Take these rules from now on."""
        await self.rules.apply(rules)

    async def snapshot(self, seconds: float | None) -> bytes | None:
        """The picture nearest to a time (None: the newest frame) as JPEG."""
        recorder, newest = self.recorder, self._frames.newest
        if seconds is None and newest is not None:
            await self._thread.run(Priority.FRAMES, lambda: recorder.see_last(newest.image, newest.seconds))
        return await asyncio.to_thread(recorder.jpeg, seconds)

    def _alert(self, change: AlertChange) -> None:
        number = self.journal.alerts.record(change)
        waiting = asyncio.ensure_future(self.journal.alerts.committed(number, 1.0))
        waiting.add_done_callback(lambda _: self._wake())

    def _heard(self, line: Line) -> None:
        if self.recorder.has_forgotten(line.start, line.end):
            return
        self.said.append(line)
        self.camera.note(record_of(line))
        self._thread.submit(Priority.FRAMES, lambda: self.rules.hear(line.start, line.end, line.text))

    def _changed(self, state: SourceState, reason: str) -> None:
        self._state = (state, reason)
        if state in ("reconnecting", "failed"):
            self.rules.gone()
        self._wake()

    async def _watch(self) -> None:
        while not self._over:
            frames, over = await self._frames.take()
            try:
                if frames:
                    await self._intake.add(self.recorder, frames)
            except Exception:  # one bad frame must not end a camera
                logger.exception("%s: a frame could not be taken in", self.order.name)
            self.rules.tell()
            self.feed.news()
            if over:
                await self.rules.away()
            self._over = over
            self._wake()
