"""Home Assistant itself, as much of it as MQTT needs, connected to a broker. Run by a Python that has the packages
`homeassistant` (2025.4 or later) and the `paho-mqtt` that it asks for:

    python home_assistant_core.py FOLDER BROKER_PORT WEB_PORT

It answers every line on stdin with a line of JSON: `states` with the states and attributes of all entities, by their
ids; `devices` with the devices' names; `call DOMAIN SERVICE ENTITY` with nothing, when that is done.
"""

import asyncio
import json
import sys
from pathlib import Path
from types import MappingProxyType

from homeassistant import bootstrap, loader
from homeassistant.auth import auth_manager_from_config
from homeassistant.components.mqtt.const import CONFIG_ENTRY_MINOR_VERSION, CONFIG_ENTRY_VERSION
from homeassistant.config_entries import ConfigEntries, ConfigEntry, ConfigEntryState
from homeassistant.const import __version__
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry
from homeassistant.setup import async_setup_component


async def begin(folder: str, broker: int, web: int) -> HomeAssistant:
    """The core with the MQTT integration, as its own start does it, without all that a house has besides."""
    (Path(folder) / "configuration.yaml").touch()
    hass = HomeAssistant(folder)
    loader.async_setup(hass)
    hass.config.skip_pip = True
    hass.config_entries = ConfigEntries(hass, {})
    await loader.async_get_custom_components(hass)
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth_manager_from_config(hass, [], [])
    config = {"http": {"server_host": ["127.0.0.1"], "server_port": web}}
    for domain in ("homeassistant", "http"):
        assert await async_setup_component(hass, domain, config), domain
    entry = ConfigEntry(
        data={"broker": "127.0.0.1", "port": broker},
        discovery_keys=MappingProxyType({}),
        domain="mqtt",
        minor_version=CONFIG_ENTRY_MINOR_VERSION,
        options={},
        source="user",
        subentries_data=None,
        title="broker",
        unique_id=None,
        version=CONFIG_ENTRY_VERSION,
    )
    await hass.config_entries.async_add(entry)
    assert entry.state is ConfigEntryState.LOADED, entry.state
    await hass.async_start()
    return hass


async def answer(hass: HomeAssistant, words: list[str]) -> object:
    """What a command asks for."""
    match words:
        case ["states"]:
            return {each.entity_id: {"state": each.state, **each.attributes} for each in hass.states.async_all()}
        case ["devices"]:
            return [each.name for each in device_registry.async_get(hass).devices.values()]
        case ["call", domain, service, entity]:
            await hass.services.async_call(domain, service, {"entity_id": entity}, blocking=True)
            return None
    raise ValueError(words)


async def main() -> None:
    hass = await begin(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps(__version__), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await answer(hass, line.split()), default=str), flush=True)
    await hass.async_stop(force=True)


asyncio.run(main())
