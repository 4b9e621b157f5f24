"""How many cameras at one frame a second before one is late by a second.

    llama-vid bench cameras             (or: python -m benchmarks.cameras)

Real RTSP on loopback: GStreamer's server in a process of its own hands out files encoded beforehand (its share of the
processors is measured and said, since on a user's machine it would not be there). Two kinds of camera: `quiet`, 640×360
with a key frame every second, a still picture with sensor noise that moves for a tenth of the time; and `busy`, moving
clips at 1280×720 and 25 frames a second with a key frame every two. One model in one process watches N of them.

Measured for each N over `seconds` after all cameras have begun: how late each frame is in memory (now − the frame's
time by the camera's clock; looked at every 20 ms), frames dropped, processor time and resident memory of our process. N
counts as kept up with when no frame came a second late, none was dropped, no camera fell short of its frames, and no
stream broke. Numbers are tried upwards until one is too many. `runs` takes only the first so many numbers.
Beside it, in the same run, the same N cameras are only read and decoded, without the model.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Final, Literal, Self

from benchmarks.asking import percentile
from benchmarks.processes import own_cpu_s, resident_mb
from benchmarks.wall import Wall, busy_films, quiet_films
from llama_vid.errors import EndOfStream, LlamaVidError
from llama_vid.model import LLaMAVID
from llama_vid.session import Session
from llama_vid.stream.frame import Frame
from llama_vid.stream.opening import open_source
from llama_vid.stream.source import Source, SourceState, SourceStats, StateCallback

Kind = Literal["quiet", "busy"]
COUNTS: Final[dict[Kind, tuple[int, ...]]] = {"quiet": (10, 30, 60), "busy": (4, 8, 12)}
GOALS: Final[dict[Kind, int]] = {"quiet": 30, "busy": 8}
SECONDS: Final = 20.0  # watched for a figure
READ_SECONDS: Final = 10.0  # and only read
LATE_S: Final = 1.0
BEGIN_S: Final = 60.0  # for all cameras to give three frames
SETTLE_S: Final = 5.0  # after that, before anything counts
LOOK_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Load:
    """Cores that our process and the cameras' process kept busy, and our resident memory at the end."""

    cores: float
    camera_cores: float
    resident_mb: float


@dataclass(frozen=True, slots=True)
class Stage:
    """N cameras watched for `seconds`: how late every frame was in memory, and what was lost."""

    cameras: int
    seconds: float
    late_s: tuple[float, ...]
    fewest_frames: int
    dropped: int
    reconnects: int
    load: Load
    read_only: Load
    read_only_late_s: tuple[float, ...]

    @property
    def kept_up(self) -> bool:
        """No frame late by a second, none lost (a camera may miss two at the window's edges)."""
        whole = self.fewest_frames >= self.seconds - 2
        return whole and not self.dropped and not self.reconnects and max(self.late_s, default=LATE_S) < LATE_S

    def to_json(self) -> dict[str, Any]:
        return {
            "kept_up": self.kept_up,
            "seconds": self.seconds,
            "frames": len(self.late_s),
            "fewest_frames": self.fewest_frames,
            "dropped": self.dropped,
            "reconnects": self.reconnects,
            "late_median_s": median(self.late_s) if self.late_s else None,
            "late_p95_s": percentile(self.late_s, 0.95) if self.late_s else None,
            "late_most_s": max(self.late_s, default=None),
            "cores": self.load.cores,
            "cores_of_the_cameras": self.load.camera_cores,
            "resident_mb": self.load.resident_mb,
            "only_read": {
                "cores": self.read_only.cores,
                "cores_of_the_cameras": self.read_only.camera_cores,
                "late_most_s": max(self.read_only_late_s, default=None),
            },
        }


@dataclass(frozen=True, slots=True)
class Cameras:
    """The stages of each kind, by their number of cameras."""

    stages: dict[Kind, dict[int, Stage]]

    def most(self, kind: Kind) -> int:
        """The largest number of cameras that was kept up with, and with every smaller one measured; 0 for none."""
        most = 0
        for number, stage in sorted(self.stages[kind].items()):
            if not stage.kept_up:
                break
            most = number
        return most

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"name": "cameras", "n": sum(map(len, self.stages.values()))}
        for kind, stages in self.stages.items():
            found[kind] = {"most": self.most(kind), "goal": GOALS[kind]}
            found[kind] |= {str(number): stage.to_json() for number, stage in stages.items()}
        found["floor"] = {
            "cores_to_read_and_decode": {
                kind: {str(number): stage.read_only.cores for number, stage in stages.items()}
                for kind, stages in self.stages.items()
            }
        }
        return found


class Noted:
    """A source that notes the times of the frames which it hands over."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.seconds: list[float] = []

    async def __aenter__(self) -> Self:
        await self._source.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._source.__aexit__(kind, error, trace)

    async def recv(self) -> Frame:
        frame = await self._source.recv()
        self.seconds.append(frame.seconds)
        return frame

    @property
    def state(self) -> SourceState:
        return self._source.state

    @property
    def stats(self) -> SourceStats:
        return self._source.stats

    def on_state(self, callback: StateCallback) -> None:
        self._source.on_state(callback)


class Lateness:
    """Follows cameras' frames into memory and notes how late each one is there."""

    def __init__(self, sessions: Sequence[Session], sources: Sequence[Noted]) -> None:
        self._pairs = list(zip(sessions, sources, strict=True))
        self._seen = [session.tokens.frames for session, _ in self._pairs]
        self.late: list[list[float]] = [[] for _ in self._pairs]

    def look(self) -> None:
        """Note the frames that have come into memory since the last look."""
        now = time.time()
        for number, (session, source) in enumerate(self._pairs):
            # Frames dropped on the way would shift the numbers; a stage with dropped ones has failed anyhow.
            held = min(session.tokens.frames, len(source.seconds))
            self.late[number] += [now - seconds for seconds in source.seconds[self._seen[number] : held]]
            self._seen[number] = held


