"""The bridge: cameras' states, alerts, evidence and answers to an MQTT broker, for as long as the server runs.

    bridge = MqttBridge(options, cameras, journal.alerts)
    journal.alerts.channels([CHANNEL])
    await bridge.run()          # connects, and connects again, until it is cancelled

A new connection first brings what is retained up to date, then the outbox goes out in order. A change of an alert
leaves the outbox when the broker has acknowledged it, so that each arrives once or more.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import aiomqtt
from aiomqtt.client import ProtocolVersion

from llama_vid.clients.mqtt.commands import Commands
from llama_vid.clients.mqtt.connection import Connection, HungUp, Refused
from llama_vid.clients.mqtt.delivery import Delivery
from llama_vid.clients.mqtt.options import MqttOptions
from llama_vid.clients.mqtt.retained import Retained
from llama_vid.clients.mqtt.source import AlertOutbox, CameraSource
from llama_vid.clients.mqtt.spoken import SpokenLines
from llama_vid.clients.mqtt.topics import OFFLINE, ONLINE, Topics

logger = logging.getLogger(__name__)

# Its own, so that a program's seeded `random` is never advanced behind its back.
_jitter = random.Random()

#: The outbox's name for this way out.
CHANNEL: Final = "mqtt"
#: Seconds between attempts to connect: doubled up to the longest, and spread, so that not all come at once.
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
#: A connection that held this long was a good one: the next wait is the first again.
GOOD_SECONDS: Final = 30.0
#: Seconds for saying `offline` as the program ends.
FAREWELL_SECONDS: Final = 2.0
#: "Unsupported protocol version" (MQTT 5.0, section 2.4).
NO_SUCH_VERSION: Final = 0x84


@dataclass(frozen=True, slots=True)
class BridgeState:
    """How the bridge fares; `reason` says why it is not connected. `delivered` counts changes since the start."""

    connected: bool
    reason: str
    delivered: int


class MqttBridge:
    """One broker. Everything in one event loop; pictures and the outbox are read in threads."""

    def __init__(
        self,
        options: MqttOptions,
        cameras: CameraSource,
        alerts: AlertOutbox,
        *,
        channel: str = CHANNEL,
        first_wait: float = FIRST_WAIT,
        longest_wait: float = LONGEST_WAIT,
    ) -> None:
        self._options, self._cameras, self._alerts = options, cameras, alerts
        self._first_wait, self._longest_wait = first_wait, longest_wait
        self._topics = Topics(options.base_topic)
        self._version = ProtocolVersion.V5
        self._connected, self._reason = False, "not connected yet"
        self._delivery = Delivery(cameras, alerts, channel, options)

    @property
    def state(self) -> BridgeState:
        """How it fares."""
        return BridgeState(self._connected, self._reason, self._delivery.count)

    async def run(self) -> None:
        """Serve until cancelled; says `offline` as it ends."""
        wait = self._first_wait
        while True:
            begun, delivered = time.monotonic(), self._delivery.count
            reason, now = await self._once()
            if now:
                continue
            if self._delivery.count > delivered or time.monotonic() - begun > GOOD_SECONDS:
                wait = self._first_wait
            self._say(f"MQTT broker {self._options.address}: {reason}; trying again")
            await asyncio.sleep(wait * _jitter.uniform(0.75, 1.0))
            wait = min(wait * 2, self._longest_wait)

    async def _once(self) -> tuple[str, bool]:
        """Connect and serve until the connection ends: why it did, and whether to try again at once."""
        reason, again = "the connection ended", False
        try:
            async with Connection(self._options, self._version) as broker:
                try:
                    await self._serve(broker)
                finally:
                    self._connected = False
                    with suppress(aiomqtt.MqttError, TimeoutError):
                        async with asyncio.timeout(FAREWELL_SECONDS):
                            await broker.send(self._topics.available, OFFLINE, retain=True)
        except* (aiomqtt.MqttError, OSError) as problems:
            problem = _first(problems)
            code = getattr(getattr(problem, "rc", None), "value", None)
            if code == NO_SUCH_VERSION and self._version is ProtocolVersion.V5:
                self._version, again = ProtocolVersion.V311, True
            reason = why(problem)
            self._delivery.lost()
        except* Exception:  # the edge: what breaks here must not take the cameras along
            logger.exception("MQTT broker %s: the bridge failed", self._options.address)
            reason = "the bridge failed; the log says where, please report it"
        finally:
            self._connected = False
        return reason, again

    async def _serve(self, broker: Connection) -> None:
        retained = Retained(broker, self._options, self._cameras, self._alerts)
        commands = Commands(broker, self._topics, self._cameras)
        changed = _Changed()
        lines = SpokenLines(broker, self._topics, self._options.address)
        stop, unheard = self._cameras.listen(changed.add), self._cameras.hear(lines.add)
        try:
            async with asyncio.TaskGroup() as group:
                # This one sees the connection end, whatever the others wait for.
                group.create_task(self._receive(broker, retained, commands), name="mqtt receive")
                group.create_task(commands.run(), name="mqtt commands")
                for pattern in (*commands.patterns, *retained.patterns):
                    await broker.subscribe(pattern, qos=1)
                known = self._alerts.at_hand  # what comes from now on changes the states one by one
                await retained.all()
                await broker.send(self._topics.available, ONLINE, retain=True)
                if self._reason:
                    logger.info("MQTT broker %s: connected", self._options.address)
                self._connected, self._reason = True, ""
                group.create_task(self._follow(changed, retained), name="mqtt cameras")
                group.create_task(lines.run(), name="mqtt captions")
                group.create_task(self._delivery.run(broker, retained, known), name="mqtt outbox")
        finally:
            stop()
            unheard()

    async def _receive(self, broker: Connection, retained: Retained, commands: Commands) -> None:
        async for message in broker.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            topic = str(message.topic)
            if message.retain:
                retained.found(topic, payload)
            elif topic == retained.birth:
                if payload.strip() == ONLINE.encode():
                    retained.announce_again()
            else:
                commands.take(topic, payload)

    async def _follow(self, changed: _Changed, retained: Retained) -> None:
        """What is retained follows the cameras."""
        async with asyncio.TaskGroup() as group:
            group.create_task(retained.run(), name="mqtt retained")
            while True:
                for camera in await changed.some():
                    await retained.camera(camera)

    def _say(self, reason: str) -> None:
        logger.log(logging.DEBUG if reason == self._reason else logging.WARNING, "%s", reason)
        self._reason = reason


class _Changed:
    """Names of cameras that changed, from any thread, each once until it is taken."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._names: dict[str, None] = {}
        self._any = asyncio.Event()

    def add(self, camera: str) -> None:
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self._add, camera)

    def _add(self, camera: str) -> None:
        self._names[camera] = None
        self._any.set()

    async def some(self) -> list[str]:
        await self._any.wait()
        self._any.clear()
        names, self._names = list(self._names), {}
        return names


