"""A camera worker: an actor that owns some cameras, alone, and tells the front server what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import threading
from collections.abc import Generator, Sequence
from datetime import UTC
from typing import Any, Final

import torch

from llama_vid.cluster_calls import DistantMirrors, told
from llama_vid.cluster_journal import answered
from llama_vid.cluster_keeper import Keeper
from llama_vid.cluster_mirror import DistantIntake
from llama_vid.cluster_parts import Parts
from llama_vid.cluster_tower import TowerClient, pool_handle
from llama_vid.cluster_wire import News, Order
from llama_vid.errors import LlamaVidError
from llama_vid.llm.rules.album import Album, Shown
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.scoring import RuleScorer
from llama_vid.llm.speech.recogniser import Hearing
from llama_vid.memory.alerts import AlertChange
from llama_vid.memory.budget import Budget
from llama_vid.model_thread import ModelThread, Priority
from llama_vid.rule_trial import Trial, trying
from llama_vid.stream.frame import Frame

#: How long a worker keeps the front waiting for news; an answer is a sign of life, so this is well below what the
#: front waits until it takes a worker for dead (`cluster_supervisor.SILENT_S`).
NEWS_S: Final = 0.5
#: How often a second look that is done elsewhere is asked for; frames are taken in meanwhile.
LOOK_S: Final = 0.05


class DistantLook:
    """Second looks at the language model's host; the worker's thread goes on with frames meanwhile."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def looking(self, rule: Rule, album: Album) -> Generator[None, None, tuple[float, str]]:
        """As LanguageLook's. Where nobody answers, the event stands as it is."""
        import ray

        answer = self._reader.look.remote(rule, list[Shown](album))
        while not ray.wait([answer], timeout=LOOK_S)[0]:
            yield
        try:
            found: tuple[float, str] = ray.get(answer)
        except Exception as problem:
            raise told(problem, "the language model") from None
        return found


