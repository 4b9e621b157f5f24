"""Captions over a real broker: a finished line is one message, not retained, and none waits for a later connection."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llama_vid.clients.mqtt.source import CameraCard
from llama_vid.clients.mqtt.spoken import WAITING, SpokenLines
from llama_vid.clients.mqtt.topics import Topics
from llama_vid.llm.speech.words import Line
from llama_vid.memory.journal import Journal
from tests.clients.mqtt.yard import NOON, Cameras, options, running
from tests.peers.mosquitto import Broker, Listener, missing

HALL = CameraCard("hall", "live")
TOPIC = "llama_vid/hall/captions"


def line(n: int, text: str) -> Line:
    return Line(NOON + n, NOON + n + 1.25, text, ())


@pytest.mark.peer
@pytest.mark.skipif(bool(missing()), reason=missing())
async def test_what_is_said_is_published_line_by_line_and_not_retained(tmp_path: Path) -> None:
    cameras = Cameras(HALL)
    (tmp_path / "broker").mkdir()
    with Journal(tmp_path / "journal") as journal, Broker(tmp_path / "broker") as broker:
        async with Listener(broker.port) as listener, running(cameras, journal, options(broker.port)):
            await listener.last("llama_vid/available", "online")
            cameras.say("hall", line(0, "Ask not what your country can do for you."))
            cameras.say("hall", line(5, "Fragt <nicht> “was”."))
            await listener.until(lambda: len(listener.on(TOPIC)) == 2)
            first, second = listener.on(TOPIC)
            assert json.loads(first.payload) == {
                "start_time": "2026-09-21T14:13:20.000+00:00",
                "end_time": "2026-09-21T14:13:21.250+00:00",
                "text": "Ask not what your country can do for you.",
            }
            assert json.loads(second.payload)["text"] == "Fragt <nicht> “was”."
            async with Listener(broker.port) as later:
                await later.last("llama_vid/available", "online")
                assert later.on(TOPIC) == []


async def test_a_slow_broker_has_the_newest_lines_waiting() -> None:
    lines = SpokenLines(None, Topics("llama_vid"), "127.0.0.1")  # type: ignore[arg-type]
    for n in range(WAITING + 3):
        lines.add("hall", line(n, f"line {n}"))
    waiting = [lines._lines.get_nowait()[1].text for _ in range(lines._lines.qsize())]
    assert waiting == [f"line {n}" for n in range(3, WAITING + 3)]