def _first(problems: BaseExceptionGroup[BaseException]) -> BaseException:
    """One of the errors of a group: what the broker said rather than what followed from it."""
    flat: list[BaseException] = []

    def collect(group: BaseExceptionGroup[BaseException], into: Callable[[BaseException], None]) -> None:
        for problem in group.exceptions:
            if isinstance(problem, BaseExceptionGroup):
                collect(problem, into)
            else:
                into(problem)

    collect(problems, flat.append)
    return min(flat, key=lambda problem: not isinstance(problem, Refused))


def why(problem: BaseException) -> str:
    """What is wrong with a connection that failed, and what to do, in one line."""
    text = str(problem).split(" (_ssl.c")[0] or type(problem).__name__
    cause = problem.__cause__
    code = getattr(getattr(problem, "rc", None), "value", getattr(problem, "rc", None))
    if isinstance(problem, aiomqtt.exceptions.MqttConnectError):
        if code in (4, 5, 0x86, 0x87):
            return "it refused the user name or password; check mqtt.username and mqtt.password_file"
        return f"it refused the connection: {text}"
    if isinstance(problem, ssl.SSLError) or "certificate" in text.lower() or "[SSL" in text:
        return f"TLS failed ({text}); check mqtt.tls and the broker's certificate"
    if isinstance(problem, HungUp):
        return f"{text}; check mqtt.port, and mqtt.tls: whether it expects TLS, and which certificate"
    if isinstance(problem, Refused):
        return f"{text}; check what the broker allows this user"
    return f"{text} ({cause})" if cause is not None and str(cause) else text
