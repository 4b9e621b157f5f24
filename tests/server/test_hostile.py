"""Bad input, line by line: each gets a clear answer or a clean close, memory stays bounded, and nobody else notices.

What single messages, bodies and offers are refused with is in `test_websocket.py`, `test_server.py`, `test_whip.py` and
`test_access.py`; here are those who want the server itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

from llama_vid.clients import Client
from llama_vid.clients.protocol import MAX_MESSAGE_BYTES
from llama_vid.clients.websocket import MESSAGES_AT_ONCE, MESSAGES_PER_S, Pace
from llama_vid.config import load_config
from llama_vid.connections import Patience
from llama_vid.errors import ConfigError
from llama_vid.listener import MOST_FRAGMENTS
from tests.server.running import RunningServer, running_server, until

IMPATIENT = Patience(header_s=0.4, write_s=0.4, close_s=0.4, farewell_s=0.4)
CAMERAS: dict[str, Any] = {"front": {"url": "rtsp://127.0.0.1:9/front"}, "web": {"url": "webrtc:"}}


@pytest.fixture(scope="module")
def hostile() -> Iterator[RunningServer]:
    """A server that is shared: what one test does to it must not matter to the next."""
    with running_server(CAMERAS, patience=IMPATIENT) as server:
        until(lambda: server.model.sessions["web"][0].source.state, "the ingest")
        yield server


@pytest.fixture(autouse=True)
def nothing_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What strangers send is no fault of the server, and must not fill its log with tracebacks."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


@contextlib.asynccontextmanager
async def unharmed(server: RunningServer) -> AsyncIterator[None]:
    """Another client that was there before, and is served during the block and after it."""
    async with Client.connect(server.url) as client:
        assert (await client.answer("front", "before")).status == "completed"
        yield
        async with asyncio.timeout(10):
            assert (await client.answer("front", "count 20")).status == "completed"
            async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
                assert (await http.get("/healthz")).status_code == 200


def line(server: RunningServer, *, received: int | None = None) -> socket.socket:
    """A connection; `received`: how many bytes the kernel may keep for a client that does not read."""
    host, port = server.host.split(":")
    plain = socket.socket()
    if received is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received)
    plain.settimeout(10)
    plain.connect((host, int(port)))
    return plain


def to_the_end(plain: socket.socket) -> bytes:
    """Everything until the server closes; fails where it resets the line instead."""
    with plain:
        said = b""
        while piece := plain.recv(65536):
            said += piece
        return said


def status_of(said: bytes) -> int:
    return int(said.split(b" ", 2)[1])


def request(server: RunningServer, method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {server.host}", *headers, "", "")).encode()


def handshake(server: RunningServer, *headers: str) -> bytes:
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    return request(
        server, "GET", "/ws", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key, *headers
    )


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, length: int | None = None) -> bytes:
    """A masked frame (the mask is zeros); `length` is said instead of the true one."""
    size = len(payload) if length is None else length
    head = bytes([opcode | (0x80 if final else 0)])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + struct.pack("!H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", size)
    return head + bytes(4) + payload


def upgraded(server: RunningServer, *, received: int | None = None) -> socket.socket:
    """A websocket spoken by hand."""
    plain = line(server, received=received)
    plain.sendall(handshake(server))
    said = b""
    while b"session.created" not in said:
        said += plain.recv(4096)
    assert status_of(said) == 101
    return plain


def close_code(plain: socket.socket) -> int:
    """Reads until the server's close frame, and gives its code. What is told before it is plain ASCII."""
    with plain:
        said = b""
        while (at := said.find(b"\x88")) < 0 or len(said) < at + 4:
            piece = plain.recv(65536)
            assert piece, "the line was closed without a goodbye"
            said += piece
        return int.from_bytes(said[at + 2 : at + 4], "big")


