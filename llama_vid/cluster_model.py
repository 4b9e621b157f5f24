"""The cluster behind the front server: what the server needs of a model and of a session, done by Ray's actors.

`ClusterModel` and `ClusterSession` fulfil `live_types.LiveModel` and `LiveSession`, as `LLaMAVID` and `Session` do in
one process: the server, its routes and its page are the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
from zoneinfo import ZoneInfo

import ray
from ray.exceptions import RayError

from llama_vid.cluster_calls import UnreachableError, call, journal_call, told
from llama_vid.cluster_journal import Call, FrontJournal
from llama_vid.cluster_supervisor import Launcher, Supervisor
from llama_vid.cluster_wire import CameraNews, Order
from llama_vid.errors import EndOfStream, LlamaVidError, ProtocolError, SourceError
from llama_vid.llm.answer import AnswerPiece, MemoryUse, Moment, Span, TokenUse
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.speech.words import CaptionEvent, Line
from llama_vid.memory.alerts import AlertChange
from llama_vid.settings import Config
from llama_vid.settings_captions import OFF, CaptionSettings
from llama_vid.settings_privacy import Corners
from llama_vid.stream.hardware import Decoder
from llama_vid.stream.view import View

if TYPE_CHECKING:
    from llama_vid.llm.speech.caption_stream import CaptionStats
    from llama_vid.llm.speech.chapters import Chapter
    from llama_vid.rule_trial import Trial
    from llama_vid.stream.source import SourceStats

logger = logging.getLogger(__name__)

LANGUAGE: Final = "the language model"
#: Answers and searches wait their turn behind others; whoever asks hangs up when it is enough.
ASK_S: Final = 120.0
#: How long alerts wait for the front's disk before the worker is told later.
DISK_S: Final = 5.0


class Started(Launcher, Protocol):
    """A running cluster (`cluster_ray.RayCluster`)."""

    @property
    def reader(self) -> Any: ...
    @property
    def model_name(self) -> str: ...
    @property
    def tokens(self) -> str | None: ...
    def first_workers(self) -> list[Any]: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Watched:
    """How the server wants a camera watched; the session makes an order of it."""

    source: Any
    order: Order
    on_alert: Callable[[AlertChange], None]
    on_caption: Callable[[CaptionEvent], None]


class ClusterModel:
    """A cluster at work, as the server's model. Its supervisor begins with the first camera."""

    def __init__(self, cluster: Started, config: Config, journal: FrontJournal) -> None:
        self._cluster, self._config, self._journal = cluster, config, journal
        self._supervisor: Supervisor | None = None
        journal.owner = self._owner

    @property
    def name(self) -> str:
        """The model's name."""
        return self._cluster.model_name

    @property
    def reader(self) -> Any:
        """The language model's host."""
        return self._cluster.reader

    @property
    def supervisor(self) -> Supervisor:
        """Who places cameras; begins when it is first wanted, in the event loop."""
        if self._supervisor is None:
            self._supervisor = Supervisor(self._cluster, self._cluster.first_workers(), self._on_disk)
        return self._supervisor

    def watch(
        self,
        source: Any,
        *,
        name: str = "camera",
        fps: float = 1.0,
        watch_for: str | None = None,
        rules: Sequence[Rule] = (),
        on_alert: Callable[[AlertChange], None] = lambda _change: None,
        captions: CaptionSettings = OFF,
        on_caption: Callable[[CaptionEvent], None] = lambda _event: None,
        masks: Sequence[Corners] = (),
        view: View | None = None,
        decoder: Decoder = "auto",
    ) -> ClusterSession:
        """A camera, watched by one of the workers. A source that is no address (a WHIP publisher) stays in this
        process, and its frames are pushed to the worker; its sound is not recognised.
        """
        config = self._config
        folder = str(self._journal.camera_folder(name))
        order = Order(
            name, source if isinstance(source, str) else None, 0, folder, fps, watch_for, tuple(rules),
            False, captions, tuple(masks), ZoneInfo(config.timezone) if config.timezone else None,
            config.memory.retention_days, config.memory.retention_gb / max(1, len(config.cameras)),
            decoder, self._cluster.tokens,
        )  # fmt: skip
        return ClusterSession(self, Watched(source, order, on_alert, on_caption))

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of the language model each text has."""
        found: list[int] = await call(self.reader, "count_tokens", list(texts), whom=LANGUAGE)
        return found

    async def try_rules(self, camera: str, rules: Sequence[Rule], start: float, end: float) -> Trial:
        """What rules would have raised over what is kept of a camera between two times."""
        actor = await self.supervisor.owner(camera)
        found: Trial = await call(
            actor, "try_rules", camera, list(rules), start, end, whom=f"{camera}'s worker", timeout=ASK_S
        )
        return found

    async def close(self) -> None:
        """End workers, language model and pool."""
        if self._supervisor is not None:
            await self._supervisor.close()
        await self._cluster.close()

    def _owner(self, name: str) -> Call | None:
        actor = self._supervisor.actor_of(name) if self._supervisor is not None else None
        return journal_call(actor, name) if actor is not None else None

    async def _on_disk(self) -> bool:
        """Whether all alerts that were told so far are on the front's disk."""
        alerts = self._journal.alerts
        return await alerts.committed(alerts.last, DISK_S)


