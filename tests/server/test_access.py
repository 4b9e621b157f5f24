"""Who may do what: tokens, scopes, camera lists, and the browser's cookie, over the real port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from llama_vid.access import Scope
from llama_vid.access_tokens import create_token, read_tokens, revoke_token
from llama_vid.clients import Client
from llama_vid.clients.client import ConnectionLost, RequestRefused
from llama_vid.config import check_bind
from llama_vid.connections import Patience
from llama_vid.errors import ConfigError
from llama_vid.memory.alerts import AlertChange, AlertEvent
from llama_vid.settings import ServerSettings
from tests.server.certificates import self_signed
from tests.server.running import FRONT_AND_BACK, RunningServer, running_server, until


async def until_closed(socket: ClientConnection) -> AsyncIterator[str | bytes]:
    """What comes until the server closes the websocket, however it does."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            yield await socket.recv()


ALL: tuple[Scope, ...] = ("watch", "ask", "admin")


@dataclass(frozen=True, slots=True)
class Guarded:
    """A server that wants tokens, and some of them."""

    server: RunningServer
    tokens: Path
    full: str
    watcher: str
    asker: str
    front: str

    def get(self, path: str, token: str | None, **headers: str) -> httpx.Response:
        return self.request("GET", path, token, headers=headers)

    def request(self, method: str, path: str, token: str | None, **options: Any) -> httpx.Response:
        headers = dict(options.pop("headers", {})) | ({"Authorization": f"Bearer {token}"} if token else {})
        with httpx.Client(base_url=self.server.url, timeout=10, trust_env=False) as fresh:  # without others' cookies
            return fresh.request(method, path, headers=headers, **options)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    yield from _guarded(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    yield from _guarded(tmp_path_factory.mktemp("tokens"))


def _guarded(folder: Path) -> Iterator[Guarded]:
    file = folder / "tokens.json"
    tokens = [
        create_token(file, "full", ALL).secret,
        create_token(file, "watcher", ["watch"]).secret,
        create_token(file, "asker", ["ask"]).secret,
        create_token(file, "front", ALL, ["front"]).secret,
    ]
    cameras = FRONT_AND_BACK | {"web": {"url": "webrtc:"}}
    with running_server(cameras, server_settings={"tokens_file": file}) as server:
        yield Guarded(server, file, *tokens)


def error(answer: httpx.Response) -> tuple[int, str]:
    said = answer.json()["error"]
    assert said.keys() == {"code", "message", "param"}
    return answer.status_code, said["code"]


PUBLIC = ["/", "/healthz", "/readyz", "/openapi.json"]
PRIVATE = ["/api/cameras", "/api/cameras/front", "/metrics", "/api/cameras/front/timeline", "/v1/models", "/nowhere"]


def test_without_a_token_only_the_door_is_open(shared: Guarded) -> None:
    for path in PUBLIC:
        assert shared.get(path, None).status_code == 200, path
    for path in PRIVATE:
        answer = shared.get(path, None)
        assert error(answer) == (401, "unauthorized"), path
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-security-policy"]
    assert error(shared.get("/api/session", None)) == (401, "unauthorized")
    assert shared.get("/readyz", None).json() == {
        "ready": True, "reason": "", "model": None, "cameras": 0, "memory": None
    }  # fmt: skip
    assert shared.get("/readyz", shared.asker).json()["model"] == "scripted"
    assert error(shared.request("POST", "/api/cameras", None, json={"id": "a", "url": "rtsp://h/"}))[0] == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Basic dTpw", "Bearer lvt_wrong", "lvt_wrong"])
def test_what_is_no_token_is_refused(shared: Guarded, header: str) -> None:
    assert error(shared.get("/api/cameras", None, Authorization=header)) == (401, "unauthorized")
    assert shared.get("/healthz", None, Authorization=header).status_code == 200


def test_a_token_in_the_address_does_not_count(shared: Guarded) -> None:
    for name in ("token", "access_token"):
        assert shared.get(f"/api/cameras?{name}={shared.full}", None).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "who"),
    [
        ("GET", "/api/cameras", "full watcher asker front"),
        ("GET", "/api/cameras/front", "full watcher asker front"),
        ("GET", "/api/cameras/front/timeline", "full watcher front"),
        ("GET", "/api/cameras/front/events", "full watcher front"),
        ("GET", "/api/cameras/front/alerts", "full watcher front"),
        ("GET", "/api/cameras/front/snapshot.jpg", "full watcher front"),
        ("GET", "/api/cameras/back/snapshot.jpg", "full watcher"),
        ("GET", "/api/cameras/front/search?text=cat", "full asker front"),
        ("POST", "/api/cameras/front/alerts/try", "full asker front"),
        ("PUT", "/api/cameras/front/alerts", "full front"),
        ("PUT", "/api/cameras/back/alerts", "full"),
        ("POST", "/whip/web", "full"),
        ("POST", "/whip/front", "full front"),
        ("DELETE", "/whip/web/x", "full"),
        ("DELETE", "/api/cameras/none", "full"),
        ("DELETE", "/api/cameras/back/memory", "full"),
        ("GET", "/metrics", "full watcher"),
        ("GET", "/v1/models", "full watcher asker front"),
        ("POST", "/v1/chat/completions", "full asker front"),
        ("GET", "/nowhere", "full"),
        ("PATCH", "/api/cameras", "full"),
    ],
)
def test_scopes_and_camera_lists(shared: Guarded, method: str, path: str, who: str) -> None:
    for name in ("full", "watcher", "asker", "front"):
        answer = shared.request(method, path, getattr(shared, name))
        if name in who.split():
            assert answer.status_code not in (401, 403), name
        else:
            assert error(answer) == (403, "forbidden"), name


