"""Whether a broker takes us: one connection, nothing published."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import aiomqtt
from aiomqtt.client import ProtocolVersion

from llama_vid.clients.mqtt.bridge import NO_SUCH_VERSION, why
from llama_vid.clients.mqtt.connection import Connection
from llama_vid.clients.mqtt.options import MqttOptions

logger = logging.getLogger(__name__)

#: Seconds for a name, TCP, TLS and the broker's welcome; somebody is looking on.
PROBE_SECONDS: Final = 8.0


async def refusal(options: MqttOptions, within_s: float = PROBE_SECONDS) -> str:
    """Why the broker does not take us, in one line with what to do; "" if it does. Signs in and says goodbye."""
    for version in (ProtocolVersion.V5, ProtocolVersion.V311):
        try:
            async with asyncio.timeout(within_s), Connection(options, version):
                return ""
        except TimeoutError:
            return "it does not answer; check mqtt.host and mqtt.port"
        except (aiomqtt.MqttError, OSError) as problem:
            code = getattr(getattr(problem, "rc", None), "value", None)
            if code == NO_SUCH_VERSION and version is ProtocolVersion.V5:
                continue
            return why(problem)
    return "it speaks neither MQTT 5 nor 3.1.1; use another broker"
