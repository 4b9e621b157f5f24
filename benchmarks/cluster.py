"""What a cluster costs and what it stands: cameras in one process and on Ray, a worker killed, answers compared.

    llama-vid bench cluster             (or: python -m benchmarks.cluster)

Eight cameras (a street film looped in real time) are watched by one process, then by a cluster of two workers, one
tower replica and the language model's host on the same machine. Measured: processor milliseconds a frame by part, how
long a frame takes into memory, bytes between the parts, memory of each process. Then one worker gets SIGKILL: how long
until each of its cameras has a new frame in memory; whether every alert that workers noted reached the front once; and
whether a question about the time before is answered. Last, a film is shown to both and asked the same questions.
Figures of four cameras predict those of eight (`benchmarks/capacity.py`), which are then measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from benchmarks.capacity import Costs, predicted
from benchmarks.processes import family, own_cpu_s, resident_mb
from benchmarks.reel import Recording
from benchmarks.samples import sample_film
from llama_vid.alert_desk import PAUSE
from llama_vid.cluster_ray import ClusterOptions, RayCluster, set_environment
from llama_vid.errors import LlamaVidError
from llama_vid.llm.rules.rule import Rule
from llama_vid.memory.alerts import AlertChange
from llama_vid.memory.journal import Journal
from llama_vid.model import LLaMAVID
from llama_vid.model_loading import token_maker
from llama_vid.settings import Config

CAMERAS: Final = 8
FIT: Final = 4  # cameras whose figures predict those of CAMERAS
SECONDS: Final = 15.0
SETTLE_S: Final = 25.0  # what is embedded in idle time for the first questions is no part of a frame
BEGIN_S: Final = 60.0
GOAL_S: Final = 10.0  # from a worker's death to its cameras' next frames
RULES: Final = (
    Rule("cyclist", "a person on a bicycle", hold=2.0, cooldown=0.0),
    Rule("car", "a car", hold=2.0, cooldown=0.0),
)
BEFORE: Final = "Was there a person on a bicycle in the first 20 seconds?"
QUESTIONS: Final = (
    "Is there a bicycle?",
    "Is there a dog?",
    "What is happening?",
    "What has happened so far?",
    "When does a car come by?",
    "How many people are there?",
)
#: Parts of the cluster by the names that their processes have.
ROLES: Final = {"ray::Worker": "workers", "ray::Reader": "language_model", "ray::ServeReplica": "tower"}


@dataclass(frozen=True, slots=True)
class Load:
    """Cameras watched for so many seconds: frames remembered, processor seconds and memory by part, bytes by edge."""

    cameras: int
    seconds: float
    frames: int
    cpu_s: dict[str, float]
    resident_mb: dict[str, float] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    take_ms: float = 0.0
    dropped: int = 0

    @property
    def encoded_share(self) -> float:
        """The part of the frames in which something changed."""
        return self.sent.get("frames_encoded", self.frames) / max(1, self.frames)

    def to_json(self) -> dict[str, Any]:
        frames = max(1, self.frames)
        return {
            "frames": self.frames,
            "dropped": self.dropped,
            "cpu_ms_a_frame": {part: 1000 * used / frames for part, used in self.cpu_s.items()},
            "cpu_ms_a_frame_total": 1000 * sum(self.cpu_s.values()) / frames,
            "cores_a_camera": sum(self.cpu_s.values()) / self.seconds / self.cameras,
            "into_memory_ms": self.take_ms,
            "bytes_a_second": {edge: count / self.seconds for edge, count in self.sent.items()},
            "memory_mb": self.resident_mb,
        }


@dataclass(frozen=True, slots=True)
class ClusterFigures:
    """All of it."""

    alone: Load
    few: Load
    many: Load
    back_s: tuple[float, ...]
    noted: int
    told: int
    lost: int
    doubled: int
    before: str
    after: str
    answers: tuple[tuple[str, str, str], ...]  # question, in one process, on the cluster
    start_s: float

    def to_json(self) -> dict[str, Any]:
        model = Costs.fitted(self.few)
        return {
            "name": "cluster",
            "n": self.many.cameras,
            "cluster": self.many.to_json() | {"start_s": self.start_s},
            f"cluster_of_{self.few.cameras}": self.few.to_json(),
            "overhead_ms_a_frame": self.many.to_json()["cpu_ms_a_frame_total"]
            - self.alone.to_json()["cpu_ms_a_frame_total"],
            "killed_worker": {
                "cameras": len(self.back_s),
                "back_s": list(self.back_s),
                "back_most_s": max(self.back_s, default=None),
                "goal_s": GOAL_S,
            },
            "alerts": {"noted": self.noted, "told": self.told, "lost": self.lost, "told_twice": self.doubled},
            "answer_about_the_time_before": {"question": BEFORE, "before": self.before, "after": self.after},
            "same_answers": sum(here == there for _, here, there in self.answers),
            "asked": len(self.answers),
            "different": {question: [here, there] for question, here, there in self.answers if here != there},
            "predicted_of_8": predicted(model, self.many.cameras, self.many.encoded_share),
            "floor": {"one_process": self.alone.to_json()},
        }


def proportional_mb(number: int) -> float:
    """A process's memory in megabytes; what several share (libraries: half a gigabyte of torch) is shared out."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{number}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def processes() -> dict[str, tuple[float, float]]:
    """Processor seconds and megabytes of this process's descendants and itself, by part of the cluster."""
    found: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for number, used in family().items():
        try:
            name = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
        except OSError:  # it has ended
            continue
        resident = proportional_mb(number)
        role = next((role for begin, role in ROLES.items() if name.startswith(begin)), "ray_itself")
        role = "front" if number == os.getpid() else role
        found[role] = (found[role][0] + used, found[role][1] + resident)
    return dict(found)