def test_a_camera_list_hides_the_others(shared: Guarded) -> None:
    def names(token: str) -> list[str]:
        return [camera["id"] for camera in shared.get("/api/cameras", token).json()["cameras"]]

    assert names(shared.full) == ["back", "front", "web"]
    assert names(shared.front) == ["front"]
    # What is not on the list is refused in the same words, whether it exists or not.
    back, none = (shared.get(f"/api/cameras/{name}", shared.front) for name in ("back", "none"))
    assert error(back) == error(none) == (403, "forbidden")
    assert "back" not in none.text
    new = {"id": "other", "url": "rtsp://127.0.0.1:9/x"}
    assert error(shared.request("POST", "/api/cameras", shared.front, json=new)) == (403, "forbidden")
    models = shared.get("/v1/models", shared.front).json()["data"]
    assert [model["id"] for model in models] == ["camera:front"]


async def test_the_websocket_takes_a_bearer_and_keeps_to_its_list(shared: Guarded) -> None:
    async with Client.connect(shared.server.url, token=shared.front) as client:
        assert client.session.cameras == ["front"]
        assert (await client.answer("front", "hello")).answer == "You asked: hello"
        for name in ("back", "none"):
            with pytest.raises(RequestRefused, match=f"No camera '{name}'; known: front") as refusal:
                await client.answer(name, "hello")
            assert refusal.value.code == "no_such_camera"
        # Without a camera, the only one of the list is meant.
        async with connect(
            shared.server.ws, proxy=None, additional_headers={"Authorization": f"Bearer {shared.front}"}
        ) as socket:
            await socket.send(json.dumps({"type": "response.create", "question": "hello"}))
            while (said := json.loads(await socket.recv()))["type"] != "response.done":
                assert said.get("camera", "front") == "front"
            assert said["status"] == "completed"
    async with Client.connect(shared.server.url, token=shared.watcher) as client:
        with pytest.raises(RequestRefused, match="lacks the scope 'ask'") as refusal:
            await client.answer("front", "hello")
        assert refusal.value.code == "forbidden"


async def test_alerts_go_to_those_who_may_watch(shared: Guarded) -> None:
    url = shared.server.url
    async with (
        Client.connect(url, token=shared.watcher) as watcher,
        Client.connect(url, token=shared.asker) as asker,
        Client.connect(url, token=shared.front) as front,
    ):
        for camera in ("back", "front"):
            event = AlertEvent(f"evt_{camera}", camera, "package", "Seen.", 5.0, None, 0.8)
            shared.server.model.session(camera).alert(AlertChange("new", event, 5.0))
        heard = watcher.alerts()
        assert [(await anext(heard)).camera for _ in range(2)] == ["back", "front"]
        assert (await anext(front.alerts())).camera == "front"
        # An answer that was asked for afterwards has come: what is not here by now does not come.
        assert (await asker.answer("front", "hello")).status == "completed"
    assert [alert async for alert in asker.alerts()] == []
    assert [alert async for alert in front.alerts()] == []


