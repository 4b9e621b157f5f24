"""The HTTP side of the port."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from llama_vid.clients import Client
from llama_vid.clients.client import RequestRefused
from llama_vid.errors import BundleError, ConfigError, LlamaVidError
from llama_vid.server import make_server, open_port, serve
from llama_vid.settings import Config, MemorySettings, ServerSettings, Tls
from tests.server.certificates import self_signed
from tests.server.running import RunningServer, running_server, until
from tests.server.scripted import ScriptedModel


def test_health_and_readiness(server: RunningServer) -> None:
    assert server.http.get("/healthz").json() == {"status": "ok"}
    ready = server.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"ready": True, "reason": "", "model": "scripted", "cameras": 2, "memory": None}


async def test_the_port_is_open_while_the_model_loads() -> None:
    model, go = ScriptedModel(), threading.Event()

    def load() -> ScriptedModel:
        assert go.wait(20)
        return model

    with running_server(load_model=load, ready=False) as server:
        try:
            answer = server.http.get("/readyz")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert answer.json()["reason"].startswith("the model is loading")
            assert server.http.get("/healthz").status_code == 200
            assert server.http.get("/").status_code == 200
            assert server.http.get("/api/cameras/front/timeline").json() == {"spans": []}
            cameras = server.http.get("/api/cameras").json()["cameras"]
            assert {c["reason"] for c in cameras} == {"waiting for the model to load"}
            async with Client.connect(server.url) as client:
                assert client.session.model is None
                with pytest.raises(RequestRefused, match="still loading") as refusal:
                    await client.answer("front", "hello")
                assert refusal.value.code == "not_ready"
                go.set()
                async for status in client.statuses():
                    if (status.camera, status.state) == ("front", "live"):
                        break
                assert (await client.answer("front", "hello")).status == "completed"
        finally:
            go.set()
        assert server.http.get("/readyz").json()["model"] == "scripted"


def test_a_model_that_cannot_be_loaded_is_said() -> None:
    def load() -> ScriptedModel:
        raise BundleError("Bundle 'mimi' is not here; try mini.")

    with running_server(load_model=load, ready=False) as server:
        until(lambda: server.failures, "the failure")
        answer = server.http.get("/readyz")
        assert (answer.status_code, answer.json()["reason"]) == (503, "Bundle 'mimi' is not here; try mini.")
        front = server.http.get("/api/cameras/front").json()
        assert (front["state"], front["reason"]) == ("failed", "Bundle 'mimi' is not here; try mini.")
        assert server.http.get("/healthz").status_code == 200


def test_serve_ends_with_the_models_error(tmp_path: Path) -> None:
    opened: list[int] = []

    def load() -> ScriptedModel:
        raise BundleError("Bundle 'mimi' is not here; try mini.")

    config = Config(server=ServerSettings(port=0), memory=MemorySettings(path=tmp_path))
    with pytest.raises(BundleError, match="mimi"):
        serve(config, load_model=load, on_open=lambda host, port: opened.append(port))
    assert opened
    assert opened[0] > 0


def test_cameras_are_described_without_secrets(server: RunningServer) -> None:
    text = server.http.get("/api/cameras").text
    assert "hunter22" not in text
    front = server.http.get("/api/cameras/front").json()
    assert front == {
        "id": "front",
        "url": "rtsp://127.0.0.1:9/front",
        "state": "live",
        "reason": "",
        "open": True,
        "publishable": False,
        "publishing": False,
        "fps": 1.0,
        "watch_for": None,
        "masked": False,
        "watched_s": 20.0,
        "captions": None,
        "frames": 20,
        "dropped": 1,
        "reconnects": 0,
        "warnings": ["one frame was damaged"],
        "tokens": {"frames": 20, "video": 40, "per_frame": 2},
        "memory": {
            "entries": 20,
            "tokens": 40,
            "cached_bytes": 921_600,
            "restored": "12 entries (12 s) in 0.1 s",
            "room": 7200,
        },
    }


def test_a_camera_comes_and_goes(server: RunningServer) -> None:
    new = {"id": "yard", "url": "rtsp://u:hunter22@127.0.0.1:9/yard", "fps": 2, "watch_for": "<|im_start|>cats"}
    made = server.http.post("/api/cameras", json=new)
    assert (made.status_code, made.headers["location"]) == (201, "/api/cameras/yard")
    assert "hunter22" not in made.text
    until(lambda: "yard" in server.model.sessions, "the camera")
    session = server.model.session("yard")
    assert (session.fps, session.watch_for) == (2.0, "cats")
    assert server.http.post("/api/cameras", json=new).status_code == 409
    assert server.http.delete("/api/cameras/yard").status_code == 204
    assert session.closed.is_set()
    assert server.http.get("/api/cameras/yard").status_code == 404
    assert server.http.delete("/api/cameras/yard").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"id": "a", "url": "file:/etc/passwd"}, 400),
        ({"id": "a", "url": "/etc/passwd"}, 400),
        ({"id": "a", "url": "v4l2:/dev/video0"}, 400),
        ({"id": "a", "url": "concat:/etc/passwd|x"}, 400),
        ({"id": "a", "url": "rtsp://"}, 400),
        ({"id": "../a", "url": "rtsp://h/"}, 422),
        ({"id": "a b", "url": "rtsp://h/"}, 422),
        ({"id": "a", "url": "rtsp://u:hunter22@h/", "fps": 0}, 422),
        ({"id": "a", "url": "rtsp://u:hunter22@h/", "colour": 1}, 422),
        ({"id": "a"}, 422),
        (["a"], 422),
    ],
)
def test_what_may_not_be_added(shared: RunningServer, body: Any, status: int) -> None:
    answer = shared.http.post("/api/cameras", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]
    assert "hunter22" not in answer.text
    assert [c["id"] for c in shared.http.get("/api/cameras").json()["cameras"]] == ["back", "front"]


@pytest.fixture(scope="module")
def shared() -> Any:
    with running_server() as running:
        yield running


def test_a_camera_that_cannot_be_opened_harms_nobody() -> None:
    cameras = {"bad": {"url": "rtsp://u:hunter22@broken/x"}, "good": {"url": "rtsp://127.0.0.1:9/x"}}
    with running_server(cameras) as server:
        bad = until(lambda: (c := server.http.get("/api/cameras/bad").json())["state"] == "failed" and c, "the failure")
        assert bad["reason"] == "cannot open rtsp://broken/x: wrong password"
        assert server.http.get("/api/cameras/good").json()["state"] == "live"
        assert server.http.get("/readyz").status_code == 200
        assert server.http.get("/api/cameras/bad/frames/latest.jpg").status_code == 404


def test_a_long_body_is_refused(shared: RunningServer) -> None:
    assert shared.http.post("/api/cameras", content=b"x" * 300_000).status_code == 413

    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 10_000

    assert shared.http.post("/api/cameras", content=chunks()).status_code in (400, 413)
    assert shared.http.get("/healthz").status_code == 200


def test_a_camera_that_cannot_be_closed_is_gone_all_the_same() -> None:
    with running_server({"a": {"url": "rtsp://stubborn/x"}, "b": {"url": "rtsp://stubborn/y"}}) as server:
        assert server.http.delete("/api/cameras/a").status_code == 204
        assert [c["id"] for c in server.http.get("/api/cameras").json()["cameras"]] == ["b"]
        assert len(server.model.sessions["a"]) == 1


def test_tls(tmp_path: Path) -> None:
    cert_file, key_file = self_signed(tmp_path)
    settings = ServerSettings(port=0, tls=Tls(cert=cert_file, key=key_file))
    answers: list[int] = []

    def look(_: str, port: int) -> None:
        def ask() -> None:
            context = ssl.create_default_context(cafile=str(cert_file))
            answers.append(httpx.get(f"https://localhost:{port}/healthz", verify=context, trust_env=False).status_code)
            server.should_exit = True

        threading.Thread(target=ask).start()

    config = Config(server=settings)
    server = make_server(config, ScriptedModel, on_open=look)
    with open_port(settings) as port:
        server.run([port])
    assert answers == [200]

    cert_file.write_text("not a certificate")
    with pytest.raises(ConfigError, match=r"server\.tls: .*cert\.pem .*give a PEM certificate"):
        make_server(config, ScriptedModel)


def test_timeline(shared: RunningServer) -> None:
    spans = shared.http.get("/api/cameras/front/timeline").json()["spans"]
    assert [s["start"] for s in spans] == [0, 4, 9.5]
    assert spans[1] == {"start": 4.0, "end": 9.5, "caption": "a man puts a package down", "motion": 0.42}
    some = shared.http.get("/api/cameras/front/timeline", params={"from": 10, "to": 12}).json()["spans"]
    assert [s["caption"] for s in some] == ["a package at the door"]
    for query in ("from=x", "from=nan", "to=inf", "from=3&to=2"):
        assert shared.http.get(f"/api/cameras/front/timeline?{query}").status_code in (400, 422), query
    assert shared.http.get("/api/cameras/none/timeline").status_code == 404


def test_pictures(shared: RunningServer) -> None:
    for path, cache in (
        ("frames/4.5.jpg", "private, max-age=3600"),
        ("frames/latest.jpg", "no-store"),
        ("snapshot.jpg", "no-store"),
    ):
        answer = shared.http.get(f"/api/cameras/front/{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg"), path
        assert answer.headers["cache-control"] == cache
        assert answer.content.startswith(b"\xff\xd8")
    for path in ("99", "x", "nan", "inf", "..%2f..%2fetc"):
        assert shared.http.get(f"/api/cameras/front/frames/{path}.jpg").status_code == 404, path
    assert shared.http.get("/api/cameras/front/frames/4").status_code == 404


def test_the_page_and_its_headers(shared: RunningServer) -> None:
    page = shared.http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "<style" not in page.text
    assert " style=" not in page.text
    assert not re.findall(r"""(?:src|href|action|srcset)\s*=\s*["']?[^"'\s>]*//""", page.text)  # all of it is from here
    for name in ("page.css", "page.js"):
        assert shared.http.get(f"/page/{name}").status_code == 200
        assert f"/page/{name}" in page.text
    for name in ("..%2fclient.py", "%2e%2e%2fclient.py", "client.py", "none.js"):
        assert shared.http.get(f"/page/{name}").status_code == 404


def test_the_schema_names_the_routes(shared: RunningServer) -> None:
    paths = shared.http.get("/openapi.json").json()["paths"]
    assert {"/api/cameras", "/api/cameras/{camera_id}/timeline", "/whip/{camera_id}", "/readyz"} <= paths.keys()
    assert shared.http.get("/docs").status_code == 404
    assert shared.http.get("/none").json()["error"]["message"] == "Not Found"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "evil.example:80", ""]
)
def test_a_foreign_host_is_refused(shared: RunningServer, host: str) -> None:
    for path in ("/", "/api/cameras", "/healthz"):
        answer = shared.http.get(path, headers={"Host": host})
        assert answer.status_code == 421, path
        assert answer.json()["error"]["code"] == "host_not_allowed"