class ClusterSession:
    """One camera of the cluster, from `async with` to its end."""

    def __init__(self, model: ClusterModel, watched: Watched) -> None:
        self._model, self._watched = model, watched
        self.name = watched.order.name
        self._news = CameraNews()
        self._callbacks: list[Callable[[Any, str], None]] = []
        self._line_sinks: list[Callable[[Line], None]] = []
        self._seen = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        source = self._watched.source
        if self._watched.order.url is None:
            await source.__aenter__()
        try:
            await self._model.supervisor.add(self._watched.order, self)
        except BaseException as problem:
            if self._watched.order.url is None:
                await source.__aexit__(type(problem), problem, problem.__traceback__)
            raise
        await self._group.__aenter__()
        if self._watched.order.url is None:
            source.on_state(self._told)
            self._tasks.append(self._group.create_task(self._push(), name=f"push-{self.name}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            await self._model.supervisor.remove(self.name)
            with contextlib.suppress(LlamaVidError):
                await call(self._model.reader, "drop", self.name, whom=LANGUAGE)
            if self._watched.order.url is None:
                await self._watched.source.__aexit__(kind, error, trace)

    async def ask(
        self, question: str, *, conversation: str | None = None, earlier: Sequence[str] = ()
    ) -> AsyncIterator[AnswerPiece]:
        """The answer in pieces; the last one carries the whole. Closing the iterator cancels. Raises QuestionError."""
        stream = self._model.reader.ask.options(num_returns="streaming")
        pieces = stream.remote(self.name, question, conversation, list(earlier), self._news.end)
        done = False
        try:
            async for piece in pieces:
                yield await piece
            done = True
        except RayError as problem:
            done = True
            raise _as_answer(told(problem, LANGUAGE)) from None
        finally:
            if not done:
                ray.cancel(pieces)

    async def search(
        self, text: str, start: float | None = None, end: float | None = None, limit: int = 10
    ) -> list[Moment]:
        """The moments in memory that match a text and share time with [start, end], best first."""
        found: list[Moment] = await self._read("search", self._news.end, text, start, end, limit)
        return found

    async def timeline(self, start: float | None = None, end: float | None = None) -> list[Span]:
        """The captioned scenes that share time with [start, end]."""
        found: list[Span] = await self._read("timeline", self._news.end, start, end)
        return found

    async def chapters(self, start: float | None = None, end: float | None = None) -> list[Chapter]:
        """The chapters of what was said that share time with [start, end], in time order."""
        found: list[Chapter] = await self._read("chapters", start, end)
        return found

    async def snapshot(self, seconds: float | None = None) -> bytes | None:
        """The picture nearest to a time (None: the newest frame) as JPEG; None while nobody has the camera."""
        with contextlib.suppress(UnreachableError):
            found: bytes | None = await self._work("snapshot", seconds)
            return found
        return None

    async def forget(self, start: float, end: float, erase: Callable[[], Awaitable[None]]) -> None:
        """Forget [start, end) at the worker and where questions are answered; `erase` has the journal forget."""
        await self._work("forget", start, end)
        await self._read("forget", start, end)
        await erase()
        await self._work("recall")

    async def apply_rules(self, rules: Sequence[Rule]) -> None:
        """Take these alert rules from now on."""
        placed = self._model.supervisor.placed[self.name]
        placed.order = replace(placed.order, rules=tuple(rules))
        await self._work("apply_rules", list(rules))

    async def pause_alerts(self, paused: bool) -> None:
        """Raise no alerts until told otherwise; open ones end."""
        placed = self._model.supervisor.placed[self.name]
        placed.order = replace(placed.order, paused=paused)
        await self._work("pause", paused)

    def on_state(self, callback: Callable[[Any, str], None]) -> None:
        """Call `callback(state, reason)` on every change of the source's state."""
        self._callbacks.append(callback)

    def on_line(self, callback: Callable[[Line], None]) -> None:
        """Call `callback(line)` with every finished line of what is said."""
        self._line_sinks.append(callback)

    async def wait_watched(self, seconds: float) -> None:
        """Wait until memory holds that many seconds. Raises SourceError if the source ends or fails before."""
        while self.watched_s < seconds and not self._news.ended:
            self._seen.clear()
            await self._seen.wait()
        if self.watched_s < seconds:
            raise SourceError(f"{self.name} ended after {self.watched_s:.0f} s of the {seconds:.0f} s waited for")

    @property
    def state(self) -> str:
        """Where the source stands."""
        return self._news.state

    @property
    def stats(self) -> SourceStats:
        """The source's counts, with the frames that the worker was too slow for among the dropped."""
        return self._news.stats

    @property
    def watched_s(self) -> float:
        """Seconds from the first to the last remembered frame's end."""
        return self._news.end - self._news.start

    @property
    def restored(self) -> str:
        """What its worker took up again from the journal, in words."""
        return self._news.restored

    @property
    def tokens(self) -> TokenUse:
        """Frames watched and the tokens that stand for them."""
        return TokenUse(self._news.frames, self._news.tokens)

    @property
    def memory(self) -> MemoryUse:
        """What memory holds; the KV cache's bytes are told by the language model's host alone."""
        news = self._news
        return MemoryUse(news.entries, news.tokens, 0, news.restored, news.room)

    @property
    def hearing(self) -> CaptionStats | None:
        """How captions fare; None where there are none."""
        return self._news.hearing

    @property
    def heard_to(self) -> float | None:
        """The second up to which all that was said has been told."""
        return self._news.heard_to

    def alert(self, change: AlertChange) -> None:
        """A rule found something."""
        self._watched.on_alert(change)

    def said(self, what: CaptionEvent | Line) -> None:
        """Something was said."""
        if isinstance(what, Line):
            for sink in self._line_sinks:
                sink(what)
            self._model.reader.hear.remote(self.name, what)
        else:
            self._watched.on_caption(what)

    def news(self, news: CameraNews) -> None:
        """How the camera fares at its worker, or that it has none."""
        before = self._news
        if not news.frames and before.frames and news.state == "reconnecting":  # being moved: memory is what it was
            news = replace(before, state=news.state, reason=news.reason)
        self._news = news
        if (news.state, news.reason) != (before.state, before.reason) and self._watched.order.url is not None:
            self._told(news.state, news.reason)
        self._seen.set()

    def _told(self, state: str, reason: str) -> None:
        for callback in self._callbacks:
            callback(state, reason)

    async def _push(self) -> None:
        """Hand the source's frames on to whoever has the camera; one that did not arrive is sent again."""
        source = self._watched.source
        over = False
        while not over:
            try:
                frame = await source.recv()
                what: tuple[Any, ...] = (frame.seconds, frame.image, frame.gap)
            except (EndOfStream, SourceError) as problem:
                logger.info("%s: %s", self.name, problem)
                what, over = (0.0, None, False, True), True
            while True:
                actor = await self._model.supervisor.owner(self.name)
                try:
                    await call(actor, "push", self.name, *what, whom=f"{self.name}'s worker")
                except LlamaVidError:
                    await asyncio.sleep(0.1)
                else:
                    break

    async def _read(self, method: str, *arguments: Any) -> Any:
        return await call(self._model.reader, method, self.name, *arguments, whom=LANGUAGE, timeout=ASK_S)

    async def _work(self, method: str, *arguments: Any) -> Any:
        actor = self._model.supervisor.actor_of(self.name)
        if actor is None:
            raise UnreachableError(f"camera {self.name} is being taken over by another worker; try again in a second")
        return await call(actor, method, self.name, *arguments, whom=f"{self.name}'s worker", timeout=ASK_S)


def _as_answer(problem: BaseException) -> BaseException:
    """What a client hears of a part that is gone for now: that it may ask again soon."""
    if isinstance(problem, UnreachableError):
        return ProtocolError(f"{str(problem)[:1].upper()}{str(problem)[1:]}.", code="not_ready")
    return problem
