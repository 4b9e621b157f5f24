"""Our messages in Home Assistant's own hands: its schemas take them, and its core makes entities of them.

For people who change what is discovered; the field lists in `test_discovery.py` stand for it everywhere else. It needs
a Python that has Home Assistant (`docs/mqtt.md` says how), named by LLAMA_VID_HOME_ASSISTANT.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llama_vid.clients.mqtt.discovery import Discovery
from llama_vid.clients.mqtt.source import CameraCard
from llama_vid.clients.mqtt.topics import Topics
from llama_vid.memory.journal import Journal
from tests.clients.mqtt.yard import Cameras, began, ended, event, options, running
from tests.peers.mosquitto import Broker, missing
from tests.peers.rtsp import free_port

PYTHON = os.environ.get("LLAMA_VID_HOME_ASSISTANT", "")
CARD = CameraCard("front-2", "live", ("package", "Päckchen an der Tür", "night visit"), summary="A quiet street.")
#: Seconds for Home Assistant to start, and to follow.
PATIENCE_S = 60.0

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not PYTHON, reason="LLAMA_VID_HOME_ASSISTANT names no Python that has homeassistant"),
]


def test_its_schemas_take_a_message_with_all_that_it_holds() -> None:
    message = Discovery(Topics("home/cams"), "homeassistant").message(CARD)
    script = Path(__file__).with_name("home_assistant.py")
    checked = subprocess.run([PYTHON, script], input=json.dumps(message), capture_output=True, text=True, timeout=120)
    assert checked.returncode == 0, checked.stderr[-2000:]
    found = json.loads(checked.stdout)
    newer = {"default_entity_id"}  # since 2025.10
    assert all(set(names) <= newer for names in found["unknown"].values()), found


class House:
    """A running Home Assistant."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, line: str = "") -> Any:
        """The answer to a command; without one, what it says first."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if line:
            self._process.stdin.write(f"{line}\n".encode())
        return json.loads(await self._process.stdout.readline())

    async def until(self, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The entities, by what their ids end with, as soon as they are as wanted. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.ask("states")
                if condition(found):
                    return dict(found)
                await asyncio.sleep(0.1)


@asynccontextmanager
async def house(folder: Path, broker: Broker) -> AsyncIterator[House]:
    """Home Assistant with an empty configuration in a folder."""
    script = Path(__file__).with_name("home_assistant_core.py")
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(PYTHON, str(script), str(folder), str(broker.port), str(free_port())),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, limit=1 << 20,
        )  # fmt: skip
        found = House(process)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await found.ask()
            yield found
        finally:
            process.kill()
            await process.communicate()


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_its_core_makes_entities_that_follow_the_camera(tmp_path: Path) -> None:
    for name in ("broker", "house"):
        (tmp_path / name).mkdir()
    asyncio.run(_followed(tmp_path))


async def _followed(folder: Path) -> None:
    cameras = Cameras(CARD)
    with Broker(folder / "broker") as broker, Journal(folder / "journal") as journal:
        async with house(folder / "house", broker) as home:
            async with running(cameras, journal, options(broker.port)):

                def named(states: dict[str, Any], name: str) -> dict[str, Any]:
                    """The state of the one entity with this name."""
                    of = [each for each in states.values() if each.get("friendly_name") == f"front-2 {name}"]
                    return of[0] if of else {}

                names = (
                    "package",
                    "Päckchen an der Tür",
                    "night visit",
                    "Alerts",
                    "Evidence",
                    "Summary",
                    "Pause alerts",
                )
                states = await home.until(lambda found: all(named(found, name) for name in names))
                assert await home.ask("devices") == ["front-2"]
                states = await home.until(lambda found: named(found, "Summary")["state"] == "A quiet street.")
                assert named(states, "Summary")["text"] == "A quiet street."
                assert [named(states, name)["state"] for name in names[:3]] == ["off"] * 3
                assert named(states, "Pause alerts")["state"] == "off"
                assert named(states, "Evidence")["state"] == "unknown"

                of = event(camera="front-2")
                journal.alerts.record(began(of))
                states = await home.until(lambda found: named(found, "Evidence")["state"] != "unknown")
                assert named(states, "package")["state"] == "on"
                assert named(states, "package")["text"] == of.text
                assert named(states, "night visit")["state"] == "off"
                told = named(states, "Alerts")
                assert (told["event_type"], told["id"], told["rule"]) == ("new", of.id, "package")
                journal.alerts.record(ended(of, verified=True))
                states = await home.until(lambda found: named(found, "package")["state"] == "off")
                await home.until(lambda found: named(found, "Alerts")["event_type"] == "end")

                switch = next(name for name, each in states.items() if each is named(states, "Pause alerts"))
                await home.ask(f"call switch turn_on {switch}")
                await home.until(lambda found: named(found, "Pause alerts")["state"] == "on")
                assert cameras.all["front-2"].paused

                cameras.set(replace(cameras.all["front-2"], rules=("package",)))
                await home.until(lambda found: not named(found, "night visit") and named(found, "package"))
                cameras.set(CameraCard("yard", "live", ("fox",)))
                await home.until(lambda found: any("yard" in name for name in found))
                cameras.remove("yard")
                await home.until(lambda found: not any("yard" in name for name in found))
            await home.until(lambda found: named(found, "package")["state"] == "unavailable")
