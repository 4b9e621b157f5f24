"""Cameras, an outbox in a real journal and a bridge, as small as they can be; also a process that can be killed.

`python -m tests.clients.mqtt.yard FOLDER PORT FIRST LONGEST` runs them, the bridge waiting FIRST to LONGEST seconds
between attempts; told "raise N" in a line it records N events, says "recorded ID" as each is on disk, and goes on until
it is killed.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from PIL import Image

from llama_vid.clients.mqtt.bridge import CHANNEL, MqttBridge
from llama_vid.clients.mqtt.options import MqttOptions
from llama_vid.clients.mqtt.source import CameraCard, Reply, SpokenLine
from llama_vid.errors import QuestionError
from llama_vid.memory.alerts import AlertChange, AlertEvent, event_id
from llama_vid.memory.journal import Journal

NOON = 1_790_000_000.0


def jpeg(side: int = 64) -> bytes:
    """A picture with noise in it, so that it has some bytes."""
    out = io.BytesIO()
    Image.effect_noise((side, side), 80).convert("RGB").save(out, "JPEG", quality=90)
    return out.getvalue()


class Cameras:
    """What the bridge needs of a server, with a real listener list and no model."""

    def __init__(self, *cards: CameraCard, picture: bytes | None = None) -> None:
        self.all = {card.name: card for card in cards}
        self.picture = jpeg() if picture is None else picture
        self.asked: list[tuple[str, str]] = []
        self._listeners: list[Callable[[str], None]] = []
        self._hearers: list[Callable[[str, SpokenLine], None]] = []

    def set(self, card: CameraCard) -> None:
        """A camera is this now."""
        self.all[card.name] = card
        self._tell(card.name)

    def remove(self, name: str) -> None:
        """A camera goes."""
        del self.all[name]
        self._tell(name)

    def _tell(self, name: str) -> None:
        for callback in self._listeners:
            callback(name)

    def cards(self) -> list[CameraCard]:
        return list(self.all.values())

    def listen(self, callback: Callable[[str], None]) -> Callable[[], None]:
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def hear(self, callback: Callable[[str, SpokenLine], None]) -> Callable[[], None]:
        self._hearers.append(callback)
        return lambda: self._hearers.remove(callback)

    def say(self, camera: str, line: SpokenLine) -> None:
        """Somebody said something in front of a camera."""
        for callback in self._hearers:
            callback(camera, line)

    async def ask(self, camera: str, question: str) -> Reply:
        self.asked.append((camera, question))
        if "impossible" in question:
            raise QuestionError("the question cannot be answered; ask another one")
        if "broken" in question:
            raise RuntimeError("a bug")
        return Reply(f"You asked: {question}", (NOON, NOON + 1.5))

    async def pause(self, camera: str, paused: bool) -> None:
        self.set(replace(self.all[camera], paused=paused))

    async def jpeg(self, camera: str, seconds: float) -> bytes | None:
        return self.picture


def event(n: int = 0, *, camera: str = "front", rule: str = "package") -> AlertEvent:
    at = NOON + n
    return AlertEvent(event_id(), camera, rule, "a package left at the door", at, None, 0.87654, None, (at,), at - 1)


def began(of: AlertEvent) -> AlertChange:
    return AlertChange("new", of, of.start + 3)


def ended(of: AlertEvent, **known: object) -> AlertChange:
    return AlertChange("end", replace(of, end=of.start + 9, **known), of.start + 9)  # type: ignore[arg-type]


def options(port: int, **more: object) -> MqttOptions:
    return MqttOptions("127.0.0.1", port, **more)  # type: ignore[arg-type]


#: Seconds between a bridge's attempts in tests: the first and the longest.
QUICK = (0.05, 0.2)


@asynccontextmanager
async def running(
    cameras: Cameras, journal: Journal, options: MqttOptions, waits: tuple[float, float] = QUICK
) -> AsyncIterator[MqttBridge]:
    """A bridge at work; ended cleanly, seen to have ended."""
    journal.alerts.channels([CHANNEL])
    bridge = MqttBridge(options, cameras, journal.alerts, first_wait=waits[0], longest_wait=waits[1])
    task = asyncio.create_task(bridge.run(), name="bridge")
    try:
        yield bridge
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _serve(folder: Path, port: int, waits: tuple[float, float]) -> None:
    cameras = Cameras(CameraCard("front", "live", ("package",)))
    loop = asyncio.get_running_loop()
    count = itertools.count()
    with Journal(folder) as journal:
        async with running(cameras, journal, options(port), waits):
            print("ready", flush=True)
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                for _ in range(int(line.split()[1])):
                    of = event(next(count))
                    assert await journal.alerts.committed(journal.alerts.record(began(of)))
                    print(f"recorded {of.id}", flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2]), (float(sys.argv[3]), float(sys.argv[4]))))