class Meter:
    """Processor time of ours and of the cameras, from now on."""

    def __init__(self, wall: Wall) -> None:
        self._wall = wall
        self._began, self._own, self._theirs = time.perf_counter(), own_cpu_s(), wall.cpu_s

    def read(self) -> Load:
        """What was used since."""
        wall_s = time.perf_counter() - self._began
        return Load((own_cpu_s() - self._own) / wall_s, (self._wall.cpu_s - self._theirs) / wall_s, resident_mb())


async def _begun(frames: Sequence[list[float]]) -> None:
    """Wait until every camera has given three frames. Raises LlamaVidError where one does not."""
    deadline = time.monotonic() + BEGIN_S
    while any(len(each) < 3 for each in frames):
        if time.monotonic() > deadline:
            silent = sum(len(each) < 3 for each in frames)
            raise LlamaVidError(f"{silent} of {len(frames)} cameras gave no three frames in {BEGIN_S:.0f} s")
        await asyncio.sleep(0.1)


async def watch(model: LLaMAVID, wall: Wall, number: int, seconds: float, read_seconds: float) -> Stage:
    """Watch the first `number` cameras of a wall, then read them alone."""
    sources = [Noted(open_source(url, live=True)) for url in wall.urls[:number]]
    async with contextlib.AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(model.watch(source, name=f"camera-{at}"))
            for at, source in enumerate(sources)
        ]
        await _begun([source.seconds for source in sources])
        await asyncio.sleep(SETTLE_S)
        before = [session.stats for session in sessions]
        lateness, meter = Lateness(sessions, sources), Meter(wall)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            lateness.look()
            await asyncio.sleep(LOOK_S)
        load = meter.read()
        after = [session.stats for session in sessions]
    only, only_late = await read(wall, number, read_seconds)
    return Stage(
        number,
        seconds,
        tuple(late for each in lateness.late for late in each),
        min(len(each) for each in lateness.late),
        sum(new.dropped - old.dropped for old, new in zip(before, after, strict=True)),
        sum(new.reconnects - old.reconnects for old, new in zip(before, after, strict=True)),
        load,
        only,
        only_late,
    )


async def read(wall: Wall, number: int, seconds: float) -> tuple[Load, tuple[float, ...]]:
    """Read and decode the first `number` cameras with nobody to look at the frames: load, and how late they came."""
    sources = [Noted(open_source(url, live=True)) for url in wall.urls[:number]]
    late: list[float] = []

    async def drain(source: Noted) -> None:
        with contextlib.suppress(EndOfStream):
            while True:
                frame = await source.recv()
                late.append(time.time() - frame.seconds)

    async with contextlib.AsyncExitStack() as stack:
        for source in sources:
            await stack.enter_async_context(source)
        tasks = [asyncio.create_task(drain(source), name=f"drain {at}") for at, source in enumerate(sources)]
        try:
            await _begun([source.seconds for source in sources])
            await asyncio.sleep(min(SETTLE_S, seconds))
            late.clear()
            meter = Meter(wall)
            await asyncio.sleep(seconds)
            load = meter.read()
            found = tuple(late)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
    return load, found


async def _kind(
    model: LLaMAVID, films: Sequence[Path], counts: Sequence[int], seconds: float, read_seconds: float
) -> dict[int, Stage]:
    stages: dict[int, Stage] = {}
    for number in sorted(counts):
        with Wall(films, number) as wall:  # a new one each time: every stream begins at its film's start
            stages[number] = await watch(model, wall, number, seconds, read_seconds)
        if not stages[number].kept_up:
            break
    return stages


def measure(
    runs: int | None = None,
    *,
    counts: dict[Kind, tuple[int, ...]] | None = None,
    seconds: float = SECONDS,
    read_seconds: float = READ_SECONDS,
    model: LLaMAVID | None = None,
) -> Cameras:
    """More and more cameras of each kind until one number is too many; `runs` takes only the first so many numbers.

    Raises ConfigError where GStreamer's RTSP server is not installed.
    """
    wanted = {kind: numbers[:runs] for kind, numbers in (counts or COUNTS).items()}
    model = model or LLaMAVID.from_pretrained("mini")
    return asyncio.run(_measure(model, wanted, seconds, read_seconds))


async def _measure(
    model: LLaMAVID, wanted: dict[Kind, tuple[int, ...]], seconds: float, read_seconds: float
) -> Cameras:
    # Films long enough for the slowest beginning, the figure, and the reading after it.
    length = int(BEGIN_S + 2 * SETTLE_S + seconds + read_seconds + 30)
    stages: dict[Kind, dict[int, Stage]] = {}
    with tempfile.TemporaryDirectory(prefix="llama-vid-cameras-") as place:
        for kind, numbers in wanted.items():
            films = quiet_films(Path(place), length) if kind == "quiet" else busy_films(Path(place), length)
            stages[kind] = await _kind(model, films, numbers, seconds, read_seconds)
    return Cameras(stages)


if __name__ == "__main__":
    from evaluation.report import print_table

    print_table(measure())