async def _until(there: Any, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        if time.monotonic() > deadline:
            raise LlamaVidError(f"{what} within {seconds:.0f} s")
        await asyncio.sleep(0.02)


async def _alone(model: LLaMAVID, film: Path, seconds: float) -> Load:
    """The cameras in this one process."""
    async with contextlib.AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(model.watch(str(film), name=f"camera-{at}", rules=RULES))
            for at in range(CAMERAS)
        ]
        await _until(lambda: all(s.tokens.frames >= 3 for s in sessions), BEGIN_S, "a camera gave no three frames")
        await asyncio.sleep(SETTLE_S)
        frames, used, began = sum(s.tokens.frames for s in sessions), own_cpu_s(), time.perf_counter()
        dropped = sum(s.stats.dropped for s in sessions)
        await asyncio.sleep(seconds)
        return Load(
            CAMERAS,
            time.perf_counter() - began,
            sum(s.tokens.frames for s in sessions) - frames,
            {"one_process": own_cpu_s() - used},
            {"one_process": resident_mb()},
            dropped=sum(s.stats.dropped for s in sessions) - dropped,
        )


async def _load(model: Any, sessions: Sequence[Any], seconds: float) -> Load:
    """What the cluster uses for the cameras that it watches now."""
    members = model.supervisor.members

    def sent() -> dict[str, int]:
        total: dict[str, int] = defaultdict(int)
        for member in members:
            for edge, count in (member.news.sent_bytes if member.news is not None else {}).items():
                total[edge] += count
        return total

    frames, before, bytes_, began = sum(s.tokens.frames for s in sessions), processes(), sent(), time.perf_counter()
    dropped = sum(s.stats.dropped for s in sessions)
    await asyncio.sleep(seconds)
    now, after, wall = processes(), sent(), time.perf_counter() - began
    edges = {edge: after[edge] - bytes_.get(edge, 0) for edge in after}
    takes, taken = edges.pop("take_us", 0), edges.pop("frames_taken", 0)
    return Load(
        len(sessions),
        wall,
        sum(s.tokens.frames for s in sessions) - frames,
        {role: now[role][0] - before.get(role, (0.0, 0.0))[0] for role in now},
        {role: resident for role, (_, resident) in now.items()},
        edges,
        takes / 1000 / max(1, taken),
        sum(s.stats.dropped for s in sessions) - dropped,
    )


async def _answer(session: Any, question: str) -> str:
    async for piece in session.ask(question):
        if piece.answer is not None:
            return str(piece.answer.answer)
    return ""


async def _shown(model: Any, film: Path) -> list[str]:
    """A film's answers."""
    async with model.watch(Recording(film), name="film") as session:
        await session.wait_watched(9.5)
        return [await _answer(session, question) for question in QUESTIONS]


@contextlib.asynccontextmanager
async def _cluster(folder: Path) -> AsyncIterator[tuple[Any, Any, float]]:
    from llama_vid.cluster_journal import FrontJournal
    from llama_vid.cluster_model import ClusterModel
    from llama_vid.cluster_parts import BundleParts

    config = Config.model_validate({"memory": {"path": str(folder)}, "timezone": "UTC"})
    began = time.perf_counter()
    ray = RayCluster(BundleParts("mini"), ClusterOptions(workers=2, zone=UTC, tokens=token_maker("mini")))
    await asyncio.to_thread(ray.start)
    with FrontJournal(config.memory_folder, kinds=(PAUSE,)) as journal:
        model = ClusterModel(ray, config, journal)
        try:
            yield model, journal, time.perf_counter() - began
        finally:
            await model.close()


