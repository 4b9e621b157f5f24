"""How soon an alert arrives: from the frame that satisfies a rule to the MQTT message, with eight cameras.

    llama-vid bench alerts              (or: python -m benchmarks.alerts)

Real RTSP cameras on loopback (640×360, a key frame a second) show a street with cars and a cartoon in turn. The
server's own parts watch them: rules with a second look, the journal, which has an alert on disk before it is told, the
outbox, and the MQTT bridge to a real mosquitto. A subscriber notes when each `new` arrives; it is as late as that is
after the time of the frame with which the rule was satisfied for as long as `for` says. Floor in the same run: a
message from one MQTT client to another through the same broker. Beside it stands what one rule and fifty cost of a
frame that changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiomqtt

from benchmarks.asking import percentile
from benchmarks.processes import own_cpu_s
from benchmarks.rule_costs import rule_costs
from benchmarks.samples import loop_film
from benchmarks.wall import QUIET_RATE, QUIET_SIZE, Wall, clip_images, write_film
from llama_vid.alert_desk import AlertDesk
from llama_vid.announcing import Announcements, ServerCameras
from llama_vid.camera_desk import CameraDesk
from llama_vid.errors import ConfigError, LlamaVidError
from llama_vid.history import History
from llama_vid.memory.alerts import AlertChange
from llama_vid.memory.journal import Journal
from llama_vid.model import LLaMAVID
from llama_vid.session import Session
from llama_vid.settings import Config
from llama_vid.stream.whip import WhipIngest

CAMERAS: Final = 8
SECONDS: Final = 120.0
SHOWN_S: Final = 9  # seconds of each film before the other one
GOAL_S: Final = 1.5
PINGS: Final = 100
RULES: Final = (
    {"name": "car", "when": "a car", "for": "2s", "cooldown": "0s"},
    {"name": "dog", "when": "a dog", "for": "2s", "cooldown": "0s"},
    {"name": "person", "when": "a person", "for": "2s", "cooldown": "0s"},
)


@dataclass(frozen=True, slots=True)
class Alerts:
    """How late every `new` arrived, in seconds, how many were raised, and the broker's own delay."""

    cameras: int
    seconds: float
    late_s: tuple[float, ...]
    raised: int
    told_s: tuple[float, ...]
    ping_s: tuple[float, ...]
    cores: float
    rules_s: dict[int, float]

    def to_json(self) -> dict[str, Any]:
        def shape(values: tuple[float, ...]) -> dict[str, float | None]:
            return {
                "median_s": median(values) if values else None,
                "p95_s": percentile(values, 0.95) if values else None,
                "most_s": max(values, default=None),
            }

        return {
            "name": "alerts",
            "n": len(self.late_s),
            "cameras": self.cameras,
            "seconds": self.seconds,
            "raised": self.raised,
            "frame_to_message": shape(self.late_s) | {"goal_p95_s": GOAL_S},
            "of_it_frame_to_listener": shape(self.told_s),
            "cores": self.cores,
            "rules_s_a_frame": {str(count): seconds for count, seconds in self.rules_s.items()},
            "floor": {"message_through_the_broker": shape(self.ping_s)},
        }


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[int]:
    """A mosquitto on a free port. Raises ConfigError where it is not installed or does not start."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        raise ConfigError("the benchmark of alerts needs a broker: apt-get install mosquitto")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    settings = folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([program, "-c", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > deadline or process.poll() is not None:
                raise ConfigError("mosquitto did not start")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def films(folder: Path, seconds: int) -> list[Path]:
    """A street with cars, then a cartoon, again and again; two films that begin with the one or the other."""
    out = []
    for number, names in enumerate((("bikes.mp4", "bigbuckbunny.mp4"), ("bigbuckbunny.mp4", "bikes.mp4"))):
        frames = SHOWN_S * QUIET_RATE
        images = (image for name in names for image in islice(clip_images(name, QUIET_SIZE), frames))
        path = write_film(folder / f"turn-{number}.mp4", images, QUIET_SIZE, QUIET_RATE, QUIET_RATE)
        out.append(loop_film(path, folder / f"street-{number}.mp4", seconds))
    return out


async def _arrivals(port: int) -> AsyncIterator[tuple[str, float]]:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("llama_vid/+/events", qos=1)
        async for message in client.messages:
            tree = json.loads(bytes(message.payload))
            if tree["event_type"] == "new":
                yield str(tree["id"]), time.time()


async def _ping(port: int) -> tuple[float, ...]:
    took = []
    async with aiomqtt.Client("127.0.0.1", port) as one, aiomqtt.Client("127.0.0.1", port) as other:
        await other.subscribe("ping", qos=1)
        heard = aiter(other.messages)
        for _ in range(PINGS):
            began = time.perf_counter()
            await one.publish("ping", b"x" * 200, qos=1)
            await anext(heard)
            took.append(time.perf_counter() - began)
    return tuple(took)


def measure(
    runs: int | None = None, *, cameras: int = CAMERAS, seconds: float = SECONDS, model: LLaMAVID | None = None
) -> Alerts:
    """Watch for `seconds` (`runs` × 30 s where given). Raises ConfigError where a peer is missing."""
    seconds = seconds if runs is None else 30.0 * runs
    with tempfile.TemporaryDirectory(prefix="llama-vid-alerts-") as place, contextlib.ExitStack() as stack:
        folder = Path(place)
        port = stack.enter_context(broker(folder))
        journal = stack.enter_context(Journal(folder / "memory"))
        model = model or LLaMAVID.from_pretrained("mini", journal=journal)
        costs = rule_costs(model.bundle)
        wall = stack.enter_context(Wall(films(folder, int(seconds) + 90), cameras))
        return asyncio.run(_watch(model, journal, wall, port, seconds, costs))


async def _watch(
    model: LLaMAVID, journal: Journal, wall: Wall, port: int, seconds: float, costs: dict[int, float]
) -> Alerts:
    config = Config.model_validate(
        {
            "mqtt": {"host": "127.0.0.1", "port": port},
            "cameras": {f"camera-{at}": {"url": url, "alerts": RULES} for at, url in enumerate(wall.urls)},
        }
    )
    announcements = Announcements.of(config)
    announcements.open(journal.alerts)
    alerts = AlertDesk(journal)
    raised: dict[str, AlertChange] = {}
    told: dict[str, float] = {}
    came: dict[str, float] = {}

    def heard(change: AlertChange) -> None:
        if change.type == "new":
            raised[change.event.id], told[change.event.id] = change, time.time()

    async def collect() -> None:
        async for name, when in _arrivals(port):
            came.setdefault(name, when)

    async with CameraDesk(lambda name, fps: WhipIngest(name, fps=fps), alerts) as desk, asyncio.TaskGroup() as group:
        desk.use_model(model)
        alerts.listen(heard)
        cameras = ServerCameras(desk, History(desk, journal), journal)
        tasks = [group.create_task(collect(), name="arrivals"), group.create_task(alerts.run(), name="teller")]
        tasks += announcements.start(group, cameras, journal.alerts)
        ping = await _ping(port)
        for name, settings in config.cameras.items():
            desk.add(name, settings)
        began, used = time.monotonic(), own_cpu_s()
        await asyncio.sleep(seconds)
        cores = (own_cpu_s() - used) / (time.monotonic() - began)
        await asyncio.sleep(2.0)  # the last ones on their way
        at = {name: frame_time(desk, change) for name, change in raised.items()}
        late = tuple(came[name] - at[name] for name in at if name in came)
        told_s = tuple(told[name] - at[name] for name in at)
        for name in desk.names():
            await desk.remove(name)
        for task in tasks:
            task.cancel()
    if not late:
        raise LlamaVidError("no alert was raised; the sample films do not show what the rules look for")
    return Alerts(len(config.cameras), seconds, late, len(raised), told_s, ping, cores, costs)


def frame_time(desk: CameraDesk, change: AlertChange) -> float:
    """When the frame was taken with which a rule was satisfied for long enough: a change is dated to that frame's end,
    up to which it stands for what the camera sees.
    """
    session = desk.camera(change.event.camera).session
    assert isinstance(session, Session)
    return next(second.start for second in reversed(session.rule_scores) if second.end == change.at)


if __name__ == "__main__":
    from evaluation.report import print_table

    print_table(measure())
