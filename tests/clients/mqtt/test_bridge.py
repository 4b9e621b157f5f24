"""The bridge against a real broker: nothing lost, nothing out of order, retained states true, bad input survived.

With LLAMA_VID_OUTAGE_S=60 the broker is away for a minute in the tests of outages, the events come spread over it, and
the bridge waits between its attempts as it does at work.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiomqtt.client import ProtocolVersion
from PIL import Image

from llama_vid.clients.mqtt.bridge import FIRST_WAIT, LONGEST_WAIT
from llama_vid.clients.mqtt.options import tls_context
from llama_vid.clients.mqtt.source import CameraCard
from llama_vid.memory.journal import Journal
from tests.clients.mqtt.yard import NOON, QUICK, Cameras, began, ended, event, jpeg, options, running
from tests.conftest import ROOT
from tests.peers.mosquitto import Broker, Listener, certificates, missing
from tests.peers.waiting import until

pytestmark = [pytest.mark.peer, pytest.mark.skipif(bool(missing()), reason=missing())]

FRONT = CameraCard("front", "live", ("package", "person"), summary="A quiet street.")
CONFIG = "homeassistant/device/llama_vid_front/config"
#: Seconds for which a broker is away.
OUTAGE_S = float(os.environ.get("LLAMA_VID_OUTAGE_S", "0"))
WAITS = (FIRST_WAIT, LONGEST_WAIT) if OUTAGE_S else QUICK
#: Seconds for what follows: after a long outage the next attempt is up to the longest wait away.
PATIENCE_S = 60 + (LONGEST_WAIT if OUTAGE_S else 0)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    with Broker(folder) as broker:
        yield broker


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal") as journal:
        yield journal


def trees(listener: Listener, topic: str) -> list[dict[str, Any]]:
    return [json.loads(message.payload) for message in listener.on(topic)]


async def test_an_event_on_all_its_topics_and_a_clean_end(broker: Broker, journal: Journal) -> None:
    cameras = Cameras(FRONT)
    async with Listener(broker.port) as listener:
        async with running(cameras, journal, options(broker.port)) as bridge:
            await listener.last("llama_vid/available", "online")
            assert listener.on("llama_vid/front/status")[-1].text == "live"
            assert listener.on("llama_vid/front/alert/package/state")[-1].text == "OFF"
            assert bridge.state.connected
            of = event()
            journal.alerts.record(began(of))
            await listener.until(lambda: listener.on("llama_vid/front/evidence"))
            assert listener.on("llama_vid/front/evidence")[0].payload == cameras.picture
            assert listener.on("llama_vid/front/alert/package/state")[-1].text == "ON"
            journal.alerts.record(ended(of, verified=True))
            await listener.last("llama_vid/front/alert/package/state", "OFF")
            await listener.until(lambda: len(listener.on("llama_vid/front/events")) == 2)
            first, last = trees(listener, "llama_vid/front/events")
            assert first == {
                "event_type": "new",
                "id": of.id,
                "rule": "package",
                "text": "a package left at the door",
                "start_time": "2026-09-21T14:13:20.000+00:00",
                "end_time": None,
                "score": 0.8765,
                "verified": None,
            }
            assert last == first | {"event_type": "end", "end_time": "2026-09-21T14:13:29.000+00:00", "verified": True}
            attributes = trees(listener, "llama_vid/front/alert/package/attributes")[-1]
            assert attributes["id"] == of.id
            assert attributes["end_time"] == last["end_time"]
            assert listener.on("llama_vid/front/summary/state")[-1].text == "A quiet street."
        await listener.last("llama_vid/available", "offline")
    async with Listener(broker.port) as late:  # what is kept for whoever comes later
        await late.until(lambda: late.on("llama_vid/front/alert/person/state"))
        await late.until(lambda: late.on(CONFIG))
        assert all(message.retain for message in late.heard)
        assert not late.on("llama_vid/front/events")


async def test_a_broker_that_was_away_for_fifty_events(broker: Broker, journal: Journal) -> None:
    session = {"identifier": "house", "clean_session": False}
    async with Listener(broker.port, **session):
        pass  # from now on the broker keeps for it what it misses
    cameras = Cameras(FRONT)
    async with running(cameras, journal, options(broker.port), WAITS) as bridge:
        await until(lambda: bridge.state.connected)
        broker.stop()
        await until(lambda: not bridge.state.connected)
        events = [event(n) for n in range(50)]
        for of in events[:-1]:
            journal.alerts.record(began(of))
            journal.alerts.record(ended(of))
            await asyncio.sleep(OUTAGE_S / len(events))
        journal.alerts.record(began(events[-1]))
        assert journal.flush()
        cameras.set(replace(FRONT, state="stalled"))
        broker.start()
        async with Listener(broker.port, **session) as listener:
            topic = "llama_vid/front/events"
            await listener.until(lambda: len({tree["id"] for tree in trees(listener, topic)}) == 50, PATIENCE_S)
            changes = trees(listener, topic)
            assert list(dict.fromkeys(tree["id"] for tree in changes)) == [of.id for of in events]
            assert list(dict.fromkeys((tree["id"], tree["event_type"]) for tree in changes)) == [
                (of.id, kind) for of in events for kind in ("new", "end") if of is not events[-1] or kind == "new"
            ]
            assert changes[0]["start_time"] == "2026-09-21T14:13:20.000+00:00"
            states = [message.text for message in listener.on("llama_vid/front/alert/package/state")]
            assert list(dict.fromkeys(states)) == ["OFF", "ON"], "what is true now, not what was in between"
            assert states == sorted(states, key=["OFF", "ON"].index)
            await listener.last("llama_vid/front/status", "stalled")


def test_kill_nine_loses_no_alert_and_the_last_will_is_seen(tmp_path: Path, broker: Broker) -> None:
    asyncio.run(_killed(tmp_path / "journal", broker))


async def _killed(folder: Path, broker: Broker) -> None:
    recorded: list[str] = []

    async def begin() -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.clients.mqtt.yard", str(folder), str(broker.port), *map(str, WAITS)),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        return process

    async def record(process: asyncio.subprocess.Process, count: int, over_s: float = 0.0) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(count):
            process.stdin.write(b"raise 1\n")
            recorded.append((await process.stdout.readline()).decode().split()[1])
            await asyncio.sleep(over_s / count)

    async def kill(process: asyncio.subprocess.Process) -> None:
        process.kill()
        assert process.stdin is not None
        process.stdin.close()
        await process.communicate()

    session = {"identifier": "house", "clean_session": False}
    async with Listener(broker.port, **session) as listener:
        first = await begin()
        await listener.last("llama_vid/available", "online", timeout=60)
        await record(first, 10)
        await kill(first)  # while it sends
        await listener.last("llama_vid/available", "offline")
        before = trees(listener, "llama_vid/front/events")
    broker.stop()
    second = await begin()
    await record(second, 25, OUTAGE_S / 2)  # nobody listens
    await kill(second)
    third = await begin()
    await record(third, 25, OUTAGE_S / 2)
    broker.start()
    async with Listener(broker.port, **session) as listener:
        topic = "llama_vid/front/events"

        def new() -> list[str]:
            changes = [*before, *trees(listener, topic)]
            return list(dict.fromkeys(tree["id"] for tree in changes if tree["event_type"] == "new"))

        def over() -> set[str]:
            return {tree["id"] for tree in trees(listener, topic) if tree["event_type"] == "end"}

        await listener.until(lambda: len(new()) == len(recorded) == 60, PATIENCE_S)
        assert new() == recorded
        assert over() == set(recorded[:35]), "what a killed process left open is ended by the next one"
        await listener.last("llama_vid/front/alert/package/state", "ON")
    await kill(third)


async def test_discovery_follows_cameras_and_rules(broker: Broker, journal: Journal) -> None:
    cameras = Cameras(FRONT)
    yard = CameraCard("yard", "connecting", ("fox",))
    async with Listener(broker.port) as listener, running(cameras, journal, options(broker.port)):
        await listener.last("llama_vid/available", "online")
        await listener.until(lambda: listener.on(CONFIG))
        cameras.set(yard)
        await listener.until(lambda: listener.on("homeassistant/device/llama_vid_yard/config"))
        seen = len(listener.on(CONFIG))
        cameras.set(replace(FRONT, rules=("person",)))
        await listener.until(lambda: len(listener.on(CONFIG)) == seen + 2)
        going, gone = trees(listener, CONFIG)[-2:]
        assert going["cmps"]["alert_package"] == {"p": "binary_sensor"}
        assert "alert_package" not in gone["cmps"]
        assert "alert_person" in gone["cmps"]
        await listener.last("llama_vid/front/alert/package/state", "")
        seen = len(listener.on(CONFIG))
        await listener.send("homeassistant/status", "online")
        await listener.until(lambda: len(listener.on(CONFIG)) == seen + 1)
        cameras.remove("yard")
        for topic in ("homeassistant/device/llama_vid_yard/config", "llama_vid/yard/status"):
            await listener.last(topic, "")
        await listener.last("llama_vid/yard/alert/fox/state", "")
    async with Listener(broker.port) as late:
        await late.until(lambda: late.on(CONFIG))
        assert not [message for message in late.heard if "yard" in message.topic or "package" in message.topic]


async def test_what_went_while_the_program_was_off_is_removed(broker: Broker, journal: Journal) -> None:
    yard = CameraCard("yard", "live", ("fox",))
    foreign = {"o": {"name": "llama-vid"}, "availability": [{"topic": "other/available"}], "cmps": {}}
    other = "homeassistant/device/llama_vid_garden/config"
    async with Listener(broker.port) as listener:
        async with running(Cameras(FRONT, yard), journal, options(broker.port)):
            await listener.last("llama_vid/available", "online")
            await listener.until(lambda: listener.on("homeassistant/device/llama_vid_yard/config"))
        await listener.send(other, json.dumps(foreign), retain=True)
        seen = len(listener.on(CONFIG))
        async with running(Cameras(replace(FRONT, rules=("person",))), journal, options(broker.port)):
            for topic in ("homeassistant/device/llama_vid_yard/config", "llama_vid/yard/status"):
                await listener.last(topic, "")
            await listener.last("llama_vid/yard/alert/fox/state", "")
            await listener.last("llama_vid/front/alert/package/state", "")
            await listener.until(
                lambda: (
                    {"p": "binary_sensor"}
                    in [tree["cmps"].get("alert_package") for tree in trees(listener, CONFIG)[seen:]]
                )
            )
            await listener.until(lambda: "alert_package" not in trees(listener, CONFIG)[-1]["cmps"])
        assert listener.on(other)[-1].payload, "another program's device is left alone"


async def test_questions_and_pauses_come_in(broker: Broker, journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    cameras = Cameras(FRONT)
    answer = "llama_vid/front/answer"
    async with Listener(broker.port) as listener:
        await listener.send("llama_vid/front/ask/set", "an old question", retain=True)
        async with running(cameras, journal, options(broker.port)):
            await listener.last("llama_vid/available", "online")
            await listener.send("llama_vid/front/ask/set", '{"id": "7", "question": "Is there a fox?"}')
            await listener.until(lambda: listener.on(answer))
            assert trees(listener, answer)[0] == {
                "id": "7",
                "status": "completed",
                "question": "Is there a fox?",
                "answer": "You asked: Is there a fox?",
                "times": ["2026-09-21T14:13:20.000+00:00", "2026-09-21T14:13:21.500+00:00"],
                "error": None,
            }
            bad = (
                *(b"\xff\xfe", b"", b"{", b"[1]", b'{"id": "8"}', b'{"id": "9", "question": "x", "more": 1}'),
                *(b'{"id": ["x"], "question": "x"}', b'{"question": "' + b"x" * 5000 + b'"}', b"[" * 100_000),
                *(b'{"id": "10", "question": "impossible"}', b'{"id": "11", "question": "broken"}'),
            )
            for number, payload in enumerate(bad, start=2):
                await listener.send("llama_vid/front/ask/set", payload)
                await listener.until(lambda number=number: len(listener.on(answer)) == number)  # type: ignore[misc]
                assert trees(listener, answer)[-1]["status"] == "failed"
                assert trees(listener, answer)[-1]["error"]
            ids = [tree["id"] for tree in trees(listener, answer)]
            assert ids[5:7] == ["8", "9"]
            assert ids[-2:] == ["10", "11"]
            await listener.send("llama_vid/front/ask/set", "What is new?")
            await listener.until(lambda: trees(listener, answer)[-1]["answer"] == "You asked: What is new?")
            await listener.send("llama_vid/nobody/ask/set", "What is new?")
            await listener.until(lambda: listener.on("llama_vid/nobody/answer"))
            await listener.send("llama_vid/front/paused/set", "maybe")
            await listener.send("llama_vid/front/dance/set", "ON")
            await listener.send("llama_vid/front/paused/set", "ON")
            await listener.last("llama_vid/front/paused/state", "ON")
            await listener.send("llama_vid/front/paused/set", "OFF")
            await listener.last("llama_vid/front/paused/state", "OFF")
    assert ("front", "an old question") not in cameras.asked
    assert "paused/set takes ON or OFF" in caplog.text
    assert "nothing is called 'dance'" in caplog.text


def size(picture: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(picture)) as opened:
        return opened.size


@pytest.mark.parametrize("how", ["said", "refused", "hangs up"])
async def test_evidence_beyond_the_brokers_limit(tmp_path: Path, journal: Journal, how: str) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    line = "message_size_limit 20000" if how == "refused" else "max_packet_size 20000"
    cameras = Cameras(FRONT, picture=jpeg(300))
    assert len(cameras.picture) > 40_000
    with Broker(folder, lines=(line,)) as broker:
        async with Listener(broker.port) as listener, running(cameras, journal, options(broker.port)) as bridge:
            if how == "hangs up":
                bridge._version = ProtocolVersion.V311
            await listener.last("llama_vid/available", "online")
            events = [event(n) for n in range(5)]
            for of in events:
                journal.alerts.record(began(of))
            topic = "llama_vid/front/events"
            await listener.until(lambda: len({tree["id"] for tree in trees(listener, topic)}) == 5)
            assert list(dict.fromkeys(tree["id"] for tree in trees(listener, topic))) == [of.id for of in events]
            await listener.until(lambda: listener.on("llama_vid/front/evidence"))
            sent = listener.on("llama_vid/front/evidence")[-1].payload
            assert len(sent) <= 20_000
            assert size(sent)[0] <= 300


async def test_an_alert_beyond_the_brokers_limit_goes_without_its_text(
    tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    with Broker(folder, lines=("max_packet_size 500",)) as broker:
        async with Listener(broker.port) as listener, running(Cameras(FRONT), journal, options(broker.port)):
            await listener.last("llama_vid/available", "online")
            long, brief = replace(event(1), text="word " * 200), event(2)
            monstrous = replace(event(3), rule="r" * 500)
            for of in (long, monstrous, brief):
                journal.alerts.record(began(of))
            topic = "llama_vid/front/events"
            await listener.until(lambda: len(listener.on(topic)) == 2)
            assert [(tree["id"], tree["text"]) for tree in trees(listener, topic)] == [
                (long.id, ""), (brief.id, brief.text),
            ]  # fmt: skip
    assert caplog.text.count("this alert is left out") == 1


async def test_a_wrong_password_is_said_once_without_it_and_mended(
    tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    right = {"username": "cam", "password": "s3cret"}
    with Broker(folder, users={"cam": "s3cret"}) as broker:
        for password in ("wr0ng", None):
            wrong = options(broker.port, username="cam", password=password)
            assert "wr0ng" not in repr(wrong)
            caplog.clear()
            async with running(Cameras(FRONT), journal, wrong) as bridge:
                await until(lambda: broker.log.count("not authorised") >= 3)
                await until(lambda: "password" in bridge.state.reason)
                assert not bridge.state.connected
            said = [record for record in caplog.records if record.levelno >= logging.WARNING]
            assert len(said) == 1
            assert "check mqtt.username and mqtt.password_file" in said[0].getMessage()
            assert "wr0ng" not in caplog.text
            (folder / "mosquitto.log").write_text("")
        async with (
            Listener(broker.port, **right) as listener,
            running(Cameras(FRONT), journal, options(broker.port, **right)),
        ):
            await listener.last("llama_vid/available", "online")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a refused socket open
async def test_tls_with_a_clients_certificate(
    tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    made, stranger = certificates(tmp_path / "made"), certificates(tmp_path / "stranger")
    folder = tmp_path / "broker"
    folder.mkdir()
    lines = (
        *(f"cafile {made.ca}", f"certfile {made.server}", f"keyfile {made.server_key}"),
        *("require_certificate true", "use_identity_as_username true"),
    )
    with Broker(folder, lines=lines) as broker:
        good = tls_context(made.ca, made.client, made.client_key, insecure=False)
        for context, said in (
            (tls_context(stranger.ca, made.client, made.client_key, insecure=False), "certificate verify failed"),
            (tls_context(made.ca, stranger.client, stranger.client_key, insecure=False), "which certificate"),
            (None, "whether it expects TLS"),
        ):
            caplog.clear()
            async with running(Cameras(FRONT), journal, options(broker.port, tls=context)) as bridge:
                await until(lambda: "not connected yet" not in bridge.state.reason)
                assert not bridge.state.connected
                assert said in bridge.state.reason
            assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
        for context in (good, tls_context(None, made.client, made.client_key, insecure=True)):
            async with (
                Listener(broker.port, tls_context=good) as listener,
                running(Cameras(FRONT), journal, options(broker.port, tls=context)) as bridge,
            ):
                await listener.last("llama_vid/available", "online")
                await until(lambda: bridge.state.connected)


async def test_a_bug_below_does_not_end_the_bridge(
    broker: Broker, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Cameras):
        async def jpeg(self, camera: str, seconds: float) -> bytes | None:
            if not self.asked:
                self.asked.append((camera, ""))
                raise RuntimeError("a bug")
            return await super().jpeg(camera, seconds)

    async with Listener(broker.port) as listener, running(Broken(FRONT), journal, options(broker.port)):
        await listener.last("llama_vid/available", "online")
        journal.alerts.record(began(event()))
        await listener.until(lambda: listener.on("llama_vid/front/evidence"))
        assert len(listener.on("llama_vid/front/events")) == 2  # once or more
    assert "a bug" in caplog.text
    assert NOON
