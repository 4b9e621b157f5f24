"""The `mqtt:` section of the settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from llama_vid.settings_section import Section


class MqttSettings(Section):
    """The broker that alerts go to."""

    host: str = Field(min_length=1)
    port: int = Field(default=1883, ge=1, le=65535)
    username: str | None = None
    password_file: Path | None = None
    base_topic: str = "llama_vid"
    discovery_prefix: str = "homeassistant"