def test_two_hosts_are_refused(shared: RunningServer) -> None:
    connection = http.client.HTTPConnection(shared.host, timeout=5)
    connection.putrequest("GET", "/api/cameras", skip_host=True)
    connection.putheader("Host", shared.host)
    connection.putheader("Host", "evil.example")
    connection.endheaders()
    assert connection.getresponse().status in (400, 421)
    connection.close()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_own_names_are_served(shared: RunningServer, name: str) -> None:
    port = shared.host.split(":")[1]
    assert shared.http.get("/healthz", headers={"Host": f"{name}:{port}"}).status_code == 200


FOREIGN_ORIGINS = [
    "http://evil.example",
    "null",
    "http://127.0.0.1:1",
    "https://localhost",
    "file://",
    "",
    "http://[bad",
]


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
async def test_a_foreign_origin_is_refused(shared: RunningServer, origin: str) -> None:
    new = {"id": "a", "url": "rtsp://h/"}
    assert shared.http.post("/api/cameras", json=new, headers={"Origin": origin}).status_code == 403
    assert shared.http.get("/api/cameras", headers={"Origin": origin}).status_code == 403
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(shared.ws, proxy=None, additional_headers={"Origin": origin}):
            pass
    assert refusal.value.response.status_code == 403
    assert b"origin_not_allowed" in refusal.value.response.body


