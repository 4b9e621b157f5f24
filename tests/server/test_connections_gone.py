"""What a connection leaves behind: nothing. Counted as objects, with the collection of garbage in cycles off."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from llama_vid.clients import Client
from llama_vid.clients.openai_chat import Chat
from llama_vid.clients.websocket import Connection as AskingClient
from llama_vid.connections import Connection
from llama_vid.listener import Socket
from tests.server.running import RunningServer, running_server, until


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weakref.ref[Any]]]:
    """Every connection and chat that is made, of all kinds. Nothing is collected meanwhile but what nobody holds."""
    born: list[weakref.ref[Any]] = []
    for kind in (Connection, Socket, AskingClient, Chat):
        begin = kind.__init__

        def begun(self: Any, *args: Any, _begin: Any = begin, **options: Any) -> None:
            born.append(weakref.ref(self))
            _begin(self, *args, **options)

        monkeypatch.setattr(kind, "__init__", begun)
    gc.collect()
    gc.disable()
    yield born
    gc.enable()


def left(made: list[weakref.ref[Any]]) -> list[str]:
    return [type(found).__qualname__ for each in made if (found := each()) is not None]


@pytest.mark.parametrize("kept_alive", [True, False])
def test_http(server: RunningServer, made: list[weakref.ref[Any]], kept_alive: bool) -> None:
    host, port = server.host.split(":")
    for _ in range(5):
        line = http.client.HTTPConnection(host, int(port), timeout=10)
        for _ in range(2 if kept_alive else 1):
            line.request(
                "GET", "/api/cameras/front/snapshot.jpg", headers={} if kept_alive else {"Connection": "close"}
            )
            answer = line.getresponse()
            assert answer.status == 200
            assert answer.read().startswith(b"\xff\xd8")
        line.close()
    assert len(made) == 5
    until(lambda: not left(made), "the connections to be gone")


@pytest.mark.parametrize("stream", [False, True])
def test_answers_over_http(server: RunningServer, made: list[weakref.ref[Any]], stream: bool) -> None:
    host, port = server.host.split(":")
    body = {"model": "camera:front", "messages": [{"role": "user", "content": "count 20"}], "stream": stream}
    for _ in range(3):
        line = http.client.HTTPConnection(host, int(port), timeout=10)
        line.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        assert b"18 " in line.getresponse().read()
        line.close()
    assert len(made) == 6
    until(lambda: not left(made), "the connections and chats to be gone")


@pytest.mark.parametrize("question", ["hello", "wait", "crash"])
def test_websockets(server: RunningServer, made: list[weakref.ref[Any]], question: str) -> None:
    async def ask() -> None:
        async with Client.connect(server.url) as client:
            asked = asyncio.create_task(client.answer("front", question, conversation="one"))
            questions = server.model.session("front").questions
            await asyncio.to_thread(until, lambda: question in (said for said, _ in questions), "the question")
            if question == "wait":
                asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    for _ in range(3):
        asyncio.run(ask())
    assert len(made) == 9  # of each kind, for each client
    until(lambda: not left(made), "the connections to be gone")
