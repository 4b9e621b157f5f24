"""Home Assistant's device discovery: one retained message for each camera.

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload (device-based discovery: since 2024.11;
`default_entity_id`: since 2025.10, older ones make up an id of their own).
"""

from __future__ import annotations

import hashlib
import json
import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from llama_vid.clients.mqtt.source import CameraCard
from llama_vid.clients.mqtt.topics import OFF, OFFLINE, ON, ONLINE, Topics

ORIGIN: Final = "llama-vid"
EVENT_TYPES: Final = ("new", "update", "end")


def slug(name: str) -> str:
    """A name as Home Assistant's ids hold it, a–z, 0–9 and _; names that differ in other letters still differ."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if re.fullmatch(r"[a-z0-9 _-]+", name.lower()):
        return plain
    return f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:8]}".strip("_")


class Discovery:
    """The messages for one base topic and one discovery prefix."""

    def __init__(self, topics: Topics, prefix: str) -> None:
        self._topics, self._prefix = topics, prefix
        self._device = re.sub(r"[^a-zA-Z0-9_-]", "_", topics.base)
        try:
            self._version = version("llama-vid-live")
        except PackageNotFoundError:
            self._version = "0"

    @property
    def pattern(self) -> str:
        """Where all devices' messages lie, ours among them."""
        return f"{self._prefix}/device/+/config"

    @property
    def birth(self) -> str:
        """Where Home Assistant says that it has started."""
        return f"{self._prefix}/status"

    def topic(self, camera: str) -> str:
        """Where a camera's message lies."""
        return f"{self._prefix}/device/{self._device}_{camera}/config"

    def camera(self, topic: str, payload: bytes) -> tuple[str, dict[str, str]] | None:
        """Whose retained message this is, with its components' platforms, if this program made it for this base."""
        begin, end = self.topic("|").split("|")
        if not (topic.startswith(begin) and topic.endswith(end) and payload):
            return None
        try:
            tree = json.loads(payload)
            ours = tree["o"]["name"] == ORIGIN and tree["availability"][0]["topic"] == self._topics.available
            parts = {str(key): str(part["p"]) for key, part in tree["cmps"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return None
        return (topic[len(begin) : -len(end)], parts) if ours else None

    def message(self, card: CameraCard) -> dict[str, Any]:
        """A camera as a device with its entities."""
        device = f"{self._device}_{card.name}"
        return {
            "dev": {
                "ids": [device],
                "name": card.name,
                "mf": "LLaMA-VID Live",
                "mdl": "Watched camera",
                "sw": self._version,
            },
            "o": {"name": ORIGIN, "sw": self._version},
            "availability": [
                {"topic": self._topics.available, "payload_available": ONLINE, "payload_not_available": OFFLINE}
            ],
            "cmps": self._components(card, device),
        }

    def _components(self, card: CameraCard, device: str) -> dict[str, dict[str, Any]]:
        topics, name = self._topics, card.name

        def part(platform: str, key: str, label: str, **more: Any) -> dict[str, Any]:
            return {
                "p": platform,
                "name": label,
                "unique_id": f"{device}_{key}",
                "default_entity_id": f"{platform}.{slug(name)}_{key}",
                "qos": 1,  # here: Home Assistant's entities do not take it from the device
                **more,
            }

        parts = {
            f"alert_{slug(rule)}": part(
                "binary_sensor",
                f"alert_{slug(rule)}",
                rule,
                state_topic=topics.alert_state(name, rule),
                json_attributes_topic=topics.alert_attributes(name, rule),
                payload_on=ON,
                payload_off=OFF,
            )
            for rule in card.rules
        }
        parts["events"] = part(
            "event", "events", "Alerts", state_topic=topics.events(name), event_types=list(EVENT_TYPES)
        )
        parts["evidence"] = part(
            "image", "evidence", "Evidence", image_topic=topics.evidence(name), content_type="image/jpeg"
        )
        parts["summary"] = part(
            "sensor",
            "summary",
            "Summary",
            state_topic=topics.summary_state(name),
            json_attributes_topic=topics.summary(name),
        )
        parts["paused"] = part(
            "switch",
            "paused",
            "Pause alerts",
            command_topic=topics.command(name, "paused"),
            state_topic=topics.paused_state(name),
            payload_on=ON,
            payload_off=OFF,
        )
        return parts


def without(message: dict[str, Any], gone: dict[str, str]) -> dict[str, Any]:
    """The message that removes components first: those that go with nothing but their platform."""
    return message | {"cmps": message["cmps"] | {key: {"p": platform} for key, platform in gone.items()}}
