"""The outbox over MQTT: each change of an alert in its turn, acknowledged before the next, with its picture."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Final

from llama_vid.clients.mqtt.connection import TOO_LARGE, Connection, Refused
from llama_vid.clients.mqtt.evidence import fitting
from llama_vid.clients.mqtt.options import MqttOptions
from llama_vid.clients.mqtt.retained import Retained
from llama_vid.clients.mqtt.source import AlertOutbox, CameraSource
from llama_vid.clients.mqtt.topics import Topics, event_json
from llama_vid.memory.alerts import AlertChange, AlertEvent
from llama_vid.memory.outbox import Outgoing

logger = logging.getLogger(__name__)

#: Changes read from the outbox at a time.
AT_A_TIME: Final = 50
#: Bytes of a picture below which none is sent to a broker that hangs up on larger ones.
SMALLEST_LIMIT: Final = 4096


class Delivery:
    """One channel's way through the outbox, over all connections. `count` is how many changes went out."""

    def __init__(self, cameras: CameraSource, alerts: AlertOutbox, channel: str, options: MqttOptions) -> None:
        self._cameras, self._alerts, self._channel = cameras, alerts, channel
        self._topics, self._address = Topics(options.base_topic), options.address
        self._limit: int | None = None  # bytes of a picture, since the broker would not have a larger one
        self._on_its_way = 0  # bytes of the picture that is being sent
        self._losses = 0  # connections that were lost over a picture, one after the other
        self.count = 0

    async def run(self, broker: Connection, retained: Retained, known: int) -> None:
        """Send what comes, until cancelled. The retained states say already what changed up to number `known`.

        Raises MqttError when the connection is gone, or the broker refuses a message.
        """
        self._on_its_way = 0
        while True:
            at_hand = self._alerts.at_hand
            batch = await asyncio.to_thread(self._alerts.undelivered, self._channel, AT_A_TIME)
            for out in batch:
                if out.seq > known:
                    await retained.event(out.change.event)
                await self._send(broker, out)
                self._alerts.delivered(self._channel, out.seq)
                self.count += 1
            if not batch:
                await self._alerts.more(at_hand)

    def lost(self) -> None:
        """The connection was lost. Where that is twice over a picture, it is why: the next one is smaller."""
        if self._on_its_way:
            self._losses += 1
            if self._losses > 1:
                self._lower(self._on_its_way)

    async def _send(self, broker: Connection, out: Outgoing) -> None:
        event = out.change.event
        if await self._told(broker, out.change) and out.change.type != "end" and event.frames:
            await self._show(broker, event)

    async def _told(self, broker: Connection, change: AlertChange) -> bool:
        """Whether the broker has the change, without its text where it would not have a message of that length."""
        topic = self._topics.events(change.event.camera)
        for said in (change, replace(change, event=replace(change.event, text=""))):
            try:
                await broker.send(topic, event_json(said))
            except Refused as refusal:
                if refusal.code != TOO_LARGE:
                    raise  # it may be allowed later: the change waits
                reason = refusal
            else:
                return True
        logger.warning("MQTT broker %s: %s; this alert is left out", self._address, reason)
        return False

    async def _show(self, broker: Connection, event: AlertEvent) -> None:
        """An event's best picture; one that the broker does not take must not hold up the others."""
        topic = self._topics.evidence(event.camera)
        jpeg = await self._cameras.jpeg(event.camera, event.frames[0])
        while jpeg is not None:
            limit = min((limit for limit in (self._limit, broker.room(topic)) if limit is not None), default=None)
            fits = jpeg
            if limit is not None and len(jpeg) > limit:
                smaller = await asyncio.to_thread(fitting, jpeg, limit)
                if smaller is None:
                    logger.info("MQTT broker %s takes no picture of %d bytes: left out", self._address, len(jpeg))
                    return
                fits = smaller
            try:
                self._on_its_way = len(fits)
                await broker.send(topic, fits)
                self._on_its_way = self._losses = 0
                return
            except Refused as refusal:
                self._on_its_way = 0
                if refusal.code != TOO_LARGE:
                    logger.warning("MQTT broker %s: %s", self._address, refusal)
                    return
                self._lower(len(fits))

    def _lower(self, size: int) -> None:
        self._limit = size // 2 if size // 2 >= SMALLEST_LIMIT else 0
        logger.warning("MQTT broker %s takes no picture of %d bytes; smaller ones are sent", self._address, size)
