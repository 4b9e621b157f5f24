"""The `alerts:` list of a camera in the settings."""

from __future__ import annotations

from pydantic import Field

from llama_vid.settings_section import Seconds, Section


class AlertRule(Section):
    """One alert rule in plain language."""

    name: str = Field(min_length=1)
    when: str = Field(min_length=1)
    unless: list[str] = Field(default_factory=list)
    hold: Seconds = Field(default=3.0, alias="for", ge=0)
    cooldown: Seconds = Field(default=60.0, ge=0)
    verify: bool = True
