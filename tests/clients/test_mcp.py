"""`llama-vid mcp`, started as assistants start it and used by the official MCP client."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, ImageContent, TextContent

from llama_vid.clients.mcp_server import seconds_of
from llama_vid.clients.server_api import ServerApi, ServerUnreachable
from tests.conftest import ROOT
from tests.server.running import running_server
from tests.server.scripted import ScriptedSession


@asynccontextmanager
async def connected(url: str, *args: str, **env: str) -> AsyncIterator[Client]:
    """The MCP client over the program's stdin and stdout."""
    program = StdioServerParameters(
        command=sys.executable, args=["-m", "llama_vid", "mcp", *args], env={"LLAMA_VID_URL": url, **env}, cwd=ROOT
    )
    async with Client(program, read_timeout_seconds=30) as client:
        yield client


def told(result: Any) -> Any:
    """What a tool gave, as structured content."""
    assert isinstance(result, CallToolResult)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content.get("result", result.structured_content)


def refused(result: Any) -> str:
    assert isinstance(result, CallToolResult)
    assert result.is_error
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def test_every_tool() -> None:
    with running_server() as server:
        session: ScriptedSession = server.model.session("front")
        async with connected(server.url, TZ="UTC") as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert sorted(tools) == ["ask", "frame", "list_cameras", "list_events", "search", "timeline"]
            assert all(tool.description and tool.annotations for tool in tools.values())

            cameras = told(await client.call_tool("list_cameras", {}))
            assert [(camera["name"], camera["state"]) for camera in cameras] == [("back", "live"), ("front", "live")]

            follow_up = {"question": "When?", "cameras": ["front"], "earlier_questions": ["Did a cat come?"]}
            answer = told(await client.call_tool("ask", follow_up))
            assert answer["answer"] == "You asked: When?"
            assert answer["citations"] == [
                {
                    "camera": "front",
                    "start": 4.0,
                    "end": 9.5,
                    "start_time": "1970-01-01T00:00:04.000+00:00",
                    "end_time": "1970-01-01T00:00:09.500+00:00",
                    "what": "a man puts a package down",
                    "score": 0.9,
                }
            ]
            assert session.earlier == ["Did a cat come?"]
            everywhere = told(await client.call_tool("ask", {"question": "hello"}))
            assert {item["camera"] for item in everywhere["citations"]} == {"back", "front"}

            search = {"camera": "front", "text": "a cat", "start": "1970-01-01T00:00:02", "end": 20, "limit": 1}
            (found,) = told(await client.call_tool("search", search))
            assert (found["start"], found["end"], found["score"]) == (4.0, 9.5, 0.91)
            assert session.searched == [("a cat", 2.0, 20.0, 1)]

            assert told(await client.call_tool("list_events", {"camera": "front"})) == []
            scenes = told(await client.call_tool("timeline", {"camera": "front", "limit": 2}))
            assert [scene["what"] for scene in scenes] == ["a man puts a package down", "a package at the door"]

            shown = await client.call_tool("frame", {"camera": "front", "time": 4})
            assert isinstance(shown, CallToolResult)
            picture, words = shown.content
            assert isinstance(picture, ImageContent)
            assert picture.mime_type == "image/jpeg"
            assert base64.b64decode(picture.data) == server.http.get("/api/cameras/front/frames/4.jpg").content
            assert isinstance(words, TextContent)
            assert "1970-01-01T00:00:04" in words.text

            (listed,) = (await client.list_resources()).resources
            text = (await client.read_resource(listed.uri)).contents[0]
            assert [camera["name"] for camera in json.loads(text.text)] == ["back", "front"]  # type: ignore[union-attr]
            latest = (await client.read_resource("llama-vid://cameras/front/latest.jpg")).contents[0]
            assert base64.b64decode(latest.blob)[:2] == b"\xff\xd8"  # type: ignore[union-attr]


async def test_errors_are_said_in_words() -> None:
    with running_server() as server:
        async with connected("http://127.0.0.1:1", "--url", server.url) as client:  # the option wins
            assert "No model 'camera:nope'" in refused(
                await client.call_tool("ask", {"question": "hello", "cameras": ["nope"]})
            )
            assert "No camera 'nope'" in refused(await client.call_tool("search", {"camera": "nope", "text": "cat"}))
            assert "is no time" in refused(await client.call_tool("frame", {"camera": "front", "time": "noon"}))
            assert "no picture at 99" in refused(await client.call_tool("frame", {"camera": "front", "time": 99}))
            assert "to lies before from" in refused(
                await client.call_tool("timeline", {"camera": "front", "start": 5, "end": 4})
            )
            assert "limit" in refused(await client.call_tool("list_events", {"camera": "front", "limit": 1000}))
            server.stop()
            server.listener.force_exit = True
        # The assistant's program is told; the connection to it stays.
    async with connected(server.url) as client:
        for _ in range(2):
            said = refused(await client.call_tool("list_cameras", {}))
            assert f"No llama-vid server at {server.host}" in said
            assert "llama-vid serve" in said


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://user:hunter22@127.0.0.1", "http://", "http://h:99999"])
async def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ServerUnreachable, match="without user and password") as refusal:
        async with ServerApi.at(url):
            pass
    assert "hunter22" not in str(refusal.value)


async def test_the_token_is_sent_and_never_shown(tmp_path: Path) -> None:
    seen: list[str] = []

    async def other(reader: Any, writer: Any) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        seen.extend(line for line in request.split("\r\n") if line.lower().startswith("authorization"))
        body = b'{"error": {"code": "unauthorized", "message": "No such token."}}'
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(other, "127.0.0.1", 0)
    async with listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        file = tmp_path / "token"
        file.write_text("of-the-file\n")
        async with connected(url, LLAMA_VID_TOKEN="hunter22") as client:
            said = refused(await client.call_tool("list_cameras", {}))
            assert "No such token. Give a token in LLAMA_VID_TOKEN" in said
            assert "hunter22" not in said
        async with connected(url, "--token-file", str(file)) as client:
            assert refused(await client.call_tool("list_cameras", {}))
    assert [line.split(" ", 1)[1] for line in seen] == ["Bearer hunter22", "Bearer of-the-file"]


def test_times_in_words() -> None:
    assert seconds_of("12.5", UTC) == 12.5
    assert seconds_of("2026-05-01T15:00", UTC) == seconds_of("2026-05-01T17:00+02:00", UTC) == 1777647600
    assert seconds_of("2026-05-01T15:00:00Z", UTC) == 1777647600
    for wrong in ("nan", "inf", "", "today", "9" * 400, "0000-01-01"):
        with pytest.raises(ToolError, match="is no time"):
            seconds_of(wrong, UTC)