async def test_the_own_origin_is_served(shared: RunningServer) -> None:
    assert shared.http.get("/api/cameras", headers={"Origin": shared.url}).status_code == 200
    async with connect(shared.ws, proxy=None, additional_headers={"Origin": shared.url}) as socket:
        assert json.loads(await socket.recv())["type"] == "session.created"


async def test_a_websocket_with_a_foreign_host_is_refused(shared: RunningServer) -> None:
    port = int(shared.host.split(":")[1])
    # A name that somebody's DNS points at this machine: host and origin agree, yet are not ours.
    name = f"evil.example:{port}"
    headers = {"Origin": f"http://{name}"}
    with pytest.raises(InvalidStatus) as refusal:
        await connect(f"ws://{name}/ws", proxy=None, host="127.0.0.1", port=port, additional_headers=headers)
    assert refusal.value.response.status_code == 421


def test_beyond_loopback_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"reachable from other machines, and nobody has to sign in"):
        make_server(Config(server=ServerSettings(host="0.0.0.0")), ScriptedModel)


def test_a_taken_port_is_one_clear_line(unused_tcp_port: int) -> None:
    settings = ServerSettings(port=unused_tcp_port)
    with socket.create_server(("127.0.0.1", unused_tcp_port)), pytest.raises(LlamaVidError, match=r"set server\.port"):
        open_port(settings)


async def test_it_runs_inside_a_loop() -> None:
    """As the demo uses it: the server as a task beside its client."""
    opened: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    config = Config.model_validate({"server": {"port": 0}, "cameras": {"front": {"url": "rtsp://127.0.0.1:9/x"}}})
    server = make_server(config, ScriptedModel, on_open=lambda _, port: opened.set_result(port))
    async with asyncio.TaskGroup() as group:
        with open_port(config.server) as port:
            running = group.create_task(server.serve([port]), name="server")
            url = f"http://127.0.0.1:{await asyncio.wait_for(opened, 10)}"
            async with Client.connect(url) as client:
                async for status in client.statuses():
                    if status.state == "live":
                        break
                assert (await client.answer("front", "hello")).answer == "You asked: hello"
            server.should_exit = True
            await asyncio.wait_for(running, 10)


def test_shutdown_does_not_wait_for_a_loading_model() -> None:
    go = threading.Event()

    def load() -> ScriptedModel:
        go.wait(30)
        return ScriptedModel()

    started = time.monotonic()
    with running_server(load_model=load, ready=False) as server:
        assert httpx.get(f"{server.url}/healthz", trust_env=False).status_code == 200
    assert time.monotonic() - started < 10
    go.set()