def resident_mb() -> float:
    """What this process, server and clients, takes of the machine's memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


# Garbage, binary and half-sent frames


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 1002),  # not a frame: reserved bits, no mask
        (b"\xff" * 64, 1002),
        (bytes([0x81, 0x05]) + b"hello", 1002),  # a client's frame without a mask
        (frame(0x3, b"reserved"), 1002),
        (frame(Opcode.CONT, b"of nothing"), 1002),
        (frame(Opcode.PING, bytes(126)), 1002),
        (frame(Opcode.TEXT, b"\xff\xfe\x00"), 1007),
        (frame(Opcode.TEXT, b"", length=MAX_MESSAGE_BYTES + 1), 1009),
        (frame(Opcode.TEXT, b"", length=2**62), 1009),
        (frame(Opcode.CLOSE, b"\x00\x01"), 1002),
    ],
)
async def test_garbage_for_a_frame(hostile: RunningServer, sent: bytes, code: int) -> None:
    async with unharmed(hostile):
        plain = await asyncio.to_thread(upgraded, hostile)
        plain.sendall(sent)
        assert await asyncio.to_thread(close_code, plain) == code


async def test_half_a_frame_and_then_nothing(hostile: RunningServer) -> None:
    async with unharmed(hostile):
        lines = [await asyncio.to_thread(upgraded, hostile) for _ in range(20)]
        for plain in lines:
            plain.sendall(frame(Opcode.TEXT, b"half", length=100_000))
        async with unharmed(hostile):
            pass
        for plain in lines:
            plain.close()
    await asyncio.to_thread(until, lambda: sockets(hostile) == 0, "the halves to be forgotten")


def sockets(server: RunningServer) -> int:
    return sum(type(each).__name__ == "Socket" for each in list(server.listener.server_state.connections))


async def test_a_message_in_endless_pieces(hostile: RunningServer) -> None:
    async with unharmed(hostile):
        plain = await asyncio.to_thread(upgraded, hostile)
        plain.sendall(frame(Opcode.TEXT, b"{", final=False))
        plain.sendall(frame(Opcode.CONT, b"", final=False) * (MOST_FRAGMENTS + 10))
        assert await asyncio.to_thread(close_code, plain) == 1009


async def test_pings_whose_pongs_nobody_reads(hostile: RunningServer) -> None:
    async with unharmed(hostile):
        plain = await asyncio.to_thread(upgraded, hostile, received=4096)
        pings = frame(Opcode.PING, bytes(125)) * 1000
        before = resident_mb()
        for _ in range(100):  # 13 MB
            await asyncio.to_thread(plain.sendall, pings)
        assert resident_mb() - before < 8
        plain.close()


async def test_a_flood_of_messages_is_read_slowly(hostile: RunningServer) -> None:
    async def flood(socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.send("{" * 4000)

    async with unharmed(hostile):
        async with connect(hostile.ws, proxy=None, compression=None) as socket:
            flooding = asyncio.create_task(flood(socket), name="flood")
            answers, begun = 0, time.monotonic()
            while answers < MESSAGES_AT_ONCE / 2:
                answers += json.loads(await socket.recv())["type"] == "error"
            # Meanwhile the other one is answered as if nothing were.
            async with unharmed(hostile):
                pass
            flooding.cancel()
            await asyncio.wait([flooding])
            socket.transport.abort()  # its goodbye would wait behind all that it has sent
        assert time.monotonic() - begun < 10


def test_the_pace_of_reading() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    assert [pace.pause(100) for _ in range(100)] == [0.0] * 100  # a busy program
    assert 0 < pace.pause(MAX_MESSAGE_BYTES) < 6
    now = 3600.0
    assert pace.pause(100) == 0.0
    pauses = [pace.pause(0) for _ in range(int(MESSAGES_AT_ONCE) + 50)]
    assert pauses[-1] == pytest.approx((len(pauses) + 1 - MESSAGES_AT_ONCE) / MESSAGES_PER_S, abs=0.1)


@pytest.mark.parametrize("depth", [50, 900, 100_000])
async def test_deep_nesting(hostile: RunningServer, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    async with unharmed(hostile):
        async with connect(hostile.ws, proxy=None, compression=None) as socket:
            await socket.send(f'{{"type": "response.create", "camera": "front", "question": {deep}}}')
            while (said := json.loads(await socket.recv()))["type"] != "error":
                pass
            assert said["code"] in ("invalid_json", "invalid_request")
        headers = {"Content-Type": "application/json"}
        async with httpx.AsyncClient(base_url=hostile.url, trust_env=False) as http:
            for path in ("/api/cameras", "/api/session", "/v1/chat/completions", "/api/cameras/front/alerts/try"):
                answer = await http.post(path, content=f'{{"id": {deep}}}', headers=headers)
                assert answer.status_code in (400, 422), path
                assert answer.json()["error"]["message"], path


# Handshakes and headers


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ([f"X-{number}: a" for number in range(300)], {400, 431}),
        (["X-Long: " + "a" * 9000], {400, 431}),
        (["X-Longer: " + "a" * 40_000], {400, 431}),
        (["Sec-WebSocket-Version: 99"], {400, 426}),
        (["X-Nul: a\x00b"], {400}),
        (["No colon here"], {400}),
        (["Content-Length: -1"], {400, 413}),
        (["Content-Length: 1", "Content-Length: 2"], {400}),
        (["Transfer-Encoding: chunked", "Content-Length: 5"], {400, 101}),
        ([": empty"], {400}),
    ],
)
async def test_handshakes_that_are_none(hostile: RunningServer, headers: list[str], statuses: set[int]) -> None:
    async with unharmed(hostile):
        plain = await asyncio.to_thread(line, hostile)
        await asyncio.to_thread(plain.sendall, handshake(hostile, *headers))
        said = plain.recv(65536)
        assert status_of(said) in statuses, said[:200]
        if status_of(said) != 101:
            await asyncio.to_thread(to_the_end, plain)
        plain.close()


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"\x00" * 20_000, b"SSH-2.0-OpenSSH\r\n\r\n"]
)
async def test_what_is_no_http(hostile: RunningServer, sent: bytes) -> None:
    async with unharmed(hostile):
        plain = await asyncio.to_thread(line, hostile)
        await asyncio.to_thread(plain.sendall, sent)
        said = await asyncio.to_thread(to_the_end, plain)
        assert said == b"" or status_of(said) == 400


@pytest.mark.parametrize(
    "path",
    [
        "/api/cameras/x%0d%0aSet-Cookie:%20a=b",
        "/api/cameras/x%0d%0aX-Injected:%20yes/timeline",
        "/api/cameras/..%2f..%2fetc%2fpasswd",
        "/api/cameras/%2e%2e/front",
        "/api/cameras/front/frames/..%2f..%2f..%2fetc%2fpasswd",
        "/api/cameras/front/frames/%00.jpg",
        "/api/cameras/front%00/timeline",
        "/api/cameras/" + "a" * 5000 + "/timeline",
        "/api/cameras/%ff%fe/timeline",
        "/page/..%2f..%2faccess.py",
        "/page/%2e%2e/index.html",
        "/whip/..%2fadmin",
    ],
)
async def test_paths_that_play_tricks(hostile: RunningServer, path: str) -> None:
    async with unharmed(hostile):
        plain = await asyncio.to_thread(line, hostile)
        plain.sendall(request(hostile, "GET", path, "Connection: close"))
        said = await asyncio.to_thread(to_the_end, plain)
        head, _, body = said.partition(b"\r\n\r\n")
        assert status_of(said) in (400, 404, 405, 422), said[:100]
        assert b"set-cookie" not in head.lower()
        assert b"x-injected" not in head.lower()
        assert b"root:" not in body
        assert json.loads(body)["error"]["message"]


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\r\nSet-Cookie: x=y", "front\n", "{a: !!python/object:os.system}", "%2e%2e", "a\x00"]
)
async def test_names_that_play_tricks(hostile: RunningServer, name: str) -> None:
    async with unharmed(hostile), httpx.AsyncClient(base_url=hostile.url, trust_env=False) as http:
        answer = await http.post("/api/cameras", json={"id": name, "url": "rtsp://127.0.0.1:9/x"})
        assert answer.status_code == 422
        assert answer.json()["error"]["param"] == "id"
        assert "set-cookie" not in answer.headers


def test_yaml_that_plays_tricks(tmp_path: Path) -> None:
    """The configuration is its owner's, yet what is pasted into it must not run or blow up."""
    file, mark = tmp_path / "llama-vid.yaml", tmp_path / "mark"
    laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    laughs += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    texts = {
        f"cameras: {{a: {{url: !!python/object/apply:os.system ['touch {mark}']}}}}": "cameras.a.url",
        f"!!python/object/apply:os.system ['touch {mark}']": "must be sections",
        "\n".join(laughs): "aliases included",
        "cameras: &a {front: *a}": "cameras.front",
        "cameras: " + "[" * 70 + "]" * 70: "nested too deeply",
        "cameras: " + "[" * 400_000: "nested too deeply",
        "cameras: {front: {url: 'rtsp://h/x\\r\\nSet-Cookie: a'}}": "blanks",
    }
    for text, what in texts.items():
        file.write_text(text)
        with pytest.raises(ConfigError, match=what):
            load_config(file)
    assert not mark.exists()


