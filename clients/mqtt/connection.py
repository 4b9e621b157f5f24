"""One connection to the broker: aiomqtt's client, which also says what the broker refused and how much it takes."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import secrets
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import aiomqtt
from aiomqtt.client import ProtocolVersion

from llama_vid.clients.mqtt.options import MqttOptions
from llama_vid.clients.mqtt.topics import OFFLINE, Topics

#: Seconds without a word after which the connection is tested; it is given up after one and a half times that.
KEEP_ALIVE: Final = 30
#: Seconds for one exchange with the broker.
ANSWER_SECONDS: Final = 10.0
#: Seconds for connecting: a name, TCP, TLS and the broker's welcome.
CONNECT_SECONDS: Final = 20.0
#: "Packet too large" (MQTT 5.0, section 2.4).
TOO_LARGE: Final = 0x95
#: Bytes of a PUBLISH beside topic and payload, at most.
PACKET_HEAD: Final = 32


class Refused(aiomqtt.MqttError):
    """The broker took a message and would not have it; `code` is MQTT 5's reason code."""

    def __init__(self, topic: str, reason: str, code: int) -> None:
        super().__init__(f"it refused a message on {topic}: {reason}")
        self.code = code


class HungUp(aiomqtt.MqttError):
    """The broker ended a connection before it was one."""


class Connection(aiomqtt.Client):
    """`async with Connection(options) as broker:`, once. Its will says `offline`.

    aiomqtt 2 drops what a broker says on accepting a connection and on acknowledging a message; both are kept here.
    """

    def __init__(self, options: MqttOptions, version: ProtocolVersion) -> None:
        will = aiomqtt.Will(Topics(options.base_topic).available, OFFLINE, qos=1, retain=True)
        super().__init__(
            options.host,
            options.port,
            username=options.username,
            password=options.password,
            tls_context=options.tls,
            identifier=f"{re.sub(r'[^A-Za-z0-9]', '', options.base_topic)[:12]}{secrets.token_hex(5)}",
            protocol=version,
            will=will,
            keepalive=KEEP_ALIVE,
            # Not its own limits: they rest on asyncio.wait_for, which in Python 3.11 may lose a cancellation.
            timeout=math.inf,
            logger=_quiet(),
        )
        self.max_packet: int | None = None
        self._one = asyncio.Lock()
        self._refusal: Any = None  # paho's ReasonCode

    async def __aenter__(self) -> Self:
        """Connect and sign in. Raises MqttError."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await super().__aenter__()
        except TimeoutError:
            self._client.disconnect()
            raise aiomqtt.MqttError("it does not answer; check mqtt.host and mqtt.port") from None
        except BaseException:
            self._client.disconnect()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say goodbye and close."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await super().__aexit__(kind, problem, trace)

    def room(self, topic: str) -> int | None:
        """Bytes of payload that the broker takes on a topic, if it said."""
        return None if self.max_packet is None else max(0, self.max_packet - len(topic.encode()) - PACKET_HEAD)

    async def send(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        """Publish, and see it acknowledged. Raises Refused, and MqttError when the connection is gone."""
        data = payload.encode(errors="replace") if isinstance(payload, str) else payload
        room = self.room(topic)
        if room is not None and len(data) > room:
            raise Refused(topic, f"it takes packets of up to {self.max_packet} bytes", TOO_LARGE)
        async with self._one:  # one at a time: in order, and a refusal belongs to this one
            self._refusal = None
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self.publish(topic, data, qos=1, retain=retain)
            except TimeoutError:
                raise aiomqtt.MqttError("it acknowledges nothing any more") from None
            refusal = self._refusal
        if refusal is not None:
            raise Refused(topic, str(refusal), refusal.value)

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        self.max_packet = getattr(properties, "MaximumPacketSize", None)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        if not self._connected.done():
            self._connected.set_exception(HungUp("it hung up before it said welcome"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        if reason_code is not None and reason_code.is_failure:
            self._refusal = reason_code
        super()._on_publish(client, userdata, mid, reason_code, properties)


def _quiet() -> logging.Logger:
    """A log for paho that shows nothing: what it reports ends the connection, and is told once, by the bridge."""
    logger = logging.getLogger(f"{__name__}.paho")
    logger.setLevel(logging.CRITICAL + 1)
    return logger
