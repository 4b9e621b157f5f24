"""What is said in front of cameras over MQTT: each finished line once, to whoever listens now."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from llama_vid.clients.mqtt.connection import Connection, Refused
from llama_vid.clients.mqtt.source import SpokenLine
from llama_vid.clients.mqtt.topics import Topics, dump, iso

logger = logging.getLogger(__name__)

#: Lines that wait for the broker, of all cameras: some minutes of talk. Beyond that the oldest is dropped.
WAITING: Final = 64


class SpokenLines:
    """One connection's captions. `add` never waits; `run` sends what it took. Nothing is kept for a later connection:
    who wants all of it reads the journal.
    """

    def __init__(self, broker: Connection, topics: Topics, address: str) -> None:
        self._broker, self._topics, self._address = broker, topics, address
        self._lines: asyncio.Queue[tuple[str, SpokenLine]] = asyncio.Queue(WAITING)

    def add(self, camera: str, line: SpokenLine) -> None:
        """A line was said. Called in the event loop's thread."""
        if self._lines.full():
            self._lines.get_nowait()
            logger.warning("MQTT broker %s is slow: a line of what was said is left out", self._address)
        self._lines.put_nowait((camera, line))

    async def run(self) -> None:
        """Send lines as they come, until cancelled. Raises MqttError when the connection is gone."""
        while True:
            camera, line = await self._lines.get()
            payload = {"start_time": iso(line.start), "end_time": iso(line.end), "text": line.text}
            try:
                await self._broker.send(self._topics.captions(camera), dump(payload))
            except Refused as refusal:
                logger.warning("MQTT broker %s: %s", self._address, refusal)