# Those who are slow, and those who are many


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: "])
async def test_who_asks_for_nothing_is_let_go(hostile: RunningServer, sent: bytes) -> None:
    async with unharmed(hostile):
        plain = await asyncio.to_thread(line, hostile)
        plain.sendall(sent)
        assert await asyncio.to_thread(to_the_end, plain) == b""


async def test_a_second_request_that_never_ends(hostile: RunningServer) -> None:
    async with unharmed(hostile):
        plain = await asyncio.to_thread(line, hostile)
        plain.sendall(request(hostile, "GET", "/healthz"))
        said = b""
        while not said.endswith(b"}"):
            said += await asyncio.to_thread(plain.recv, 4096)
        assert status_of(said) == 200
        plain.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        assert await asyncio.to_thread(to_the_end, plain) == b""


async def test_who_reads_no_answer_is_let_go(hostile: RunningServer) -> None:
    async with unharmed(hostile):
        plain = await asyncio.to_thread(line, hostile, received=4096)
        asking = request(hostile, "GET", "/openapi.json") * 200  # some megabytes of answers
        plain.sendall(asking)

        def gone() -> bool:
            return not any(
                each.client == plain.getsockname() for each in list(hostile.listener.server_state.connections)
            )

        await asyncio.to_thread(until, gone, "the connection to be cut")
        plain.close()


