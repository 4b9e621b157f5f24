"""The running server and a real broker: alerts, states, questions and pauses over MQTT, and a webhook beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llama_vid.memory.alerts import AlertChange
from tests.peers.mosquitto import Broker, Listener, missing
from tests.server.running import RunningServer, running_server, until
from tests.server.test_alerts import EVENT
from tests.server.test_config_watch import write

pytestmark = [pytest.mark.peer, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    with Broker(folder, users={"lvl": "open-sesame"}) as broker:
        yield broker


def config(path: Path, broker: Broker, alerts: str = "[{name: package, when: a package}]") -> Path:
    """A configuration with the broker; its password is in a file beside it."""
    (path / "password").write_text("open-sesame\n")
    file = path / "llama-vid.yaml"
    write(
        file,
        "server: {port: 0}\nmemory: {path: memory}\n"
        f"mqtt: {{host: 127.0.0.1, port: {broker.port}, username: lvl, password_file: password}}\n"
        f"cameras:\n  front: {{url: 'rtsp://127.0.0.1:9/a', alerts: {alerts}}}\n",
    )
    return file


async def announced(server: RunningServer, listener: Listener) -> None:
    """Waits until the bridge has told of the camera."""
    await listener.last("llama_vid/available", "online")
    await listener.last("llama_vid/front/alert/package/state", "OFF")


async def test_alerts_questions_and_pauses_go_over_the_broker(tmp_path: Path, broker: Broker) -> None:
    file = config(tmp_path, broker)
    async with Listener(broker.port, username="lvl", password="open-sesame") as listener:
        with running_server(file=file, memory=tmp_path / "memory") as server:
            await announced(server, listener)
            session = server.model.session("front")
            session.alert(AlertChange("new", EVENT, 7.0))
            await listener.last("llama_vid/front/alert/package/state", "ON")
            await listener.until(lambda: listener.on("llama_vid/front/evidence"))
            assert listener.on("llama_vid/front/evidence")[0].payload[:2] == b"\xff\xd8"
            session.alert(AlertChange("end", replace(EVENT, end=9.5), 12.0))
            await listener.last("llama_vid/front/alert/package/state", "OFF")
            await listener.until(lambda: len(listener.on("llama_vid/front/events")) == 2)
            told = [json.loads(message.payload) for message in listener.on("llama_vid/front/events")]
            assert [(each["event_type"], each["id"]) for each in told] == [("new", "evt_1"), ("end", "evt_1")]

            await listener.send("llama_vid/front/ask/set", json.dumps({"question": "Who is there?", "id": "q7"}))
            await listener.until(lambda: listener.on("llama_vid/front/answer"))
            assert "Who is there?" in listener.on("llama_vid/front/answer")[0].text
            assert "q7" in listener.on("llama_vid/front/answer")[0].text

            await listener.send("llama_vid/front/paused/set", "ON")
            await listener.last("llama_vid/front/paused/state", "ON")
            assert session.paused
            assert server.http.get("/api/cameras/front/alerts").json()["paused"] is True
            server.http.put("/api/cameras/front/alerts", json={"paused": False})
            await listener.last("llama_vid/front/paused/state", "OFF")

            config(tmp_path, broker, "[{name: dog, when: a dog}]")
            await listener.last("llama_vid/front/alert/dog/state", "OFF")
        await listener.last("llama_vid/available", "offline")


async def test_an_alert_that_the_broker_missed_comes_after_a_restart(tmp_path: Path, broker: Broker) -> None:
    file = config(tmp_path, broker)
    with running_server(file=file, memory=tmp_path / "memory") as server:
        until(lambda: broker.log.count("lvl") > 0, "the bridge to connect")
        broker.stop()
        server.model.session("front").alert(AlertChange("new", EVENT, 7.0))
        until(lambda: server.http.get("/api/cameras/front/events").json()["events"], "the event on disk")
    broker.start()
    async with Listener(broker.port, username="lvl", password="open-sesame") as listener:
        with running_server(file=file, memory=tmp_path / "memory"):
            await listener.until(lambda: listener.on("llama_vid/front/events"))
            first = json.loads(listener.on("llama_vid/front/events")[0].payload)
    assert (first["event_type"], first["id"]) == ("new", "evt_1")