@pytest.mark.parametrize("token", [None, "lvt_wrong"])
async def test_a_websocket_without_a_good_token_is_refused(
    shared: Guarded, token: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConnectionLost, match=r"refused \(401\): it wants a token"):
        async with Client.connect(shared.server.url, token=token):
            pass
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    assert "lvt_wrong" not in caplog.text


async def test_a_revoked_token_is_worth_nothing_at_once(guarded: Guarded) -> None:
    server = guarded.server
    async with Client.connect(server.url, token=guarded.full) as other:
        async with Client.connect(server.url, token=guarded.front) as client:
            ask = asyncio.create_task(client.answer("front", "wait"))
            await asyncio.to_thread(until, lambda: server.model.session("front").questions, "the question")
            revoke_token(guarded.tokens, "front")
            assert guarded.get("/api/cameras", guarded.front).status_code == 401
            with pytest.raises(ConnectionLost, match="code 1008 the access has ended"):
                await ask
            assert await asyncio.to_thread(server.model.session("front").cancelled.wait, 5)
        with pytest.raises(ConnectionLost, match="401"):
            async with Client.connect(server.url, token=guarded.front):
                pass
        assert (await other.answer("front", "hello")).status == "completed"
    # A name can be used again; the old token stays what it is: nothing.
    create_token(guarded.tokens, "front")
    assert guarded.get("/api/cameras", guarded.front).status_code == 401


async def test_publishing_ends_with_the_token(guarded: Guarded) -> None:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        peer.addTransceiver("video", "sendonly")
        await peer.setLocalDescription(await peer.createOffer())
        options = {"content": peer.localDescription.sdp, "headers": {"Content-Type": "application/sdp"}}
        until(lambda: guarded.server.model.sessions["web"][0].source.state, "the ingest")
        answer = await asyncio.to_thread(guarded.request, "POST", "/whip/web", guarded.full, **options)
        assert answer.status_code == 201, answer.text

        def publishing() -> bool:
            return bool(guarded.get("/api/cameras/web", guarded.watcher).json()["publishing"])

        assert await asyncio.to_thread(publishing)
        revoke_token(guarded.tokens, "full")
        await asyncio.to_thread(until, lambda: not publishing(), "the publisher to be let go")
    finally:
        await peer.close()


