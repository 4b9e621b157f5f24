"""The client of an OpenAI-compatible server against a real one on loopback: every way in which it can fail."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from llama_vid.llm.breaker import FIRST_S, TRIES, Breaker
from llama_vid.llm.remote_client import CUT_OFF, RemoteClient
from llama_vid.llm.remote_errors import RemoteFailure
from llama_vid.llm.remote_options import RemoteOptions
from llama_vid.llm.remote_reader import RemoteReader
from llama_vid.llm.spending import Spending
from tests.peers.openai_server import DEFAULT, KEY, MODEL, OpenAIServer, Turn, openai_server
from tests.peers.waiting import until
from tests.server.certificates import self_signed


@dataclass(frozen=True)
class Asked:
    """A prompt of one picture and one sentence."""

    jpeg: str
    images: int = 1

    def messages(self, *, images: bool) -> list[dict[str, Any]]:
        text = {"type": "text", "text": "What is seen?"}
        picture = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{self.jpeg}", "detail": "low"}}
        content: Any = [text, picture] if images and self.images else "What is seen?"
        return [{"role": "system", "content": "Answer."}, {"role": "user", "content": content}]


@pytest.fixture(scope="module")
def prompt() -> Asked:
    import base64
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (64, 48), (40, 90, 150)).save(out, "JPEG")
    return Asked(base64.b64encode(out.getvalue()).decode())


@pytest.fixture(scope="module")
def running() -> Iterator[OpenAIServer]:
    with openai_server() as found:
        yield found


@pytest.fixture
def server(running: OpenAIServer) -> OpenAIServer:
    running.reset()
    return running


def reader(server: OpenAIServer, **more: Any) -> RemoteReader:
    options = replace(RemoteOptions(server.url, MODEL, KEY, first_s=5.0), **more)
    return RemoteReader(options, Spending(options.requests_per_hour, options.images_per_hour), pause_s=0.01)


async def read(reader: RemoteReader, prompt: Asked) -> str:
    return "".join([piece async for piece in reader.read(prompt)])


async def fails(reader: RemoteReader, prompt: Asked) -> RemoteFailure:
    with pytest.raises(RemoteFailure) as failure:
        await read(reader, prompt)
    message = str(failure.value)
    assert KEY not in message
    assert "\n" not in message
    return failure.value


async def test_an_answer_comes_in_pieces_and_is_counted(server: OpenAIServer, prompt: Asked) -> None:
    asked = reader(server)
    assert [piece async for piece in asked.read(prompt)] == list(DEFAULT)
    assert not server.refused
    assert [len(body.images) for body in server.requests] == [1]
    counts = asked.counts
    assert (dict(counts.requests), counts.images) == ({"answered": 1}, 1)
    assert (counts.prompt_tokens, counts.completion_tokens) == (100, 2)


async def test_a_refused_key_is_said_and_not_quoted(server: OpenAIServer, prompt: Asked) -> None:
    failure = await fails(reader(server, key="sk-wrong-key-of-somebody"), prompt)
    assert failure.kind == "key"
    assert "sk-wrong" not in str(failure)
    assert "refuses the key (401)" in str(failure)
    assert "wants a key" in str(await fails(reader(server, key=None), prompt))


async def test_no_key_of_the_environment_goes_to_another_server(
    server: OpenAIServer, prompt: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    await fails(reader(server, key=None), prompt)
    assert server.keys == ["none"]


async def test_an_unknown_model_is_named(server: OpenAIServer, prompt: Asked) -> None:
    failure = await fails(reader(server, model="nope"), prompt)
    assert failure.kind == "model"
    assert "'nope'" in str(failure)
    assert len(server.requests) == 1  # it is not asked again


async def test_a_busy_server_is_asked_again_when_it_says(server: OpenAIServer, prompt: Asked) -> None:
    server.then.append(Turn(status=429, headers={"retry-after": "0.2"}))
    asked = reader(server)
    began = asyncio.get_running_loop().time()
    assert await read(asked, prompt) == "".join(DEFAULT)
    assert asyncio.get_running_loop().time() - began >= 0.2
    # Longer than a question waits: it fails at once, and the server is left alone for that long.
    server.then.append(Turn(status=429, headers={"retry-after": "90"}))
    failure = await fails(asked, prompt)
    assert (failure.kind, failure.retry_after) == ("busy", 90.0)
    assert asked.resting


async def test_an_account_that_is_used_up_is_not_asked_again(server: OpenAIServer, prompt: Asked) -> None:
    server.then.append(Turn(status=429, code="insufficient_quota", message="You exceeded your current quota"))
    assert (await fails(reader(server), prompt)).kind == "quota"
    assert len(server.requests) == 1


async def test_a_failing_server_is_asked_again_so_often(server: OpenAIServer, prompt: Asked) -> None:
    server.then.extend([Turn(status=500), Turn(status=503)])
    asked = reader(server)
    assert await read(asked, prompt) == "".join(DEFAULT)
    server.then.extend([Turn(status=500, message="out of memory")] * 3)
    failure = await fails(asked, prompt)
    assert failure.kind == "server"
    assert "out of memory" in str(failure)
    assert len(server.requests) == 6


async def test_a_server_that_is_not_there(server: OpenAIServer, prompt: Asked) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as port:
        number = port.getsockname()[1]
    failure = await fails(reader(server, base_url=f"http://127.0.0.1:{number}/v1"), prompt)
    assert failure.kind == "connect"
    assert f"127.0.0.1:{number} cannot be reached" in str(failure)


async def test_a_certificate_that_is_not_trusted(tmp_path: Path, prompt: Asked) -> None:
    files = self_signed(tmp_path)
    with openai_server(files) as server:
        failure = await fails(reader(server), prompt)
        assert failure.kind == "tls"
        assert "llm.openai.ca" in str(failure)
        assert await read(reader(server, ca=str(files[0])), prompt) == "".join(DEFAULT)


async def test_a_server_that_says_nothing(server: OpenAIServer, prompt: Asked) -> None:
    server.then.append(Turn(pieces=(), silent=True))
    failure = await fails(reader(server, first_s=0.3), prompt)
    assert failure.kind == "timeout"
    await until(server.left.is_set)


async def test_a_server_that_falls_silent_in_the_middle(server: OpenAIServer, prompt: Asked) -> None:
    server.then.append(Turn(silent=True))
    failure = await fails(reader(server, token_s=0.3), prompt)
    assert failure.kind == "cut"
    assert "fell silent" in str(failure)
    assert len(server.requests) == 1  # what has begun is not asked again


@pytest.mark.parametrize("turn", [Turn(finish=None), Turn(error="engine died")])
async def test_a_stream_that_is_cut(server: OpenAIServer, prompt: Asked, turn: Turn) -> None:
    server.then.append(turn)
    said: list[str] = []
    pieces = reader(server).read(prompt)
    said += [await anext(pieces), await anext(pieces)]
    with pytest.raises(RemoteFailure) as failure:
        await anext(pieces)
    assert failure.value.kind == "cut"
    assert said == list(DEFAULT)


@pytest.mark.parametrize("turn", [Turn(pieces=(), refusal="I cannot help."), Turn(pieces=(), finish="content_filter")])
async def test_a_model_that_declines(server: OpenAIServer, prompt: Asked, turn: Turn) -> None:
    server.then.append(turn)
    asked = reader(server)
    assert (await fails(asked, prompt)).kind == "filter"
    assert await read(asked, prompt) == "".join(DEFAULT)  # it says nothing against the server


@pytest.mark.parametrize("pieces", [(), ("", " \n "), ("<think>hm, hm",)])
async def test_an_empty_answer(server: OpenAIServer, prompt: Asked, pieces: tuple[str, ...]) -> None:
    server.then.append(Turn(pieces=pieces))
    assert (await fails(reader(server), prompt)).kind == "empty"


async def test_a_question_that_is_too_long(server: OpenAIServer, prompt: Asked) -> None:
    server.then.append(Turn(status=400, message="This model's maximum context length is 4096 tokens"))
    failure = await fails(reader(server), prompt)
    assert failure.kind == "size"
    assert "max_images" in str(failure)
    assert len(server.requests) == 1


async def test_a_model_without_eyes_is_asked_without_pictures_from_then_on(
    server: OpenAIServer, prompt: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    server.sees = False
    asked = reader(server)
    assert await read(asked, prompt) == "".join(DEFAULT)
    assert await read(asked, prompt) == "".join(DEFAULT)
    assert [len(body.images) for body in server.requests] == [1, 0, 0]
    assert not asked.sees
    assert caplog.text.count("takes no images") == 1


async def test_a_newer_servers_word_for_the_length_is_learned(server: OpenAIServer, prompt: Asked) -> None:
    server.knows_max_tokens = False
    asked = reader(server)
    for _ in range(2):
        assert await read(asked, prompt) == "".join(DEFAULT)
    assert [body.max_completion_tokens for body in server.requests] == [400, 400]
    assert len(server.refused) == 1
    assert [len(body.images) for body in server.requests] == [1, 1]


async def test_too_many_pictures_are_refused_by_the_server_in_its_words(server: OpenAIServer, prompt: Asked) -> None:
    server.most_images = 0
    asked = reader(server)
    assert await read(asked, prompt) == "".join(DEFAULT)
    assert server.refused == ["1 images, at most 0 are taken"]


async def test_an_answer_that_reached_its_length_says_so(server: OpenAIServer, prompt: Asked) -> None:
    server.then.append(Turn(finish="length"))
    assert await read(reader(server), prompt) == "".join(DEFAULT) + CUT_OFF


async def test_thoughts_are_left_out(server: OpenAIServer, prompt: Asked) -> None:
    server.then.append(Turn(pieces=("<th", "ink>A bus? ", "No.</thi", "nk>\n\nA ", "tram.")))
    assert await read(reader(server), prompt) == "A tram."


async def test_leaving_an_answer_closes_its_connection_at_once(server: OpenAIServer, prompt: Asked) -> None:
    server.then.append(Turn(silent=True))
    asked = reader(server)
    async with contextlib.aclosing(asked.read(prompt)) as pieces:
        assert await anext(pieces) == DEFAULT[0]
    await until(server.left.is_set, 3)
    assert dict(asked.counts.requests) == {"cancelled": 1}
    assert not asked.counts.errors


async def test_cancelling_while_it_is_waited_for_closes_it_too(server: OpenAIServer, prompt: Asked) -> None:
    server.then.append(Turn(pieces=(), silent=True))
    asked = reader(server)
    task = asyncio.create_task(read(asked, prompt), name="asked")
    await until(lambda: bool(server.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(server.left.is_set, 3)
    assert await read(asked, prompt) == "".join(DEFAULT)


async def test_what_an_hour_may_cost(server: OpenAIServer, prompt: Asked, caplog: pytest.LogCaptureFixture) -> None:
    asked = reader(server, requests_per_hour=1)
    assert await read(asked, prompt) == "".join(DEFAULT)
    for _ in range(2):
        failure = await fails(asked, prompt)
        assert failure.kind == "spent"
        assert "requests_per_hour" in str(failure)
    assert len(server.requests) == 1
    assert caplog.text.count("is not asked") == 1  # said once
    assert not asked.resting


async def test_a_dead_server_is_left_alone(server: OpenAIServer, prompt: Asked) -> None:
    now = [100.0]
    options = RemoteOptions(server.url, MODEL, KEY, retries=0)
    asked = RemoteReader(options, Spending(None, None), breaker=Breaker(lambda: now[0]), pause_s=0.01)
    server.then.extend([Turn(status=500)] * TRIES)
    for _ in range(TRIES):
        assert (await fails(asked, prompt)).kind == "server"
    failure = await fails(asked, prompt)
    assert failure.kind == "resting"
    assert "failed (500" in str(failure)
    assert len(server.requests) == TRIES
    now[0] += FIRST_S
    server.then.append(Turn(status=500))
    assert (await fails(asked, prompt)).kind == "server"  # one tries, and the pause doubles
    now[0] += FIRST_S
    assert (await fails(asked, prompt)).kind == "resting"
    now[0] += FIRST_S
    assert await read(asked, prompt) == "".join(DEFAULT)
    assert not asked.resting


async def test_its_models_are_listed(server: OpenAIServer) -> None:
    options = RemoteOptions(server.url, MODEL, KEY)
    assert await RemoteClient(options).models() == [MODEL]
    with pytest.raises(RemoteFailure, match="refuses the key"):
        await RemoteClient(replace(options, key="sk-no")).models()


def test_what_was_spent_outlives_a_restart_and_slides_out_of_the_hour(tmp_path: Path) -> None:
    now = [1_700_000_000.0]
    first = Spending(3, 10, tmp_path, now=lambda: now[0])
    assert first.take(8) == ""
    assert "images_per_hour" in first.take(8)
    assert first.take(2) == ""
    first.close()
    second = Spending(3, 10, tmp_path, now=lambda: now[0])
    assert second.spent() == (2, 10)
    assert second.take(0) == ""
    assert "requests_per_hour" in second.take(0)
    now[0] += 3600
    assert second.take(8) == ""
    now[0] -= 7300  # the clock was set back: what lies ahead no longer counts
    assert second.take(8) == ""
    second.close()


def test_a_file_that_is_no_database_costs_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "remote-spending.sqlite").write_text("not a database" * 100)
    spending = Spending(1, 1, tmp_path)
    assert spending.take(1) == ""
    assert spending.take(0) != ""
    assert "in memory" in caplog.text
    spending.close()


def test_doctor_looks_whether_the_server_has_the_model(server: OpenAIServer, tmp_path: Path) -> None:
    from llama_vid.commands.doctor_remote import look_at_remote_model
    from llama_vid.config import load_config

    (tmp_path / "key").write_text(KEY)
    path = tmp_path / "llama-vid.yaml"

    def looked(model: str, key: str = "key") -> tuple[str, str]:
        there = f"{{base_url: '{server.url}', model: {model}, api_key_file: {key}}}"
        path.write_text(f"llm: {{engine: openai, openai: {there}}}\n")
        (check,) = look_at_remote_model(load_config(path))
        return check.status, check.detail

    assert looked(MODEL) == ("ok", f"{server.url} has {MODEL}")
    assert looked("other") == ("warning", f"{server.url} does not list other; it lists {MODEL}")
    (tmp_path / "bad").write_text("sk-wrong")
    status, detail = looked(MODEL, "bad")
    assert (status, "refuses the key" in detail, "sk-wrong" in detail) == ("problem", True, False)
    assert looked(MODEL, "none")[0] == "problem"
    assert not server.requests  # it costs nothing
