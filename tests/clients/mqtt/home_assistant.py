"""Run by a Python that has Home Assistant (PyPI `homeassistant`): checks a discovery message, read from stdin, with its
own schemas and abbreviations. Prints what it found as JSON. Device messages have a schema of their own since 2024.11.
"""

import importlib
import json
import sys

from homeassistant.components.mqtt import abbreviations
from homeassistant.const import __version__

message = json.load(sys.stdin)


def whole(tree: dict, names: dict) -> dict:
    """The tree with abbreviations replaced."""
    return {names.get(key, key): value for key, value in tree.items()}


names = {"cmps": "components", "o": "origin", "p": "platform", **abbreviations.ABBREVIATIONS}
message = whole(message, names)
message["device"] = whole(message["device"], abbreviations.DEVICE_ABBREVIATIONS)
message["origin"] = whole(message["origin"], getattr(abbreviations, "ORIGIN_ABBREVIATIONS", {"sw": "sw_version"}))
parts = {key: whole(part, names) for key, part in message["components"].items()}
message["components"] = parts

device_checked = False
try:
    from homeassistant.components.mqtt.schemas import DEVICE_DISCOVERY_SCHEMA
except ImportError:
    pass
else:
    DEVICE_DISCOVERY_SCHEMA(message)
    device_checked = True

unknown = {}
for key, part in parts.items():
    platform = part.pop("platform")
    schema = importlib.import_module(f"homeassistant.components.mqtt.{platform}").DISCOVERY_SCHEMA
    shared = {name: message[name] for name in ("availability", "device", "origin")}
    if device_checked is False:
        shared.pop("origin")  # a schema of its own in older versions
    kept = schema({**shared, **part})
    unknown[key] = sorted(set(part) - set(kept))
print(json.dumps({"version": __version__, "device": device_checked, "unknown": unknown}))