async def test_a_file_that_cannot_be_read_lets_nobody_in(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    good = guarded.tokens.read_text()
    async with Client.connect(guarded.server.url, token=guarded.full) as client:
        guarded.tokens.write_text("{")
        assert guarded.get("/api/cameras", guarded.full).status_code == 401
        assert "Nobody can sign in" in caplog.text
        with pytest.raises(ConnectionLost, match="1008"):
            await client.answer("front", "wait")
        with pytest.raises(ConnectionLost, match="1008"):
            await client.answer("front", "wait")
    guarded.tokens.write_text(good)
    guarded.tokens.chmod(0o622)
    assert guarded.get("/api/cameras", guarded.full).status_code == 401
    guarded.tokens.chmod(0o600)
    assert guarded.get("/api/cameras", guarded.full).status_code == 200
    guarded.tokens.unlink()
    assert guarded.get("/api/cameras", guarded.full).status_code == 401


async def test_a_token_ends_with_its_time(guarded: Guarded) -> None:
    made = create_token(guarded.tokens, "guest", ["watch"], days=0.5 / 86400)
    assert made.token.expires is not None
    # Times are kept to the second: it began up to a second ago, so it may be over by now; another one is not.
    longer = create_token(guarded.tokens, "visitor", ["watch"], days=1).secret
    assert guarded.get("/api/cameras", longer).status_code == 200
    await asyncio.to_thread(until, lambda: guarded.get("/api/cameras", made.secret).status_code == 401, "its end")
    later = datetime.now(UTC) + timedelta(days=2)
    assert [token.name for token in read_tokens(guarded.tokens) if token.expired(later)] == ["guest", "visitor"]


def test_a_browser_signs_in_and_out(shared: Guarded) -> None:
    url = shared.server.url
    with httpx.Client(base_url=url, timeout=10, trust_env=False) as browser:
        wrong = browser.post("/api/session", json={"token": "lvt_wrong"})
        assert error(wrong) == (401, "unauthorized")
        assert "lvt_wrong" not in wrong.text
        answer = browser.post("/api/session", json={"token": f" {shared.front}\n"})
        assert (answer.status_code, answer.text) == (204, "")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert "secure" not in cookie.lower()
        assert shared.front not in cookie
        assert browser.get("/api/session").json() == {
            "auth": True,
            "name": "front",
            "scopes": ["watch", "ask", "admin"],
            "cameras": ["front"],
        }
        assert browser.get("/api/cameras/front/snapshot.jpg").status_code == 200
        assert browser.get("/api/cameras/back/snapshot.jpg").status_code == 403
        stolen = dict(browser.cookies)
        assert browser.delete("/api/session").status_code == 204
        assert error(browser.get("/api/session")) == (401, "unauthorized")
        assert browser.delete("/api/session").status_code == 204
    # Played again after its browser has signed out, a cookie is worth nothing.
    assert httpx.get(f"{url}/api/cameras", cookies=stolen, trust_env=False).status_code == 401
    made_up = dict.fromkeys(stolen, "A" * 43)
    assert httpx.get(f"{url}/api/cameras", cookies=made_up, trust_env=False).status_code == 401


async def test_a_websocket_takes_the_cookie_and_ends_with_it(guarded: Guarded) -> None:
    url = guarded.server.url
    async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as browser:
        await browser.post("/api/session", json={"token": guarded.full})
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        headers = {"Origin": url, "Cookie": f'theme={{"dark":1}}; {cookie}'}
        async with connect(guarded.server.ws, proxy=None, additional_headers=headers) as socket:
            assert json.loads(await socket.recv())["type"] == "session.created"
            await browser.delete("/api/session")
            async for _ in until_closed(socket):
                pass
            assert socket.close_code == 1008
        # Another site's page sends the cookie of a careless browser along, but not our origin.
        with pytest.raises(InvalidStatus) as refusal:
            await connect(guarded.server.ws, proxy=None, additional_headers=headers | {"Origin": "http://evil.example"})
        assert refusal.value.response.status_code == 403


def test_browsers_stay_signed_in_over_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    token = create_token(file, "tablet", ["watch"])
    cookies: dict[str, str] = {}
    for _ in range(2):
        with running_server(server_settings={"tokens_file": file}) as server:
            port = server.url.rpartition(":")[2]
            if not cookies:
                server.http.post("/api/session", json={"token": token.secret})
                cookies = {"value": next(iter(server.http.cookies.values()))}
                server.http.cookies.clear()
            cookie = {f"llama_vid_{port}": cookies["value"]}
            answer = httpx.get(f"{server.url}/api/session", cookies=cookie, trust_env=False)
            assert answer.json()["name"] == "tablet"
    kept = (tmp_path / "tokens.json.sessions").read_text()
    assert cookies["value"] not in kept
    assert (tmp_path / "tokens.json.sessions").stat().st_mode & 0o777 == 0o600
    revoke_token(file, "tablet")
    create_token(file, "other")
    with running_server(server_settings={"tokens_file": file}) as server:
        cookie = {f"llama_vid_{server.url.rpartition(':')[2]}": cookies["value"]}
        assert httpx.get(f"{server.url}/api/session", cookies=cookie, trust_env=False).status_code == 401


def test_while_sign_in_is_off_everything_is_allowed(server: RunningServer) -> None:
    everything = {"auth": False, "name": None, "scopes": ["watch", "ask", "admin"], "cameras": None}
    assert server.http.get("/api/session").json() == everything
    assert server.http.get("/api/session", headers={"Authorization": "Bearer whatever"}).json() == everything
    answer = server.http.post("/api/session", json={"token": "whatever"})
    assert (answer.status_code, "set-cookie" in answer.headers) == (204, False)
    assert server.http.delete("/api/session").status_code == 204


@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": 5}, {"token": "x" * 300}, {"token": "a", "b": 1}, []])
def test_a_sign_in_that_is_none(shared: Guarded, body: Any) -> None:
    assert error(shared.request("POST", "/api/session", None, json=body))[0] == 422


def test_requests_and_questions_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    eager, other = (create_token(file, name).secret for name in ("eager", "other"))
    limits = {"requests_per_s": 2, "questions_per_min": 6, "websockets_per_token": 2}

    async def ask(url: str) -> None:
        async with Client.connect(url, token=other) as client, Client.connect(url, token=other):
            for _ in range(8):
                assert (await client.answer("front", "hello")).status == "completed"
            with pytest.raises(RequestRefused, match=r"Too many questions: more than 6 a minute; ask again in \d+ s"):
                await client.answer("front", "hello")
            with pytest.raises(ConnectionLost, match="429"):
                async with Client.connect(url, token=other):
                    pass

    with running_server(server_settings={"tokens_file": file, "limits": limits}) as server:
        headers = {"Authorization": f"Bearer {eager}"}
        answers = [server.http.get("/api/cameras", headers=headers) for _ in range(12)]
        assert {answer.status_code for answer in answers[:8]} == {200}
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert error(refused[0]) == (429, "rate_limited")
        assert refused[0].headers["retry-after"] == "1"
        asyncio.run(ask(server.url))  # another token is not the worse for it


def test_wrong_tokens_are_slowed_down_by_address(guarded: Guarded) -> None:
    answers = [guarded.get("/api/cameras", f"lvt_{number}").status_code for number in range(30)]
    assert (answers[:20], answers[-1]) == ([401] * 20, 429)
    assert guarded.get("/api/cameras", guarded.full).status_code == 200


def test_beyond_loopback_wants_a_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "tokens.json"
    wide = ServerSettings(host="0.0.0.0", tokens_file=file)
    with pytest.raises(ConfigError, match=r"set server\.tokens_file.*token create"):
        check_bind(ServerSettings(host="0.0.0.0"))
    with pytest.raises(ConfigError, match=r"has no token that is good; make one"):
        check_bind(wide)
    create_token(file, "old", days=0.000001)
    revoke_token(file, "old")
    with pytest.raises(ConfigError, match=r"has no token that is good"):
        check_bind(wide)
    create_token(file, "phone")
    check_bind(wide)
    assert "without server.tls: tokens and pictures travel readable" in caplog.text
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="others may write"):
        check_bind(wide)


