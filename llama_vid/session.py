"""A live camera being watched: frames flow into memory while questions are answered from it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import UTC, tzinfo
from types import TracebackType
from typing import Final, Self

from llama_vid.camera_rules import AlertSink, CameraRules
from llama_vid.camera_speech import CameraSpeech
from llama_vid.camera_transcript import CameraTranscript
from llama_vid.caption_desk import record_of
from llama_vid.chronicle import Chronicle
from llama_vid.errors import QuestionError, SourceError
from llama_vid.film import Watching
from llama_vid.frame_queue import FrameQueue
from llama_vid.intake import Intake
from llama_vid.leisure import Leisure
from llama_vid.llm.answer import AnswerPiece, MemoryUse, Moment, Span, TokenUse
from llama_vid.llm.questions import sort_question
from llama_vid.llm.responder import Responder
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.watcher import RuleWatcher, Second
from llama_vid.llm.search import search
from llama_vid.llm.speech.caption_stream import CaptionStats
from llama_vid.llm.speech.chapters import Chapter
from llama_vid.llm.speech.words import Line
from llama_vid.llm.spoken import picture_cuts
from llama_vid.llm.spoken_questions import topic_of
from llama_vid.llm.steps import Pause
from llama_vid.llm.transcript import Encode, Heard
from llama_vid.memory.entry import MemoryEntry
from llama_vid.model_thread import ModelThread, Priority
from llama_vid.recorder import Recorder
from llama_vid.remote_answers import Asking, Conversations, RemoteAnswers
from llama_vid.stream.source import Source, SourceState, SourceStats, StateCallback
from llama_vid.upkeep import Upkeep

logger = logging.getLogger(__name__)

#: Conversations whose subject is remembered for follow-up questions.
CONVERSATIONS: Final = 256
#: Seconds until it is looked again whether another machine, that runs the language model, has sent something.
PAUSE_S: Final = 0.01


class Session:
    """One camera. `async with` opens the source and starts watching; leaving stops both.

    Frames are encoded in the model thread in batches of what has come, over all cameras; the KV cache follows behind,
    so that a question prefills only itself and the last seconds. `captioned` says whether somebody listens, where that
    is not this session (`listen`).
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
        watcher: RuleWatcher | None = None,
        on_alert: AlertSink = lambda _change: None,
        listen: Callable[[Callable[[Line], None]], CameraSpeech] | None = None,
        encode: Encode | None = None,
        captioned: bool | None = None,
        remote: RemoteAnswers | None = None,
    ) -> None:
        self.name = name
        self._source, self._responder, self._thread = source, responder, thread
        self._intake = intake
        self._transcript = CameraTranscript(
            recorder.journal, captioned=listen is not None if captioned is None else captioned
        )
        self._heard = Heard(self._transcript, encode) if encode is not None else None
        self._watching = Watching(recorder, zone, heard=self._heard)
        self._line_sinks: list[Callable[[Line], None]] = []
        self._subjects: OrderedDict[str, str] = OrderedDict()
        self._remote, self._conversations = remote, Conversations()
        self._chronicle = Chronicle(recorder.bank, responder.find, recorder.journal)
        self._upkeep = Upkeep(name, self._watching, self._chronicle, thread, leisure)
        self._rules = CameraRules(watcher, recorder, thread, on_alert) if watcher is not None else None
        self._speech = listen(self._said) if listen is not None else None
        self._frames = FrameQueue(name)
        self._over = False  # every frame of a source that has ended is in memory
        self._forgets = 0  # how often part of the memory was forgotten
        self._seen = asyncio.Condition()
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._thread.run(Priority.FRAMES, self._restore)
        if self._rules is not None:
            self._source.on_state(self._left(self._rules))
        await self._source.__aenter__()
        await self._group.__aenter__()
        if self._speech is not None:
            await self._speech.__aenter__()
        self._tasks = [
            self._group.create_task(self._frames.pull(self._source), name=f"pull-{self.name}"),
            self._group.create_task(self._watch(), name=f"watch-{self.name}"),
            self._group.create_task(self._upkeep.run(), name=f"upkeep-{self.name}"),
            self._group.create_task(self._upkeep.prepare(self._responder.preparing()), name=f"prepare-{self.name}"),
        ]
        if self._rules is not None:
            self._tasks.append(self._group.create_task(self._rules.run(), name=f"second-looks-{self.name}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            await self._group.__aexit__(None, None, None)  # an error of the caller's stays as it is, in no group
        finally:
            if self._speech is not None:
                await self._speech.__aexit__(None, None, None)
            if self._rules is not None:
                await self._rules.away()
            await self._source.__aexit__(kind, error, trace)

    @staticmethod
    def _left(rules: CameraRules) -> StateCallback:
        """Has open alerts end when the picture is gone; states come from any thread."""
        loop = asyncio.get_running_loop()

        def changed(state: SourceState, _reason: str) -> None:
            if state in ("reconnecting", "failed"):
                with contextlib.suppress(RuntimeError):  # the loop is closed: a reader thread outlived the session
                    loop.call_soon_threadsafe(rules.gone)

        return changed

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
        return SourceStats(stats.frames, stats.dropped + self._frames.dropped, stats.reconnects, stats.warnings)

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

    def on_line(self, callback: Callable[[Line], None]) -> None:
        """Call `callback(line)` with every finished line of what is said, in the event loop's thread."""
        self._line_sinks.append(callback)

    @property
    def hearing(self) -> CaptionStats | None:
        """How captions fare; None where there are none."""
        return self._speech.stats if self._speech is not None else None

    @property
    def heard_to(self) -> float | None:
        """The second up to which all that was said has been told; None before, and without captions."""
        return self._speech.settled if self._speech is not None else None

    async def wait_watched(self, seconds: float) -> None:
        """Wait until memory holds that many seconds. Raises SourceError if the source ends or fails before."""
        async with self._seen:
            await self._seen.wait_for(lambda: self.watched_s >= seconds or self._over)
        if self.watched_s < seconds:
            raise SourceError(
                f"{self.name} ended after {self.watched_s:.0f} s of the {seconds:.0f} s waited for; check the source"
            )

    async def ask(
        self, question: str, *, conversation: str | None = None, earlier: Sequence[str] = ()
    ) -> AsyncIterator[AnswerPiece]:
        """The answer in pieces; the last one carries the whole. Closing the iterator cancels. Raises QuestionError.

        A follow-up is understood by the earlier questions of its `conversation`, or by those that the caller kept
        (`earlier`, oldest first).
        """
        self._upkeep.asked()
        subject = (self._subjects.get(conversation) if conversation else None) or self._subject_of(earlier)
        forgets = self._forgets
        async with contextlib.aclosing(self._pieces(question, subject, conversation, earlier)) as items:
            async for piece in items:
                if forgets != self._forgets:
                    raise QuestionError("Part of what the answer rested on was forgotten meanwhile; ask again.")
                if piece.answer is not None and self._remote is not None:
                    self._conversations.note(conversation, question, piece.answer.answer)
                yield piece
                if isinstance(piece.delta, Pause):
                    await asyncio.sleep(PAUSE_S)  # the model's thread is others' meanwhile
        if conversation:
            said = topic_of(sort_question(question, zone=self._watching.zone), zone=self._watching.zone)
            if said:
                self._subjects[conversation] = said
                self._subjects.move_to_end(conversation)
                while len(self._subjects) > CONVERSATIONS:
                    self._subjects.popitem(last=False)

    def _pieces(
        self, question: str, subject: str | None, conversation: str | None, earlier: Sequence[str]
    ) -> AsyncGenerator[AnswerPiece, None]:
        """The pieces of an answer, computed in the model's thread, and with a remote model beside it."""

        def respond(responder: Responder) -> Iterator[AnswerPiece]:
            return responder.respond(question, self._watching, subject=subject)

        def run(pieces: Iterator[AnswerPiece]) -> AsyncGenerator[AnswerPiece, None]:
            return self._thread.iterate(Priority.QUESTION, pieces)

        if self._remote is None:
            return run(respond(self._responder))
        recorder = self._watching.recorder
        return self._remote.answer(
            Asking(
                respond, run, self._responder, recorder.kept,
                camera=self.name, zone=self._watching.zone, told=self._chronicle.spans,
                events=recorder.journal.events if recorder.journal is not None else None,
                earlier=self._conversations.before(conversation, earlier),
            )
        )  # fmt: skip

    def _subject_of(self, earlier: Sequence[str]) -> str | None:
        """What the newest question that names anything is about."""
        for question in reversed(earlier):
            with contextlib.suppress(QuestionError):  # an empty one, say: it names nothing
                if said := topic_of(sort_question(question, zone=self._watching.zone), zone=self._watching.zone):
                    return said
        return None

    async def search(
        self, text: str, start: float | None = None, end: float | None = None, limit: int = 10
    ) -> list[Moment]:
        """The moments in memory that match a text and share time with [start, end], best first."""
        first, last = float("-inf") if start is None else start, float("inf") if end is None else end
        self._upkeep.asked()
        heard, spoken_of = self._heard, list[Moment]()
        if heard is not None:
            spoken_of = await self._thread.result(Priority.QUESTION, heard.moments(text, first, last, limit))

        def found() -> list[Moment]:
            entries: Sequence[MemoryEntry] = self._watching.entries
            if start is not None or end is not None:
                entries = [entry for entry in entries if entry.end > first and entry.start <= last]
            return search(self._responder.find, entries, text, limit, spoken_of)

        return await self._thread.run(Priority.QUESTION, found)

    async def chapters(self, start: float | None = None, end: float | None = None) -> list[Chapter]:
        """The chapters of what was said that share time with [start, end], in time order."""
        heard = self._heard
        if heard is None:
            return []
        first, last = float("-inf") if start is None else start, float("inf") if end is None else end
        self._upkeep.asked()
        cuts = picture_cuts(self._watching.entries)
        return await self._thread.result(Priority.QUESTION, heard.chapters(first, last, cuts))

    async def timeline(self, start: float | None = None, end: float | None = None) -> list[Span]:
        """The captioned scenes that share time with [start, end]. Scenes not told yet have plain sentences."""
        first, last = float("-inf") if start is None else start, float("inf") if end is None else end
        return await self._thread.run(Priority.QUESTION, lambda: self._chronicle.spans(first, last))

    async def snapshot(self, seconds: float | None = None) -> bytes | None:
        """The picture nearest to a time (None: the newest frame) as JPEG."""
        recorder = self._watching.recorder
        newest = self._frames.newest
        if seconds is None and newest is not None:
            # Here and nowhere else: a second thread that computes with torch would slow the first one down.
            await self._thread.run(Priority.FRAMES, lambda: recorder.see_last(newest.image, newest.seconds))
        return await asyncio.to_thread(recorder.jpeg, seconds)

    async def forget(self, start: float, end: float, erase: Callable[[], Awaitable[None]]) -> None:
        """Forget [start, end): memory, pictures, timeline, the KV cache, and what the rules remember. `erase` has the
        journal forget; then memory takes up what the journal has left. Answers under way fail with QuestionError.
        """
        self._forgets += 1
        self._conversations.forget()
        if self._rules is not None:
            await self._rules.forget(start, end)
        self._frames.forget(start, end)
        recorder, context = self._watching.recorder, self._watching.context

        def forgotten() -> None:
            recorder.forget(start, end)
            self._chronicle.forget(start, end)
            self._transcript.forget(start, end)
            if self._heard is not None:
                self._heard.forget()
            context.forget()

        def recalled() -> None:
            recorder.recall()
            context.forget()

        await self._thread.run(Priority.FRAMES, forgotten)
        await erase()
        await self._thread.run(Priority.FRAMES, recalled)
        self._forgets += 1  # who asked meanwhile may have read the journal before it had forgotten
        self._upkeep.news(over=self._over)

    async def apply_rules(self, rules: Sequence[Rule]) -> None:
        """Take these alert rules from now on; unchanged ones keep what is open. Nothing for a camera without rules."""
        if self._rules is not None:
            await self._rules.apply(rules)

    async def pause_alerts(self, paused: bool) -> None:
        """Raise no alerts until told otherwise; open ones end."""
        if self._rules is not None:
            await self._rules.pause(paused)

    @property
    def rule_scores(self) -> tuple[Second, ...]:
        """How likely each rule was satisfied in the seconds of the last hour."""
        return self._rules.scores if self._rules is not None else ()

    def _said(self, line: Line) -> None:
        """A finished line of speech: kept, and heard by the rules; not one that was begun before it was forgotten."""
        if self._watching.recorder.has_forgotten(line.start, line.end):
            return
        self._transcript.add(line)
        for sink in self._line_sinks:
            sink(line)
        journal, rules = self._watching.recorder.journal, self._rules
        if journal is not None:
            journal.note(record_of(line))
        if rules is not None:
            self._thread.submit(Priority.FRAMES, lambda: rules.hear(line.start, line.end, line.text))

    async def _watch(self) -> None:
        recorder = self._watching.recorder
        while not self._over:
            frames, over = await self._frames.take()
            try:
                if frames:
                    await self._intake.add(recorder, frames)
            except Exception:  # one bad frame must not end a camera
                logger.exception("%s: a frame could not be taken in", self.name)
            self._over = over
            if self._rules is not None:
                self._rules.tell()
                if self._over:
                    await self._rules.away()
            self._upkeep.news(over=self._over)
            await self._tell()

    async def _tell(self) -> None:
        async with self._seen:
            self._seen.notify_all()
