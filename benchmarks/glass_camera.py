"""How a camera did while it was watched for a while: frames, seconds without one, reconnects, the server's memory."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import httpx

from benchmarks.processes import resident_mb
from benchmarks.serving import cache_mb

LOOK_S: Final = 0.25
#: Seconds between two frames of a camera of one a second that are no miss yet: each is placed by the media's clock.
LATE_S: Final = 1.75


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes of the server: resident, and of that the camera's KV cache, which grows as it remembers."""

    resident_mb: float
    cache_mb: float


@dataclass(slots=True)
class Kept:
    """What a camera of one frame a second did; times in seconds."""

    watched_s: float = 0.0
    frames: int = 0
    missed_s: float = 0.0
    longest_gap_s: float = 0.0
    reconnects: int = 0
    away: dict[str, int] = field(default_factory=dict)  # why it was not live, and how often
    memory: list[Memory] = field(default_factory=list)  # at the beginning and at the end

    def camera(self) -> dict[str, Any]:
        """The rows about the camera."""
        return {
            "seconds": self.watched_s,
            "frames_watched": self.frames,
            "seconds_missed": self.missed_s,
            "longest_gap_s": self.longest_gap_s,
            "reconnects": self.reconnects,
        } | {f"lost: {reason}": times for reason, times in self.away.items()}

    def server(self) -> dict[str, float]:
        """The rows about the server's memory."""
        begin, end = self.memory[0], self.memory[-1]
        return {
            "resident_begin_mb": begin.resident_mb,
            "resident_end_mb": end.resident_mb,
            "of_it_cache_begin_mb": begin.cache_mb,
            "of_it_cache_end_mb": end.cache_mb,
        }


class Keeping:
    """Looks at a camera four times a second for the length of the block; what it saw is in `kept`."""

    def __init__(self, http: httpx.AsyncClient, camera: str, pid: int) -> None:
        """`pid` is the server's process."""
        self._http, self._camera, self._pid = http, camera, pid
        self._task: asyncio.Task[None] | None = None
        self._began = self._newest = 0.0
        self._first: dict[str, Any] = {}
        self.kept = Kept()

    async def __aenter__(self) -> Self:
        self._first = await self._look()
        self._began = self._newest = time.monotonic()
        self.kept.memory.append(await self._memory())
        self._task = asyncio.create_task(self._keep(), name="glass-camera")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})
        if kind is None:
            self._gap(time.monotonic())
            self.kept.watched_s = time.monotonic() - self._began
            self.kept.memory.append(await self._memory())

    async def _keep(self) -> None:
        state = "live"
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                seen = await self._look()
            except httpx.HTTPError:
                continue  # the next look tells; what was missed is in the gap
            now, frames = time.monotonic(), seen["frames"] - self._first["frames"]
            if frames > self.kept.frames:
                self._gap(now)
                self._newest, self.kept.frames = now, frames
            self.kept.reconnects = seen["reconnects"] - self._first["reconnects"]
            if seen["state"] != state and seen["state"] != "live":
                reason = str(seen.get("reason") or seen["state"]).split(";")[0]
                self.kept.away[reason] = self.kept.away.get(reason, 0) + 1
            state = seen["state"]

    def _gap(self, now: float) -> None:
        gap = now - self._newest
        self.kept.longest_gap_s = max(self.kept.longest_gap_s, gap)
        if gap > LATE_S:
            self.kept.missed_s += gap - 1

    async def _look(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self._http.get(f"/api/cameras/{self._camera}")).json()
        return found

    async def _memory(self) -> Memory:
        text = (await self._http.get("/metrics")).text
        return Memory(resident_mb(self._pid), cache_mb(text))