async def _killed(model: Any, sessions: Sequence[Any]) -> list[float]:
    """Kill the first worker; how long until each of its cameras has a new frame in memory."""
    member = model.supervisor.members[0]
    hit = [session for session in sessions if session.name in member.cameras]
    os.kill(await member.actor.pid.remote(), signal.SIGKILL)
    began, back = time.monotonic(), dict[str, float]()
    frames: dict[str, int] = {}
    await _until(lambda: member not in model.supervisor.members, GOAL_S, "the dead worker was not noticed")
    while len(back) < len(hit):
        if time.monotonic() - began > 60:
            raise LlamaVidError("the cameras of the killed worker did not come back within 60 s")
        for session in hit:
            placed = model.supervisor.placed[session.name]
            live = placed.member is not None and session.state == "live"
            if session.name in back or not live:
                continue
            if session.tokens.frames > frames.setdefault(session.name, session.tokens.frames):
                back[session.name] = time.monotonic() - began
        await asyncio.sleep(0.02)
    return list(back.values())


def _noted(folder: Path, names: Sequence[str]) -> set[str]:
    """The events that workers noted."""
    found: set[str] = set()
    for name in names:
        with Journal(folder / "cameras" / name) as journal:
            found |= {event.id for event in journal.camera(name).events(0, float("inf"), 100_000)}
    return found


def measure(runs: int | None = None, *, seconds: float = SECONDS) -> ClusterFigures:
    """Measure once; `runs` is not used: one takes four minutes. Raises ConfigError where Ray is not installed."""
    set_environment(here=True)
    return asyncio.run(_measure(seconds))


def _say(what: str) -> None:
    """What is being done now, on stderr: all of it takes minutes."""
    print(f"cluster: {what}", file=sys.stderr, flush=True)


async def _measure(seconds: float) -> ClusterFigures:
    film = sample_film()
    with tempfile.TemporaryDirectory(prefix="llama-vid-cluster-") as place:
        stood = await _on_a_cluster(Path(place) / "cluster", film, seconds)
        alone, here = await _in_one_process(Path(place) / "alone", film, seconds)
    return ClusterFigures(
        alone, stood.few, stood.many, tuple(stood.back_s), stood.noted, stood.told, stood.lost, stood.doubled,
        stood.before, stood.after, tuple(zip(QUESTIONS, here, stood.answers, strict=True)), stood.start_s,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stood:
    """What the cluster did."""

    few: Load
    many: Load
    back_s: list[float]
    noted: int
    told: int
    lost: int
    doubled: int
    before: str
    after: str
    answers: list[str]
    start_s: float


async def _in_one_process(folder: Path, film: Path, seconds: float) -> tuple[Load, list[str]]:
    _say(f"{CAMERAS} cameras in one process")
    with Journal(folder, model=token_maker("mini")) as kept:
        model = LLaMAVID.from_pretrained("mini", zone=UTC, journal=kept)
        alone = await _alone(model, film, seconds)
        _say(json.dumps(alone.to_json()))
        answers = await _shown(model, film)
        model.close()
    return alone, answers


async def _on_a_cluster(folder: Path, film: Path, seconds: float) -> Stood:
    names = [f"camera-{at}" for at in range(CAMERAS)]
    told: list[AlertChange] = []
    _say("starting the cluster")
    async with _cluster(folder) as (model, journal, start_s):
        _say(f"started after {start_s:.1f} s")

        def alert(change: AlertChange) -> None:
            told.append(change)
            journal.alerts.record(change)

        async with contextlib.AsyncExitStack() as stack:
            sessions: list[Any] = []

            async def more(count: int) -> Load:
                _say(f"{count} cameras on two workers")
                for name in names[len(sessions) : count]:
                    watched = model.watch(str(film), name=name, rules=RULES, on_alert=alert)
                    sessions.append(await stack.enter_async_context(watched))
                await _until(
                    lambda: all(s.tokens.frames >= 3 for s in sessions), BEGIN_S, "a camera gave no three frames"
                )
                await asyncio.sleep(SETTLE_S)
                load = await _load(model, sessions, seconds)
                _say(json.dumps(load.to_json()))
                return load

            few = await more(FIT)
            many = await more(CAMERAS)
            hit = next(s for s in sessions if s.name in model.supervisor.members[0].cameras)
            before = await _answer(hit, BEFORE)
            _say("killing a worker")
            back = await _killed(model, sessions)
            after = await _answer(hit, BEFORE)
            _say(f"its cameras were back after {', '.join(f'{each:.1f}' for each in back)} s; {before} / {after}")
        answers = await _shown(model, film)
        _say(json.dumps(answers))
    noted, ids = _noted(folder, names), {change.event.id for change in told}
    changes = [(change.type, change.event.id, change.at) for change in told]
    doubled = len(changes) - len(set(changes))
    _say(f"{len(noted)} alerts noted by workers, {len(ids)} told, {len(noted - ids)} lost, {doubled} told twice")
    return Stood(
        few, many, back, len(noted), len(ids), len(noted - ids), doubled, before, after, answers, start_s
    )  # fmt: skip


if __name__ == "__main__":
    from evaluation.report import print_table

    print_table(measure())
