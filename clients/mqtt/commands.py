"""What comes in: questions on `<camera>/ask/set`, and `<camera>/paused/set`."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from llama_vid.clients.mqtt.connection import Connection
from llama_vid.clients.mqtt.questions import BadRequest, Request, answered, failed, read_request
from llama_vid.clients.mqtt.source import CameraSource
from llama_vid.clients.mqtt.topics import OFF, ON, Topics, dump
from llama_vid.errors import LlamaVidError

logger = logging.getLogger(__name__)

#: Questions that wait for their turn; more are answered "busy". A person asks one, a script a handful.
WAITING: Final = 16
#: Questions at once: the model batches few, and cameras go on meanwhile.
AT_ONCE: Final = 2


class Commands:
    """One connection's incoming messages. `take` never waits; `run` does what it took."""

    def __init__(self, broker: Connection, topics: Topics, cameras: CameraSource) -> None:
        self._broker, self._topics, self._cameras = broker, topics, cameras
        self._questions: asyncio.Queue[tuple[str, Request]] = asyncio.Queue(WAITING)
        self._quick: asyncio.Queue[tuple[str, str, bytes]] = asyncio.Queue(WAITING)

    @property
    def patterns(self) -> tuple[str, ...]:
        """What to subscribe to."""
        return (self._topics.command("+", "+"),)

    def take(self, topic: str, payload: bytes) -> None:
        """A message that is not a retained one: an old command must not be obeyed with every new connection."""
        match self._topics.parts(topic):
            case [camera, thing, "set"]:
                try:
                    self._quick.put_nowait((camera, thing, payload))
                except asyncio.QueueFull:
                    logger.warning("MQTT: too many commands at once; %s is left out", topic)

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(self._answer(), name=f"mqtt answers {number}")
            while True:
                camera, thing, payload = await self._quick.get()
                if all(card.name != camera for card in self._cameras.cards()):
                    logger.warning("MQTT: a command for camera %.64r, which is not there", camera)
                    if thing == "ask":
                        await self._reply(camera, failed(None, None, f"there is no camera {camera[:64]!r}"))
                elif thing == "ask":
                    await self._ask(camera, payload)
                elif thing == "paused":
                    await self._pause(camera, payload)
                else:
                    logger.warning("MQTT: nothing is called %.64r; use ask/set or paused/set", thing)

    async def _ask(self, camera: str, payload: bytes) -> None:
        try:
            request = read_request(payload)
        except BadRequest as problem:
            logger.warning("MQTT: %s/ask/set: %s", camera, problem)
            await self._reply(camera, failed(problem.id, None, str(problem)))
            return
        try:
            self._questions.put_nowait((camera, request))
        except asyncio.QueueFull:
            await self._reply(camera, failed(request.id, request.question, "too many questions wait; ask again later"))

    async def _answer(self) -> None:
        while True:
            camera, request = await self._questions.get()
            try:
                message = answered(request, await self._cameras.ask(camera, request.question))
            except LlamaVidError as problem:
                message = failed(request.id, request.question, str(problem))
            except Exception:  # the edge: a question that breaks something must not end the connection
                logger.exception("MQTT: a question to %s failed", camera)
                message = failed(request.id, request.question, "the question failed; the server's log says why")
            await self._reply(camera, message)

    async def _pause(self, camera: str, payload: bytes) -> None:
        word = payload.strip().upper()
        if word not in (ON.encode(), OFF.encode()):
            logger.warning("MQTT: %s/paused/set takes ON or OFF", camera)
            return
        try:
            await self._cameras.pause(camera, word == ON.encode())
        except LlamaVidError as problem:
            logger.warning("MQTT: %s/paused/set: %s", camera, problem)

    async def _reply(self, camera: str, message: dict[str, object]) -> None:
        if "/" in camera or "+" in camera or "#" in camera or not camera:
            return
        await self._broker.send(self._topics.answer(camera), dump(message))
