"""The log as JSON: camera, answer and request are named, secrets are not."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from llama_vid.clients import Client
from llama_vid.log_format import JsonFormatter, PlainFormatter, logged_with, set_up
from llama_vid.model_thread import ModelThread, Priority
from tests.server.running import running_server, until

logger = logging.getLogger("llama_vid.test_logs")


class Lines:
    """What was logged, as programs read it."""

    def __init__(self) -> None:
        self.text = io.StringIO()

    def all(self, **wanted: str) -> list[dict[str, Any]]:
        """The lines that say this."""
        lines = [json.loads(line) for line in self.text.getvalue().splitlines()]
        return [line for line in lines if wanted.items() <= line.items()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The log of llama_vid, from DEBUG on, as JSON."""
    kept, ours = Lines(), logging.getLogger("llama_vid")
    handler = logging.StreamHandler(kept.text)
    handler.setFormatter(JsonFormatter())
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    yield kept
    ours.removeHandler(handler)
    ours.setLevel(level)


def test_a_line_says_where_it_belongs(lines: Lines) -> None:
    with logged_with(camera="front", request="req_1"):
        logger.info("no picture for %d s", 5)
        with logged_with(response="resp_1"):
            logger.warning("slow", extra={"camera": "back"})
    logger.info("alone")
    first, second, third = lines.all(logger="llama_vid.test_logs")
    assert (first["message"], first["level"], first["camera"], first["request"]) == (
        *("no picture for 5 s", "info", "front", "req_1"),
    )
    assert (second["camera"], second["response"], second["level"]) == ("back", "resp_1", "warning")
    assert third.keys() == {"time", "level", "logger", "message"}
    assert third["time"].endswith("+00:00")


def test_line_breaks_tracebacks_and_secrets(lines: Lines) -> None:
    try:
        raise ValueError("rtsp://bob:hunter22@10.0.0.5/live?password=hunter23 broke")
    except ValueError:
        logger.exception("cannot open rtsp://bob:hunter22@10.0.0.5/live\nforged: line")
    (line,) = lines.text.getvalue().splitlines()
    assert "hunter2" not in line
    tree = json.loads(line)
    assert tree["message"] == "cannot open rtsp://10.0.0.5/live\nforged: line"
    assert "Traceback" in tree["exception"]
    record = logging.LogRecord("x", logging.ERROR, "", 0, "http://bob:hunter22@cam/ is gone", (), None)
    assert PlainFormatter().format(record) == "ERROR x: http://cam/ is gone"


async def test_the_models_thread_says_who_asked(lines: Lines) -> None:
    thread = ModelThread()
    try:
        with logged_with(camera="front"):
            await thread.run(Priority.FRAMES, lambda: logger.info("in the thread"))
        await thread.run(Priority.FRAMES, lambda: logger.info("for nobody"))
    finally:
        thread.close()
    first, second = lines.all(logger="llama_vid.test_logs")
    assert first["camera"] == "front"
    assert "camera" not in second


def test_a_servers_log(lines: Lines) -> None:
    with running_server() as server:
        answer = server.http.get("/api/cameras?secret=hunter24", headers={"X-Request-ID": "proxy-7"})
        assert answer.headers["x-request-id"] == "proxy-7"
        forged = server.http.get("/healthz", headers={"X-Request-ID": "a b;" + "x" * 100})
        assert forged.headers["x-request-id"].startswith("req_")
        assert server.http.get("/nowhere").headers["x-request-id"].startswith("req_")

        async def ask() -> str:
            async with Client.connect(server.url) as client:
                return (await client.answer("front", "a question with a secret 4711")).response_id

        response = asyncio.run(ask())
        until(lambda: lines.all(logger="llama_vid.clients.response"), "the line of the answer")
        server.model.session("front").change("stalled", "nothing came for 5 s")
        until(lambda: [line for line in lines.all(camera="front") if "stalled" in line["message"]], "the state")
    (said,) = lines.all(logger="llama_vid.clients.response")
    assert (said["response"], said["camera"]) == (response, "front")
    assert said["request"].startswith("req_")
    assert "completed" in said["message"]
    (request,) = lines.all(request="proxy-7")
    assert request["message"].startswith("GET /api/cameras: 200 after ")
    for secret in ("4711", "hunter2", "You asked"):
        assert secret not in lines.text.getvalue()


def test_the_option(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    monkeypatch.setattr(root, "handlers", [])
    try:
        set_up(logging.INFO, "json")
        logging.getLogger("llama_vid.anything").info("hello")
        assert root.handlers[0].stream is sys.stderr  # type: ignore[attr-defined]
    finally:
        root.setLevel(level)
    assert json.loads(capsys.readouterr().err)["message"] == "hello"
    assert before is not root.handlers
