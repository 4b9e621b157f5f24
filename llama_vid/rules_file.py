"""A file of alert rules, for `replay` and `rules tune`: an `alerts:` list alone, or a camera's in a configuration."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field
from ruamel.yaml import YAML

from llama_vid.config import load_config, load_section
from llama_vid.errors import ConfigError
from llama_vid.settings_alerts import AlertRule, AlertRules
from llama_vid.settings_section import Section


class RulesFile(Section):
    """The file's one list."""

    alerts: AlertRules = Field(min_length=1)


def read_rules_file(path: Path, camera: str | None = None) -> list[AlertRule]:
    """The rules of a file with an `alerts:` list; with a `camera`, that camera's in a `llama-vid.yaml`.

    Raises ConfigError that names the line.
    """
    if camera is None:
        return list(load_section(path, RulesFile).alerts)
    cameras = load_config(path).cameras
    if camera not in cameras or not cameras[camera].alerts:
        known = ", ".join(name for name, settings in cameras.items() if settings.alerts) or "none"
        raise ConfigError(f"{path.name} has no rules of a camera {camera!r}; cameras with rules: {known}")
    return list(cameras[camera].alerts)


def write_thresholds(path: Path, thresholds: Mapping[str, float]) -> None:
    """Put thresholds into a rules file, by the rules' names; all else in it, comments too, stays as it is.

    Raises ConfigError if it cannot be written.
    """
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096  # long lines stay whole
    try:
        written = path.read_text("utf-8")
        offset = 2 if "\n  -" in written else 0  # lists indented as they are
        yaml.indent(mapping=2, sequence=2 + offset, offset=offset)
        tree = yaml.load(written)
        for rule in tree["alerts"]:
            if str(rule["name"]).strip() in thresholds:
                rule["threshold"] = thresholds[str(rule["name"]).strip()]
        text = io.StringIO()
        yaml.dump(tree, text)
        path.write_text(text.getvalue(), "utf-8")
    except OSError as problem:
        raise ConfigError(f"{path}: cannot be written ({problem.strerror}); nothing was changed") from None
