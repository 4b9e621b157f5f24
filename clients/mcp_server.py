"""The cameras as tools of the Model Context Protocol, for assistants: list, ask, search, events, timeline, pictures.

It stands beside a running server and talks to it over HTTP; nothing is watched or loaded here. Made with the official
SDK (PyPI `mcp`, the extra `mcp`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Image
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

from llama_vid.clients.openai_answer import iso
from llama_vid.clients.question import MAX_QUESTION_CHARACTERS
from llama_vid.clients.server_api import ServerApi
from llama_vid.errors import LlamaVidError

INSTRUCTIONS = """\
Cameras that are being watched, and what they have seen so far. `ask` answers questions in plain English about one
camera or all of them and cites the moments it rests on; `search` finds moments that look like a short description;
`list_events` are what alert rules have found; `timeline` is what happened when; `frame` shows a picture. Camera names
come from `list_cameras`. Answers that memory does not support say so: do not guess beyond them."""

Camera = Annotated[str, Field(description="A camera's name, as list_cameras tells it.")]
Time = Annotated[
    str | float | None,
    Field(description="ISO 8601, such as 2026-05-01T15:00 (local time unless it names a zone), or epoch seconds."),
]
Limit = Annotated[int, Field(ge=1, le=100)]


class CameraState(BaseModel):
    """A camera, its state, and how far back its memory goes."""

    name: str
    state: str
    reason: str
    watched_s: float
    watch_for: str | None


class Seen(BaseModel):
    """A span of a camera's past. `score` says how surely it fits (0…1), where that is known."""

    camera: str
    start: float
    end: float | None
    start_time: str | None
    end_time: str | None
    what: str
    score: float | None = None


class Told(BaseModel):
    """An answer and what it rests on."""

    answer: str
    citations: list[Seen]


class Toolbox:
    """The tools. Their docstrings are what an assistant reads."""

    def __init__(self, api: ServerApi, zone: tzinfo) -> None:
        self._api, self._zone = api, zone

    async def list_cameras(self) -> list[CameraState]:
        """The cameras, whether their pictures come, and how many seconds of video their memories hold."""
        with _errors_told():
            found = await self._api.cameras()
        return [
            CameraState(
                name=camera["id"],
                state=camera["state"],
                reason=camera["reason"],
                watched_s=camera["watched_s"],
                watch_for=camera["watch_for"],
            )
            for camera in found
        ]

    async def ask(
        self,
        question: Annotated[str, Field(min_length=1, max_length=MAX_QUESTION_CHARACTERS)],
        cameras: Annotated[list[str] | None, Field(max_length=64, description="Leave out to ask all.")] = None,
        earlier_questions: Annotated[
            list[str] | None, Field(max_length=16, description="Questions before it, if it is a follow-up.")
        ] = None,
    ) -> Told:
        """Ask what cameras have seen so far, in plain English. The answer cites the moments that it rests on.

        For example: What has happened so far? Did anybody come to the door this morning? When did the van leave?
        """
        with _errors_told():
            told = await self._api.ask(question, cameras or (), earlier_questions or ())
        cited = [
            self._seen(item["camera"], item, what=item["caption"], score=item["score"]) for item in told["citations"]
        ]
        return Told(answer=told["choices"][0]["message"]["content"], citations=cited)

    async def search(
        self,
        camera: Camera,
        text: Annotated[str, Field(min_length=1, max_length=200, description="What it looks like: a red car.")],
        start: Time = None,
        end: Time = None,
        limit: Limit = 10,
    ) -> list[Seen]:
        """Moments of a camera's memory that look like a short description, best first. Low scores are no matches."""
        with _errors_told():
            found = await self._api.search(camera, text, self._seconds(start), self._seconds(end), limit)
        return [self._seen(camera, item, what=item.get("heard") or text, score=item["score"]) for item in found]

    async def list_events(self, camera: Camera, start: Time = None, end: Time = None, limit: Limit = 20) -> list[Seen]:
        """The newest events that a camera's alert rules found, in time order. One without an end goes on."""
        with _errors_told():
            found = await self._api.events(camera, self._seconds(start), self._seconds(end), limit)
        return [
            self._seen(
                camera,
                item,
                what=f"{item['rule']}: {item['text']}" + (" (taken back)" if item["verified"] is False else ""),
                score=item["score"],
            )
            for item in found
        ]

    async def timeline(self, camera: Camera, start: Time = None, end: Time = None, limit: Limit = 50) -> list[Seen]:
        """What happened when in front of a camera: the newest scenes with their captions, in time order."""
        with _errors_told():
            found = await self._api.timeline(camera, self._seconds(start), self._seconds(end))
        return [self._seen(camera, item, what=item["caption"]) for item in found[-limit:]]

    async def frame(self, camera: Camera, time: Time = None) -> list[Image | str]:
        """The picture of a camera at a time, or the one that was kept nearest to it; without a time the newest one."""
        with _errors_told():
            seconds = self._seconds(time)
            jpeg = await self._api.picture(camera, seconds)
        when = "now" if seconds is None else f"at {iso(seconds, self._zone)}, or the kept picture nearest to it"
        return [Image(data=jpeg, format="jpeg"), f"{camera} {when}"]

    async def cameras_resource(self) -> str:
        """The cameras as JSON."""
        return json.dumps([camera.model_dump() for camera in await self.list_cameras()])

    async def latest_resource(self, camera: str) -> bytes:
        """The newest picture of a camera."""
        with _errors_told():
            return await self._api.picture(camera)

    def _seconds(self, time: str | float | None) -> float | None:
        return None if time is None else seconds_of(time, self._zone)

    def _seen(self, camera: str, item: dict[str, Any], *, what: str, score: float | None = None) -> Seen:
        start, end = float(item["start"]), item["end"]
        return Seen(
            camera=camera,
            start=start,
            end=end,
            start_time=iso(start, self._zone),
            end_time=None if end is None else iso(end, self._zone),
            what=what,
            score=score,
        )