async def test_ten_megabytes_of_sdp(hostile: RunningServer) -> None:
    headers = {"Content-Type": "application/sdp"}

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b"a=" + b"x" * 65_534

    async with unharmed(hostile), httpx.AsyncClient(base_url=hostile.url, trust_env=False, timeout=20) as http:
        before = resident_mb()
        answer = await http.post("/whip/web", content=b"v=0\r\n" + b"a" * 10_000_000, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_big")
        answer = await http.post("/whip/web", content=chunks(), headers=headers)
        assert answer.status_code == 413
        assert answer.json()["error"]["message"]
        assert resident_mb() - before < 40  # ten of them are this client's own


OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{}"
MEDIA = (
    "m={} 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\na=rtpmap:96 {}\r\n"
    "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\n"
    "a=fingerprint:sha-256 " + ":".join(["AA"] * 32) + "\r\n"
)


@pytest.mark.parametrize(
    "sdp",
    [
        OFFER.format(""),
        OFFER.format(MEDIA.format("audio", "opus/48000/2")),
        OFFER.format(MEDIA.format("application", "x/1")),
        OFFER.format(MEDIA.format("video", "AV1/90000")),
        OFFER.format(MEDIA.format("video", "H265/90000")),
        OFFER.format(MEDIA.format("video", "no codec at all")),
        OFFER.format("m=video 9 UDP/TLS/RTP/SAVPF " + " ".join(map(str, range(20_000))) + "\r\n"),
        OFFER.format("m=video 99999999999999999999 UDP/TLS/RTP/SAVPF 96\r\n"),
        "v=0\r\n" + "m=video 9 X 0\r\n" * 500,
        "v=0\r\nm=video \x00\r\n",
    ],
)
async def test_offers_that_are_none(hostile: RunningServer, sdp: str) -> None:
    async with unharmed(hostile), httpx.AsyncClient(base_url=hostile.url, trust_env=False, timeout=20) as http:
        answer = await http.post("/whip/web", content=sdp.encode(), headers={"Content-Type": "application/sdp"})
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.json()["error"]["message"]
        assert (await http.get("/api/cameras/web")).json()["publishing"] is False


async def test_a_thousand_connections() -> None:
    limit = 60
    with running_server(CAMERAS, server_settings={"limits": {"connections": limit}}, patience=IMPATIENT) as server:
        async with unharmed(server):
            before = resident_mb()
            asking = request(server, "GET", "/healthz")
            outcomes: list[bytes] = []
            open_lines: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
            host, port = server.host.split(":")
            for _ in range(1000):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(asking)
                try:
                    said = await reader.read(4096)
                except ConnectionResetError:
                    said = b"reset"
                outcomes.append(said.split(b"\r\n")[0])
                if said.startswith(b"HTTP/1.1 200"):
                    open_lines.append((reader, writer))  # and stays
                else:
                    writer.close()
                assert len(server.listener.server_state.connections) <= limit
            answers = {outcome: outcomes.count(outcome) for outcome in outcomes}
            assert answers.keys() <= {b"HTTP/1.1 200 OK", b"HTTP/1.1 503 Service Unavailable"}, answers
            assert answers[b"HTTP/1.1 503 Service Unavailable"] > 800
            assert resident_mb() - before < 30
            for _, writer in open_lines:
                writer.close()
            # When they have left, there is room again.
            await asyncio.to_thread(until, lambda: len(server.listener.server_state.connections) < 10, "them to leave")


async def test_a_thousand_connections_that_say_nothing() -> None:
    limits = {"connections": 40}
    with running_server(CAMERAS, server_settings={"limits": limits}, patience=IMPATIENT) as server:
        async with unharmed(server):
            lines = [await asyncio.to_thread(line, server) for _ in range(300)]
            open_now = server.listener.server_state.connections
            # One that is being turned away counts until its 503 is on the way.
            await asyncio.to_thread(until, lambda: len(open_now) <= limits["connections"], "the surplus to go")
            for plain in lines:
                said = await asyncio.to_thread(to_the_end, plain)
                assert said == b"" or status_of(said) == 503
