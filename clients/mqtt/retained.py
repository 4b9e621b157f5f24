"""What the broker keeps for whoever comes later: states, attributes, discovery; brought up to date, and removed again.

What this program published in an earlier life comes back from the broker itself, as its retained messages: cameras and
rules that are not there any more are removed then.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from llama_vid.clients.mqtt.connection import Connection, Refused
from llama_vid.clients.mqtt.discovery import Discovery, without
from llama_vid.clients.mqtt.options import MqttOptions
from llama_vid.clients.mqtt.source import AlertOutbox, CameraCard, CameraSource
from llama_vid.clients.mqtt.topics import OFF, ON, Topics, attributes, dump, short, state
from llama_vid.memory.alerts import AlertEvent

logger = logging.getLogger(__name__)


class Retained:
    """One connection's retained messages. `camera`, `event` and `all` publish; `found` takes what the broker kept."""

    def __init__(self, broker: Connection, options: MqttOptions, cameras: CameraSource, alerts: AlertOutbox) -> None:
        self._broker, self._cameras, self._alerts = broker, cameras, alerts
        self._topics = Topics(options.base_topic)
        self._discovery = Discovery(self._topics, options.discovery_prefix)
        self._sent: dict[str, str] = {}  # topic: payload, as the broker has it from this connection
        self._parts: dict[str, dict[str, str]] = {}  # camera: discovered components and their platforms
        self._rules: dict[str, set[str]] = {}  # camera: rules with retained states
        self._todo: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue()
        self._busy = asyncio.Lock()

    @property
    def patterns(self) -> tuple[str, ...]:
        """What to subscribe to: Home Assistant's birth, and what may be left of an earlier life."""
        topics = self._topics
        left = (topics.alert_state("+", "+"), topics.status("+"), self._discovery.pattern)
        return (self._discovery.birth, *left)

    @property
    def birth(self) -> str:
        """Where Home Assistant says that it has started."""
        return self._discovery.birth

    def found(self, topic: str, payload: bytes) -> None:
        """A retained message that the broker had when this connection subscribed."""
        if payload and topic != self.birth:
            self._todo.put_nowait((topic, payload))

    def announce_again(self) -> None:
        """Home Assistant has started: it is told of the cameras again."""
        self._todo.put_nowait(None)

    async def all(self) -> None:
        """Everything, as it is now."""
        async with self._busy:
            for card in self._cameras.cards():
                await self._show(card)

    async def run(self) -> None:
        """Deal with what was found, until cancelled."""
        while True:
            item = await self._todo.get()
            async with self._busy:
                if item is None:
                    for card in self._cameras.cards():
                        self._sent.pop(self._discovery.topic(card.name), None)
                        await self._show(card)
                else:
                    await self._left(*item)

    async def camera(self, name: str) -> None:
        """A camera changed, came or went."""
        async with self._busy:
            card = self._card(name)
            if card is not None:
                await self._show(card)
            else:
                await self._remove(name)

    async def event(self, event: AlertEvent) -> None:
        """A change of an alert, as it happens."""
        async with self._busy:
            card = self._card(event.camera)
            if card is not None and event.rule in card.rules:
                await self._alert(event.camera, event.rule, event)

    async def _left(self, topic: str, payload: bytes) -> None:
        """Something of an earlier life: removed if what it tells of is not there any more."""
        ours = self._discovery.camera(topic, payload)
        if ours is not None:
            name, parts = ours
            self._parts[name] = parts | self._parts.get(name, {})
            self._sent.pop(topic, None)
        else:
            match self._topics.parts(topic):
                case [name, "alert", rule, "state"]:
                    self._rules.setdefault(name, set()).add(rule)
                case [name, "status"]:
                    pass
                case _:
                    return
        card = self._card(name)
        if card is not None:
            await self._show(card)
        else:
            await self._remove(name)

    def _card(self, name: str) -> CameraCard | None:
        return next((card for card in self._cameras.cards() if card.name == name), None)

    async def _show(self, card: CameraCard) -> None:
        topics, name = self._topics, card.name
        await self._put(topics.status(name), card.state)
        await self._put(topics.paused_state(name), ON if card.paused else OFF)
        await self._put(topics.summary_state(name), short(card.summary))
        await self._put(topics.summary(name), dump({"text": card.summary}))
        gone = self._rules.get(name, set()) - set(card.rules)
        if card.rules:
            latest = {event.rule: event for event in await asyncio.to_thread(self._alerts.latest, name)}
            for rule in card.rules:
                await self._alert(name, rule, latest.get(rule))
        self._rules[name] = set(card.rules) | gone
        await self._discover(card)
        for rule in gone:  # when Home Assistant does not read them any more
            await self._clear(topics.alert_state(name, rule), topics.alert_attributes(name, rule))
        self._rules[name] -= gone

    async def _alert(self, name: str, rule: str, event: AlertEvent | None) -> None:
        known: dict[str, Any] = {} if event is None else attributes(event)
        await self._put(self._topics.alert_attributes(name, rule), dump(known))
        await self._put(self._topics.alert_state(name, rule), state(event))

    async def _discover(self, card: CameraCard) -> None:
        message = self._discovery.message(card)
        parts = {key: part["p"] for key, part in message["cmps"].items()}
        gone = {key: platform for key, platform in self._parts.get(card.name, {}).items() if key not in parts}
        topic = self._discovery.topic(card.name)
        if gone:
            await self._put(topic, dump(without(message, gone)))
        await self._put(topic, dump(message))
        self._parts[card.name] = parts

    async def _remove(self, name: str) -> None:
        """Take everything of a camera back; that removes its device as well."""
        topics = self._topics
        await self._clear(self._discovery.topic(name))
        for rule in self._rules.pop(name, set()):
            await self._clear(topics.alert_state(name, rule), topics.alert_attributes(name, rule))
        await self._clear(topics.summary_state(name), topics.summary(name), topics.paused_state(name))
        await self._clear(topics.status(name))
        self._parts.pop(name, None)

    async def _put(self, topic: str, payload: str) -> None:
        if self._sent.get(topic) == payload:
            return
        try:
            await self._broker.send(topic, payload, retain=True)
        except Refused as refusal:
            logger.warning("MQTT: %s", refusal)
        self._sent[topic] = payload

    async def _clear(self, *topics: str) -> None:
        for topic in topics:
            self._sent.pop(topic, None)
            await self._broker.send(topic, b"", retain=True)