def seconds_of(time: str | float, zone: tzinfo) -> float:
    """A time in epoch seconds, written so or in ISO 8601. Raises ToolError."""
    with suppress(ValueError):
        if math.isfinite(seconds := float(time)):
            return seconds
    try:
        read = datetime.fromisoformat(str(time).strip())
        return (read if read.tzinfo is not None else read.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError):
        raise ToolError(
            f"{str(time)[:40]!r} is no time; write ISO 8601, such as 2026-05-01T15:00, or epoch seconds."
        ) from None


def make_mcp_server(api: ServerApi, *, version: str, zone: tzinfo | None = None) -> MCPServer[Any]:
    """The MCP server over a connection to a running server; times are told in `zone` (this machine's)."""
    toolbox = Toolbox(api, zone or datetime.now().astimezone().tzinfo or UTC)
    server: MCPServer[Any] = MCPServer(
        "llama-vid", title="LLaMA-VID Live", instructions=INSTRUCTIONS, version=version, log_level="WARNING"
    )
    looks = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    for tool in (toolbox.list_cameras, toolbox.ask, toolbox.search, toolbox.list_events, toolbox.timeline):
        server.add_tool(tool, annotations=looks)
    server.add_tool(toolbox.frame, annotations=looks, structured_output=False)
    server.resource("llama-vid://cameras", name="cameras", mime_type="application/json")(toolbox.cameras_resource)
    server.resource("llama-vid://cameras/{camera}/latest.jpg", name="latest-picture", mime_type="image/jpeg")(
        toolbox.latest_resource
    )
    return server


@contextmanager
def _errors_told() -> Iterator[None]:
    """What the server refuses is told to the assistant in one line."""
    try:
        yield
    except LlamaVidError as problem:
        raise ToolError(str(problem)) from None
