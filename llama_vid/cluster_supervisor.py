"""Which worker has which camera: placed, followed, and placed anew when a worker dies, is drained or comes.

The supervisor keeps asking every worker for news. An answer is a sign of life; a worker whose process ends is known at
once, and one that is silent for SILENT_S is killed. Its cameras then go to the others, each under a higher number
(`memory/lease.py`), so that whatever the old worker may still do is not written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from llama_vid.cluster_calls import UnreachableError, call
from llama_vid.cluster_wire import CameraNews, News, Order
from llama_vid.errors import LlamaVidError
from llama_vid.llm.speech.words import CaptionEvent, Line
from llama_vid.memory.alerts import AlertChange
from llama_vid.memory.lease import FencedError

logger = logging.getLogger(__name__)

#: A worker that gives no sign of life for so long is taken for dead; it answers twice a second.
SILENT_S: Final = 3.0
#: Opening a camera restores its memory: an hour of it takes a second or two.
OPEN_S: Final = 60.0
#: Until a worker has loaded what it needs, on a busy machine.
START_S: Final = 180.0
#: Between attempts to place a camera that no worker could open.
RETRY_S: Final = 1.0


class Launcher(Protocol):
    """Starts and ends workers."""

    async def start_worker(self) -> Any:
        """A new worker, ready. Raises LlamaVidError."""

    async def end_worker(self, worker: Any) -> None:
        """Ends one, however it is."""


class Ear(Protocol):
    """Who hears of one camera. All are called in the event loop's thread."""

    def alert(self, change: AlertChange) -> None: ...
    def said(self, what: CaptionEvent | Line) -> None: ...
    def news(self, news: CameraNews) -> None: ...


@dataclass(eq=False, slots=True)
class Member:
    """A worker of the cluster."""

    number: int
    actor: Any
    cameras: set[str] = field(default_factory=set)
    draining: bool = False
    news: News | None = None
    task: asyncio.Task[None] | None = None


