"""The typed client against the real server."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from llama_vid.clients import Client
from llama_vid.clients.client import ConnectionLost, RequestRefused, ResponseFailed
from llama_vid.clients.protocol import ResponseCreated, ResponseDone, TextDelta
from tests.server.running import RunningServer, running_server, until


async def test_ask_streams_the_answer(server: RunningServer) -> None:
    async with Client.connect(server.url) as client:
        assert client.session.cameras == ["back", "front"]
        pieces = [piece async for piece in client.ask("front", "count 4")]
    assert pieces == ["0 ", "1 ", "2 ", "3 "]


async def test_answer_has_times_and_evidence(server: RunningServer) -> None:
    async with Client.connect(server.ws) as client:
        done = await client.answer(["front", "back"], "hello")
    assert done.status == "completed"
    assert done.timestamps == [4.0, 6.25]
    assert [e.camera for e in done.evidence] == ["front", "back"]
    assert done.evidence[0].frame_url == "/api/cameras/front/frames/4.jpg"
    assert done.usage.video == 80


async def test_events_come_in_order(server: RunningServer) -> None:
    async with Client.connect(server.url) as client:
        kinds = [type(event) async for event in client.events("front", "count 2")]
    assert kinds == [ResponseCreated, TextDelta, TextDelta, ResponseDone]


async def test_questions_overlap(server: RunningServer) -> None:
    async with Client.connect(server.url) as client:
        answers = await asyncio.gather(*(client.answer("front", f"number {n}") for n in range(6)))
    assert [a.answer for a in answers] == [f"You asked: number {n}" for n in range(6)]


async def test_leaving_the_loop_cancels(server: RunningServer) -> None:
    async with Client.connect(server.url) as client:
        async for piece in client.ask("front", "wait"):
            assert piece == "Well, "
            break
        assert await asyncio.to_thread(server.model.session("front").cancelled.wait, 5)
        assert (await client.answer("front", "still here?")).answer == "You asked: still here?"


async def test_cancelling_the_task_cancels(server: RunningServer) -> None:
    async with Client.connect(server.url) as client:
        started = asyncio.Event()

        async def ask() -> None:
            async for _ in client.ask("front", "wait"):
                started.set()

        task = asyncio.create_task(ask(), name="asker")
        await asyncio.wait_for(started.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.model.session("front").cancelled.wait, 5)


async def test_leaving_before_the_first_word_cancels(server: RunningServer) -> None:
    async with Client.connect(server.url) as client:
        for _ in range(20):  # were they not cancelled, the ninth would be one too many for one client
            task = asyncio.create_task(client.answer("front", "wait"), name="asker")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await client.answer("back", "hello")).status == "completed"
        assert await asyncio.to_thread(server.model.session("front").cancelled.wait, 5)


@pytest.mark.parametrize(
    ("camera", "question", "code"),
    [
        ("", "q", "invalid_request"),
        ("garage", "q", "no_such_camera"),
        ("front", " ", "question_empty"),
        ("front", "x" * 100_000, "question_too_long"),
    ],
)
async def test_refusals_raise(server: RunningServer, camera: str, question: str, code: str) -> None:
    async with Client.connect(server.url) as client:
        with pytest.raises(RequestRefused) as refusal:
            await client.answer(camera, question)
        assert refusal.value.code == code
        assert (await client.answer("front", "still here?")).status == "completed"


async def test_half_a_character_is_replaced(server: RunningServer) -> None:
    async with Client.connect(server.url) as client:
        assert (await client.answer("front", "a\ud800b")).answer == "You asked: a?b"


async def test_a_failed_answer_raises(server: RunningServer) -> None:
    async with Client.connect(server.url) as client:
        with pytest.raises(ResponseFailed, match="has seen nothing yet") as failure:
            await client.answer("front", "fail")
        assert (failure.value.code, failure.value.done.answer) == ("question", "Well, ")


async def test_statuses(server: RunningServer) -> None:
    async with Client.connect(server.url) as client:
        statuses = client.statuses()
        assert {(await anext(statuses)).camera for _ in range(2)} == {"front", "back"}
        server.model.session("front").change("stalled", "no frames")
        status = await asyncio.wait_for(anext(statuses), 5)
        assert (status.camera, status.state, status.reason) == ("front", "stalled", "no frames")
        assert client.states["front"].state == "stalled"


async def test_a_server_that_goes_ends_everything() -> None:
    with running_server() as server:
        async with Client.connect(server.url) as client:
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(failure(client), name="asker")
                await asyncio.to_thread(until, lambda: server.model.session("front").questions, "the question")
                server.stop()
            assert waiting.result() == "shutdown"
            assert [s.camera async for s in client.statuses()] == ["back", "front"]
            with pytest.raises(ConnectionLost, match="1001"):
                await client.answer("front", "hello")


async def failure(client: Client) -> str:
    with pytest.raises(ResponseFailed) as failed:
        await client.answer("front", "wait")
    return failed.value.code


async def test_no_server_is_one_clear_line(unused_tcp_port: int) -> None:
    with pytest.raises(ConnectionLost, match=f"127.0.0.1:{unused_tcp_port}.*is it running"):
        async with Client.connect(f"http://127.0.0.1:{unused_tcp_port}"):
            pass


def test_importing_the_client_loads_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "av", "aiortc", "fastapi", "starlette", "uvicorn")
    code = (
        "import sys, llama_vid, llama_vid.clients, llama_vid.clients.client, llama_vid.clients.protocol;"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]"
