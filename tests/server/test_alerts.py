"""Alerts through the running server: from a camera's rules to the websocket, and rules that change while it runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from llama_vid.clients import Client
from llama_vid.clients.protocol import Alert
from llama_vid.memory.alerts import AlertChange, AlertEvent
from llama_vid.model import LLaMAVID
from tests.server.running import RunningServer, running_server, until
from tests.server.test_config_watch import write

EVENT = AlertEvent("evt_1", "front", "package", "Seen: a package.", 4.0, None, 0.91, frames=(6.0, 9.0), before=3.0)


async def heard(client: Client, count: int) -> list[Alert]:
    found: list[Alert] = []
    async with asyncio.timeout(10):
        async for alert in client.alerts():
            found.append(alert)
            if len(found) == count:
                break
    return found


async def test_an_event_is_told_from_its_beginning_to_its_end(server: RunningServer) -> None:
    async with Client.connect(server.url) as client:
        session = server.model.session("front")
        session.alert(AlertChange("new", EVENT, 7.0))
        session.alert(AlertChange("update", replace(EVENT, verified=True), 8.0))
        session.alert(AlertChange("end", replace(EVENT, verified=True, end=9.5), 12.0))
        new, update, end = await heard(client, 3)
    assert [alert.type for alert in (new, update, end)] == ["alert.new", "alert.update", "alert.end"]
    assert (new.id, new.camera, new.rule, new.start, new.end, new.verified) == (
        "evt_1", "front", "package", 4.0, None, None,
    )  # fmt: skip
    assert (new.frame_url, new.before_url) == (
        "/api/cameras/front/frames/6.jpg",
        "/api/cameras/front/frames/3.jpg",
    )
    assert server.http.get(new.frame_url).headers["content-type"] == "image/jpeg"
    assert (update.verified, end.end) == (True, 9.5)


async def test_a_client_hears_of_the_cameras_that_it_chose(server: RunningServer) -> None:
    async with Client.connect(server.url) as client, Client.connect(server.url) as other:
        await client.choose(["back"])
        async with asyncio.timeout(10):
            async for status in client.statuses():  # the answer to `choose`: it is in force
                if status.camera == "back" and client.states.keys() >= {"front", "back"}:
                    break
            await client.answer("back", "count 1")
        server.model.session("front").alert(AlertChange("new", EVENT, 7.0))
        assert [alert.camera for alert in await heard(other, 1)] == ["front"]
        server.model.session("back").alert(AlertChange("new", replace(EVENT, camera="back"), 7.0))
        assert [alert.camera for alert in await heard(client, 1)] == ["back"]


def test_changed_rules_reach_the_camera_that_goes_on_watching(tmp_path: Path) -> None:
    path = tmp_path / "llama-vid.yaml"
    head = "server: {port: 0}\ncameras:\n"
    write(path, head + "  a: {url: 'rtsp://127.0.0.1:9/a', alerts: [{name: dog, when: a dog}]}\n")
    with running_server(file=path) as server:
        session = until(lambda: server.model.session("a"), "the camera")
        assert [rule.name for rule in session.rules] == ["dog"]
        write(path, head + "  a: {url: 'rtsp://127.0.0.1:9/a', alerts: [{name: cat, when: a cat, for: 2s}]}\n")
        until(lambda: [(rule.name, rule.hold) for rule in session.rules] == [("cat", 2.0)], "the new rules")
        assert not session.closed.is_set()
        assert len(server.model.sessions["a"]) == 1
        write(path, head + "  a: {url: 'rtsp://127.0.0.1:9/a', fps: 2, alerts: [{name: cat, when: a cat}]}\n")
        until(lambda: len(server.model.sessions["a"]) == 2, "the camera opened anew")
        assert [rule.name for rule in server.model.session("a").rules] == ["cat"]


async def test_events_are_on_disk_before_they_are_told_and_are_there_after_a_restart(tmp_path: Path) -> None:
    with running_server(memory=tmp_path) as server:
        async with Client.connect(server.url) as client:
            session = server.model.session("front")
            session.alert(AlertChange("new", EVENT, 7.0))
            await heard(client, 1)
            assert server.journal is not None
            assert [event.id for event in server.journal.alerts.open_events("front")] == ["evt_1"]
            session.alert(AlertChange("new", replace(EVENT, id="evt_2", rule="dog", start=20.0, verified=True), 21.0))
            await heard(client, 1)
        found = server.http.get("/api/cameras/front/events").json()["events"]
        assert [event["id"] for event in found] == ["evt_1", "evt_2"]
        assert found[0]["frame_urls"][0] == "/api/cameras/front/frames/6.jpg"
        assert [e["id"] for e in server.http.get("/api/cameras/front/events?from=15&to=30").json()["events"]] != []
        assert server.http.get("/api/cameras/front/events?limit=1").json()["events"][0]["id"] == "evt_2"
        assert server.http.get("/api/cameras/back/events").json() == {"events": []}
    with running_server(memory=tmp_path, cameras={}) as server:
        again = server.http.get("/api/cameras/front/events").json()["events"]
        assert [event["id"] for event in again] == ["evt_1", "evt_2"]
        assert all(event["end"] is not None for event in again), "what was left open ended with the process"


def test_bad_questions_for_events_are_refused(server: RunningServer) -> None:
    assert server.http.get("/api/cameras/nobody/events").status_code == 404
    assert server.http.get("/api/cameras/front/events?from=5&to=1").json()["error"]["param"] == "to"
    assert server.http.get("/api/cameras/front/events?from=nan").status_code in (400, 422)
    assert server.http.get("/api/cameras/front/events?limit=0").status_code in (400, 422)
    assert server.http.put("/api/cameras/front/alerts", json={"paused": "maybe"}).status_code in (400, 422)


def test_alerts_are_paused_and_go_on(server: RunningServer) -> None:
    assert server.http.get("/api/cameras/front/alerts").json() == {"rules": [], "paused": False}
    assert server.http.put("/api/cameras/front/alerts", json={"paused": True}).json()["paused"] is True
    assert server.model.session("front").paused
    server.http.put("/api/cameras/front/alerts", json={"paused": False})
    assert not server.model.session("front").paused


def test_a_pause_outlives_a_restart_and_a_changed_camera(tmp_path: Path) -> None:
    with running_server(memory=tmp_path) as server:
        server.http.put("/api/cameras/front/alerts", json={"paused": True})
    with running_server(memory=tmp_path) as server:
        assert server.http.get("/api/cameras/front/alerts").json()["paused"] is True
        assert server.http.get("/api/cameras/back/alerts").json()["paused"] is False
        until(lambda: server.model.session("front").paused, "the pause to reach the camera")
        server.http.put("/api/cameras/front/alerts", json={"paused": False})
    with running_server(memory=tmp_path) as server:
        assert server.http.get("/api/cameras/front/alerts").json()["paused"] is False


def test_rules_are_tried_on_what_was_kept(server: RunningServer) -> None:
    rules = [{"name": "dog", "when": "a dog", "for": "2s"}, {"name": "cat", "when": "a cat"}]
    body = {"rules": rules, "from": 1.0, "to": 60.0}
    found = server.http.post("/api/cameras/front/alerts/try", json=body).json()
    assert server.model.tried == ("front", ["dog", "cat"], 1.0, 60.0)
    assert [(event["rule"], event["start"], event["end"]) for event in found["events"]] == [("dog", 5.0, 8.0)]
    assert found["scores"] == {"times": [4.0, 5.0, 6.0], "rules": {"dog": [0.1, 0.8, 0.7], "cat": [0.1, 0.8, 0.7]}}
    assert found["moments"] == 3
    picture = server.http.post("/api/cameras/front/alerts/try?plot=true", json=body)
    assert picture.headers["content-type"] == "image/png"
    assert picture.content[:8] == b"\x89PNG\r\n\x1a\n"
    assert server.http.post("/api/cameras/nobody/alerts/try", json=body).status_code == 404
    wrong = {"rules": [{"name": "dog", "when": "a dog", "fro": "2s"}]}
    assert server.http.post("/api/cameras/front/alerts/try", json=wrong).status_code in (400, 422)
    assert server.http.post("/api/cameras/front/alerts/try", json={"rules": []}).status_code in (400, 422)
    backwards = body | {"from": 60.0, "to": 1.0}
    assert server.http.post("/api/cameras/front/alerts/try", json=backwards).json()["error"]["param"] == "to"


def test_rules_are_not_tried_where_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    model = object.__new__(LLaMAVID)  # the real one without its weights: it refuses before it needs them
    model._journal = None
    with running_server({"front": {"url": "rtsp://127.0.0.1:9/x"}}) as server:
        monkeypatch.setattr(server.model, "try_rules", model.try_rules)
        body = {"rules": [{"name": "package", "when": "a package"}], "from": 0, "to": 10}
        answer = server.http.post("/api/cameras/front/alerts/try", json=body)
    assert answer.status_code == 409
    problem = answer.json()["error"]
    assert problem["code"] == "nothing_to_try_on"
    assert "set memory.path" in problem["message"]
