"""What is under way when a token is revoked: it ends, and says why where there is a way to say it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from llama_vid.access_tokens import create_token, revoke_token
from llama_vid.clients.openai_chat import ENDED
from llama_vid.memory import exporting
from tests.server.running import RunningServer, running_server, until
from tests.server.test_forgetting import NOON, remembered

WAIT: Any = [{"role": "user", "content": "wait"}]


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """A file of two tokens, `phone` and `other`, whose secrets lie beside it."""
    file = tmp_path / "tokens.json"
    for name in ("phone", "other"):
        (tmp_path / name).write_text(create_token(file, name).secret)
    return file


@pytest.fixture
def server(tokens: Path) -> Iterator[RunningServer]:
    with running_server(server_settings={"tokens_file": tokens}, memory=tokens.with_name("memory")) as running:
        yield running


@contextlib.contextmanager
def signed_in(server: RunningServer, tokens: Path, name: str) -> Iterator[openai.OpenAI]:
    secret = tokens.with_name(name).read_text()
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=secret, max_retries=0, timeout=10) as client:
        yield client


def cancelled(server: RunningServer) -> bool:
    return server.model.session("front").cancelled.wait(5)


def test_a_streamed_answer_ends_and_says_why(server: RunningServer, tokens: Path) -> None:
    with signed_in(server, tokens, "phone") as phone, signed_in(server, tokens, "other") as other:
        theirs = other.chat.completions.create(model="camera:back", messages=WAIT, stream=True)
        stream = phone.chat.completions.create(model="camera:front", messages=WAIT, stream=True)
        assert next(stream).choices[0].delta.content == "Well, "
        revoke_token(tokens, "phone")
        with pytest.raises(openai.APIError, match=ENDED) as ended:
            list(stream)
        assert (ended.value.code, ended.value.type) == ("unauthorized", "authentication_error")
        assert cancelled(server)
        # Nobody else's answer ends with it.
        assert next(theirs).choices[0].delta.content == "Well, "
        assert not server.model.session("back").cancelled.is_set()
        theirs.close()


def test_an_answer_that_is_given_whole_is_refused(server: RunningServer, tokens: Path) -> None:
    with signed_in(server, tokens, "phone") as phone:

        def revoke() -> None:
            until(lambda: server.model.session("front").questions, "the question")
            revoke_token(tokens, "phone")

        revoking = threading.Thread(target=revoke)
        revoking.start()
        with pytest.raises(openai.AuthenticationError, match=ENDED):
            phone.chat.completions.create(model="camera:front", messages=WAIT)
        revoking.join()
        assert cancelled(server)


def test_nothing_more_is_told_of_an_answer_that_was_complete_already(server: RunningServer, tokens: Path) -> None:
    body = {"model": "camera:front", "messages": [{"role": "user", "content": "flood 4000"}], "stream": True}
    headers = {"Authorization": f"Bearer {tokens.with_name('phone').read_text()}"}
    with server.http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
        lines = answer.iter_lines()
        assert "xxxx" in next(lines)  # and nothing more is read: 16 MB wait in the server
        revoke_token(tokens, "phone")
        until(lambda: server.http.get("/api/cameras", headers=headers).status_code == 401, "the revocation")
        rest = [line for line in lines if line]
    assert json.loads(rest[-1].removeprefix("data: "))["error"]["message"] == ENDED
    assert len(rest) < 4000


def test_a_download_is_cut(server: RunningServer, tokens: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.journal is not None
    remembered(server.journal, "front", seconds=3)
    go = threading.Event()
    whole: Callable[..., Iterator[bytes]] = exporting.exported

    def slowly(*args: Any, **options: Any) -> Iterator[bytes]:
        pieces = whole(*args, **options)
        yield next(pieces)
        go.wait(3)  # then the rest comes, unless nobody wants it any more
        yield from pieces

    monkeypatch.setattr("llama_vid.history.exported", slowly)
    headers = {"Authorization": f"Bearer {tokens.with_name('phone').read_text()}"}
    address = f"/api/cameras/front/export?from={NOON}&to={NOON + 3}"
    try:
        with server.http.stream("GET", address, headers=headers) as answer:
            pieces = answer.iter_raw()
            assert next(pieces).startswith(b"PK")
            revoke_token(tokens, "phone")
            with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message"):
                list(pieces)
    finally:
        go.set()