@dataclass(eq=False, slots=True)
class Placed:
    """A camera: what is ordered, who has it, and up to which numbers its alerts were told and are on disk."""

    order: Order
    ear: Ear
    member: Member | None = None
    told: int = 0
    delivered: int = 0
    moves: int = 0
    moved_s: float = 0.0  # how long the last move took
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Supervisor:
    """All methods run in one event loop's thread. `on_disk` waits until the alerts told so far are on the front's disk,
    and says whether they are.
    """

    def __init__(self, launcher: Launcher, workers: list[Any], on_disk: Callable[[], Awaitable[bool]]) -> None:
        self._launcher, self._on_disk = launcher, on_disk
        self._numbers = 0
        self._epoch = int(time.time() * 1000)  # higher than those of an earlier run
        self.wanted = len(workers)
        self.members: list[Member] = []
        self.placed: dict[str, Placed] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Condition()
        for worker in workers:
            self._join(worker)

    async def leave(self) -> list[Any]:
        """Let go of the cameras, follow the workers no more, and hand them back."""
        for name in list(self.placed):
            with contextlib.suppress(LlamaVidError):
                await self.remove(name)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        left = [member.actor for member in self.members]
        self.members.clear()
        return left

    async def close(self) -> None:
        """Let go of cameras and workers."""
        await asyncio.gather(*(self._launcher.end_worker(actor) for actor in await self.leave()))

    async def add(self, order: Order, ear: Ear) -> Placed:
        """Have a camera watched. Raises LlamaVidError where its worker cannot open it."""
        placed = Placed(order, ear)
        self.placed[order.name] = placed
        try:
            async with placed.lock:
                await self._place(placed)
        except BaseException:
            self.placed.pop(order.name, None)
            raise
        return placed

    async def remove(self, name: str) -> None:
        """Have a camera watched no more; what it saw is in its journal."""
        placed = self.placed.get(name)
        if placed is None:
            return
        async with placed.lock:
            await self._leave(placed)
        self.placed.pop(name, None)

    async def scale(self, count: int) -> None:
        """Have so many workers: new ones take their share of the cameras, those that go give theirs up first."""
        self.wanted = max(1, count)
        working = [member for member in self.members if not member.draining]
        if len(working) < self.wanted:
            await asyncio.gather(*(self._start() for _ in range(self.wanted - len(working))))
            await self.balance()
        for member in working[self.wanted :]:
            await self.drain(member.number)

    async def drain(self, number: int) -> None:
        """Move a worker's cameras to the others and end it. Raises LlamaVidError for an unknown number, or the last."""
        member = next((member for member in self.members if member.number == number), None)
        others = [other for other in self.members if other is not member and not other.draining]
        if member is None or not others:
            raise LlamaVidError(f"worker {number} cannot be drained: " + ("it is not there" if others else "no other"))
        member.draining = True
        self.wanted = len(others)
        for name in sorted(member.cameras):
            await self._move(name, member)
        self._forget(member)
        await self._launcher.end_worker(member.actor)

    async def balance(self) -> None:
        """Move cameras until no worker has two more than another."""
        while True:
            working = sorted((m for m in self.members if not m.draining), key=lambda m: len(m.cameras))
            if len(working) < 2 or len(working[-1].cameras) - len(working[0].cameras) < 2:
                return
            await self._move(sorted(working[-1].cameras)[0], working[-1])

    def actor_of(self, name: str) -> Any | None:
        """The worker that has a camera now; None while it is being moved."""
        placed = self.placed.get(name)
        return placed.member.actor if placed is not None and placed.member is not None else None

    async def owner(self, name: str) -> Any:
        """As `actor_of`, waiting until there is one. Raises LlamaVidError for a camera that is not watched."""
        async with self._changed:
            await self._changed.wait_for(lambda: name not in self.placed or self.actor_of(name) is not None)
        actor = self.actor_of(name)
        if actor is None:
            raise LlamaVidError(f"camera {name} is not watched any more")
        return actor

    async def _place(self, placed: Placed, since: float | None = None) -> None:
        """Give a camera to the worker that has the fewest; its lock is held. Raises what opening raises."""
        began = time.monotonic() if since is None else since
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: any(not member.draining for member in self.members))
            member = min((m for m in self.members if not m.draining), key=lambda m: (len(m.cameras), m.number))
            self._epoch += 1
            placed.order = replace(placed.order, epoch=self._epoch)
            member.cameras.add(placed.order.name)
            try:
                await call(
                    member.actor, "open", placed.order, member.actor, whom=f"worker {member.number}", timeout=OPEN_S
                )
            except FencedError as problem:
                member.cameras.discard(placed.order.name)
                self._epoch = max(self._epoch, problem.epoch)
                continue
            except UnreachableError:
                member.cameras.discard(placed.order.name)
                self._lost(member, "it died while it opened a camera")
                continue
            except BaseException:
                member.cameras.discard(placed.order.name)
                raise
            placed.member, placed.moved_s = member, time.monotonic() - began
            async with self._changed:
                self._changed.notify_all()
            return

    async def _leave(self, placed: Placed) -> None:
        member, placed.member = placed.member, None
        if member is not None:
            member.cameras.discard(placed.order.name)
            name, whom = placed.order.name, f"worker {member.number}"
            with contextlib.suppress(UnreachableError):
                await self._alerts(await call(member.actor, "finish", name, whom=whom))
                await call(member.actor, "close", name, placed.delivered, whom=whom, timeout=OPEN_S)

    async def _move(self, name: str, member: Member) -> None:
        """Take a camera from a worker that is well and give it to another."""
        placed = self.placed.get(name)
        if placed is None or placed.member is not member:
            return
        placed.ear.news(CameraNews("reconnecting", "moving to another worker"))
        async with placed.lock:
            began = time.monotonic()
            await self._leave(placed)
            await self._again(placed, began)

    async def _again(self, placed: Placed, since: float) -> None:
        """Place a camera anew, as often as it takes; its lock is held."""
        while self.placed.get(placed.order.name) is placed:
            try:
                await self._place(placed, since)
            except LlamaVidError as problem:
                placed.ear.news(CameraNews("reconnecting", str(problem)))
                await asyncio.sleep(RETRY_S)
            else:
                placed.moves += 1
                logger.info("Camera %s is watched again after %.1f s", placed.order.name, placed.moved_s)
                return

    def _lost(self, member: Member, why: str) -> None:
        """A worker is gone: its cameras go elsewhere, and another worker comes in its place."""
        if member not in self.members:
            return
        lost, now = sorted(member.cameras), time.monotonic()
        logger.warning("Worker %d is gone (%s); its cameras (%s) are placed anew", member.number, why, ", ".join(lost))
        self._forget(member)
        self._run(self._launcher.end_worker(member.actor), f"end-worker-{member.number}")
        for name in lost:
            if (placed := self.placed.get(name)) is not None and placed.member is member:
                placed.member = None
                placed.ear.news(CameraNews("reconnecting", "its worker is gone; another one takes it over"))
                self._run(self._recover(placed, now), f"recover-{name}")
        self._run(self._replace(), "replace-worker")

    async def _recover(self, placed: Placed, since: float) -> None:
        async with placed.lock:
            if placed.member is None:
                await self._again(placed, since)

    async def _replace(self) -> None:
        while len([member for member in self.members if not member.draining]) < self.wanted:
            try:
                await self._start()
            except LlamaVidError as problem:
                logger.error("a worker could not be started: %s", problem)
                await asyncio.sleep(RETRY_S)
        await self.balance()

    async def _start(self) -> None:
        actor = await self._launcher.start_worker()
        self._join(actor)
        async with self._changed:
            self._changed.notify_all()

    def _join(self, actor: Any) -> None:
        self._numbers += 1
        member = Member(self._numbers, actor)
        self.members.append(member)
        member.task = self._run(self._follow(member), f"worker-{member.number}")

    def _forget(self, member: Member) -> None:
        if member in self.members:
            self.members.remove(member)

    async def _follow(self, member: Member) -> None:
        """Ask a worker for news until it is gone."""
        while member in self.members:
            delivered = {
                name: placed.delivered
                for name in member.cameras
                if (placed := self.placed.get(name)) is not None and placed.member is member and placed.delivered
            }
            try:
                news: News = await call(
                    member.actor, "news", delivered, whom=f"worker {member.number}", timeout=SILENT_S
                )
            except LlamaVidError as problem:
                self._lost(member, str(problem))
                return
            member.news = news
            await self._told(member, news)

    async def _told(self, member: Member, news: News) -> None:
        for name, what in news.said:
            if (placed := self.placed.get(name)) is not None:
                placed.ear.said(what)
        for name, camera in news.cameras.items():
            placed = self.placed.get(name)
            if placed is not None and placed.member is member:
                placed.ear.news(camera)
                if camera.fenced:
                    logger.error("Camera %s: %s", name, camera.fenced)
        await self._alerts(news.alerts)

    async def _alerts(self, alerts: Sequence[tuple[str, int, AlertChange]]) -> None:
        """Tell alerts once, in order, and note what is on the front's disk then."""
        for name, number, change in alerts:
            if (placed := self.placed.get(name)) is not None and number > placed.told:
                placed.told = number
                placed.ear.alert(change)
        if alerts and await self._on_disk():
            for name, number, _ in alerts:
                if name in self.placed:
                    self.placed[name].delivered = max(self.placed[name].delivered, number)

    def _run(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A task of the supervisor's, kept until it is done; what it raises is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            logger.error("%s failed", task.get_name(), exc_info=problem)