class Worker:
    """The actor. Its tensors belong to one thread with one torch thread: its share of the work is small."""

    def __init__(self, parts: Parts, recent_minutes: float) -> None:
        torch.set_num_threads(1)
        self._parts, self._recent_minutes = parts, recent_minutes
        self._thread = ModelThread()
        self._keepers: dict[str, Keeper] = {}
        self._due = asyncio.Event()
        self._hearings: dict[tuple[str, str, int], Hearing] = {}
        self._hearing_lock = threading.Lock()

    async def prepare(self, budget: Budget, reader: Any) -> int:
        """Load what cameras need, before the first one comes; gives the process."""
        self._tower = TowerClient(pool_handle())
        self._bundle = await asyncio.to_thread(self._parts.eyes, self._tower.encode_now, budget)
        self._reader = reader
        self._intake = DistantIntake(self._tower.encode, self._thread)
        self._look = DistantLook(reader)
        return os.getpid()

    async def pid(self) -> int:
        """The process."""
        return os.getpid()

    async def open(self, order: Order, me: Any) -> str:
        """Own a camera from now on; gives what was restored, in words. `me` is this actor, for the mirror.

        Raises LlamaVidError where its journal or source cannot be had.
        """
        if order.name in self._keepers:
            await self.close(order.name)
        keeper = Keeper(
            order, self._bundle, self._thread, self._intake, DistantMirrors(self._reader, me), look=self._look,
            recent_minutes=self._recent_minutes, load_hearing=self._hearing, wake=self._due.set,
        )  # fmt: skip
        await keeper.__aenter__()
        self._keepers[order.name] = keeper
        self._due.set()
        return keeper.recorder.restored

    async def finish(self, name: str) -> list[tuple[str, int, AlertChange]]:
        """End what is open of a camera's alerts; gives what the front has not got yet. `close` is to follow."""
        keeper = self._keeper(name)
        await keeper.rules.away()
        await asyncio.to_thread(keeper.journal.flush)
        return await asyncio.to_thread(keeper.alerts)

    async def close(self, name: str, delivered: int = 0) -> None:
        """Own a camera no more; all that it saw is in its journal when this returns."""
        keeper = self._keepers.pop(name, None)
        if keeper is not None:
            if delivered:
                keeper.acknowledge(delivered)
            await keeper.__aexit__(None, None, None)

    async def push(self, name: str, seconds: float, image: Any, gap: bool, over: bool = False) -> None:
        """The next frame of a camera whose source is elsewhere; `over`: there is none."""
        source = self._keeper(name).pushed
        if source is None:
            raise LlamaVidError(f"camera {name} has a source of its own")
        await source.push(None if over else Frame(seconds, image, gap))

    async def news(self, delivered: dict[str, int]) -> News:
        """What there is to tell, at once where there is anything, else after NEWS_S. `delivered` are the numbers up to
        which the front has the cameras' alerts on disk.
        """
        for name, number in delivered.items():
            if name in self._keepers:
                self._keepers[name].acknowledge(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NEWS_S):
                await self._due.wait()
        self._due.clear()
        alerts, said = [], []
        for name, keeper in list(self._keepers.items()):
            alerts += await asyncio.to_thread(keeper.alerts)
            while keeper.said:
                said.append((name, keeper.said.popleft()))
        used = resource.getrusage(resource.RUSAGE_SELF)
        sent = {
            "to_tower": self._tower.sent_bytes,
            "from_tower": self._tower.got_bytes,
            "to_language_model": sum(keeper.feed.sent_bytes for keeper in self._keepers.values()),
            "frames_encoded": self._tower.frames,
            "frames_taken": self._intake.frames,
            "take_us": int(self._intake.seconds * 1e6),
        }
        cameras = {name: keeper.news for name, keeper in self._keepers.items()}
        cpu_s = used.ru_utime + used.ru_stime
        return News(cameras, tuple(alerts), tuple(said), cpu_s, resident_mb(), sent)

    async def journal(self, name: str, method: str, arguments: Sequence[Any]) -> Any:
        """What a DistantJournal asks."""
        keeper = self._keeper(name)
        if method == "jpeg":  # the newest may not be in the journal yet
            return await asyncio.to_thread(keeper.recorder.jpeg, *arguments)
        if method == "kept" and arguments[0] is not None:
            return await asyncio.to_thread(keeper.recorder.kept, *arguments)
        return await asyncio.to_thread(answered, keeper.camera, method, arguments)

    async def snapshot(self, name: str, seconds: float | None) -> bytes | None:
        """The picture nearest to a time (None: the newest frame) as JPEG."""
        return await self._keeper(name).snapshot(seconds)

    async def forget(self, name: str, start: float, end: float) -> None:
        """Forget [start, end) in memory; `recall` must follow when the journal has forgotten."""
        await self._keeper(name).forget(start, end)

    async def recall(self, name: str) -> None:
        """Hold what the journal has left."""
        await self._keeper(name).recall()

    async def apply_rules(self, name: str, rules: Sequence[Rule]) -> None:
        """Watch a camera by these rules from now on."""
        await self._keeper(name).apply_rules(rules)

    async def pause(self, name: str, paused: bool) -> None:
        """Raise no alerts, or go on."""
        await self._keeper(name).rules.pause(paused)

    async def try_rules(self, name: str, rules: Sequence[Rule], start: float, end: float) -> Trial:
        """What rules would have raised over what a camera's journal holds."""
        keeper, tower = self._keeper(name), self._bundle.tower
        scorer, zone = RuleScorer(self._bundle.scorer, tower), keeper.order.zone or UTC
        found: list[Trial] = []

        def steps() -> Generator[None, None, None]:
            found.append((yield from trying(keeper.camera, rules, scorer, tower, start, end, zone)))

        async with contextlib.aclosing(self._thread.iterate(Priority.REBUILD, steps())) as items:
            async for _ in items:
                pass
        return found[0]

    async def stop(self) -> None:
        """Close all cameras and this actor's thread."""
        for name in list(self._keepers):
            await self.close(name)
        await asyncio.to_thread(self._thread.close)

    def _keeper(self, name: str) -> Keeper:
        found = self._keepers.get(name)
        if found is None:
            raise LlamaVidError(f"this worker does not have camera {name}; it is being moved, try again")
        return found

    def _hearing(self, model: str, language: str, threads: int) -> Hearing:
        from llama_vid.llm.speech.whisper import SpeechModel

        with self._hearing_lock:
            key = (model, language, threads)
            if key not in self._hearings:
                self._hearings[key] = SpeechModel.load(model, language=language or None, threads=threads)
            return self._hearings[key]


def resident_mb() -> float:
    """This process's memory now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6