def test_it_listens_beyond_loopback_by_its_addresses_and_names(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    headers = {"Authorization": f"Bearer {create_token(file, 'phone').secret}"}
    settings = {"host": "0.0.0.0", "tokens_file": file, "hosts": ["cams.example.org"]}
    with running_server(server_settings=settings) as server:
        port = server.url.rpartition(":")[2]
        for host in (f"127.0.0.1:{port}", f"cams.example.org:{port}", "cams.example.org", f"CAMS.Example.org:{port}"):
            assert server.http.get("/api/cameras", headers=headers | {"Host": host}).status_code == 200, host
        origin = headers | {"Host": "cams.example.org", "Origin": "https://cams.example.org"}
        assert server.http.get("/api/cameras", headers=origin).status_code == 200
        for host in (f"192.0.2.1:{port}", "evil.example", "example.org", "x.cams.example.org", "::1%evil"):
            assert error(server.http.get("/healthz", headers={"Host": host})) == (421, "host_not_allowed"), host


def test_a_tls_handshake_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    assert Patience().handshake_s <= 10
    settings = {"tls": {"cert": cert, "key": key}}
    with running_server(server_settings=settings, patience=Patience(handshake_s=0.3)) as server:
        port = int(server.url.rpartition(":")[2])
        for said in (b"", b"\x16\x03\x01\x02\x00\x01"):  # nothing, and the beginning of one
            with socket.create_connection(("127.0.0.1", port), timeout=5) as silent:
                silent.sendall(said)
                assert silent.recv(1) == b""
        assert server.http.get("/healthz").status_code == 200


def test_over_tls_the_cookie_is_secure(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    file = tmp_path / "tokens.json"
    token = create_token(file, "phone").secret
    trusted = ssl.create_default_context(cafile=str(cert))

    async def ask(url: str) -> str:
        async with Client.connect(url, token=token, tls=trusted) as client:
            return (await client.answer("front", "hello")).answer

    settings = {"tokens_file": file, "tls": {"cert": cert, "key": key}}
    with running_server(server_settings=settings) as server:
        assert server.url.startswith("https://")
        answer = server.http.post("/api/session", json={"token": token})
        assert "secure" in answer.headers["set-cookie"].lower()
        assert server.http.get("/api/session").json()["name"] == "phone"
        assert asyncio.run(ask(server.url)) == "You asked: hello"
        with pytest.raises(httpx.ConnectError, match="certificate"):
            httpx.get(f"{server.url}/healthz", trust_env=False)
