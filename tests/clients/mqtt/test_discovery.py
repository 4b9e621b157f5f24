"""Discovery messages against what Home Assistant takes.

The field lists are those of its documentation: https://www.home-assistant.io/integrations/mqtt/ (device discovery,
availability, device, origin) and the pages of binary_sensor.mqtt, event.mqtt, image.mqtt, sensor.mqtt, switch.mqtt.
Home Assistant's own schemas, and Home Assistant itself, take them in `test_home_assistant.py`.
"""

from __future__ import annotations

import json
import re

from llama_vid.clients.mqtt.discovery import Discovery, slug, without
from llama_vid.clients.mqtt.options import check_topic
from llama_vid.clients.mqtt.source import CameraCard
from llama_vid.clients.mqtt.topics import Topics, iso, short, state
from tests.clients.mqtt.yard import ended, event

CARD = CameraCard("front-2", "live", ("package", "Päckchen an der Tür", "night visit"), summary="x")
#: Of every entity: what the documentation lists for all platforms.
ENTITY = {
    *("platform", "name", "unique_id", "default_entity_id", "availability", "availability_mode", "device"),
    *("entity_category", "icon", "enabled_by_default", "encoding", "qos"),
    *("json_attributes_topic", "json_attributes_template", "entity_picture"),
}
#: Per platform: what it needs, and what else it takes.
PLATFORMS = {
    "binary_sensor": (
        {"state_topic"},
        {"payload_on", "payload_off", "off_delay", "expire_after", "force_update", "device_class", "value_template"},
    ),
    "event": ({"state_topic", "event_types"}, {"device_class", "value_template"}),
    "image": (set(), {"image_topic", "url_topic", "content_type", "image_encoding", "url_template"}),
    "sensor": (
        {"state_topic"},
        {"device_class", "state_class", "unit_of_measurement", "options", "expire_after", "force_update"},
    ),
    "switch": (
        {"command_topic"},
        {"state_topic", "payload_on", "payload_off", "state_on", "state_off", "optimistic", "retain", "device_class"},
    ),
}
ROOT_FIELDS = {
    *("dev", "o", "cmps", "availability", "availability_mode", "availability_template", "availability_topic"),
    *("payload_available", "payload_not_available", "state_topic", "command_topic", "qos", "encoding"),
}


def test_a_message_has_the_fields_of_the_documentation_and_no_others() -> None:
    discovery = Discovery(Topics("home/cams"), "homeassistant")
    message = discovery.message(CARD)
    # Home Assistant takes no other letters in the topic.
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", discovery.topic("front-2"))
    assert set(message) <= ROOT_FIELDS
    assert {"dev", "o", "cmps"} <= set(message)
    assert set(message["dev"]) <= {
        "ids",
        "cns",
        "name",
        "mf",
        "mdl",
        "mdl_id",
        "sw",
        "hw",
        "sn",
        "sa",
        "cu",
        "via_device",
    }
    assert message["dev"]["ids"]
    assert set(message["o"]) <= {"name", "sw", "url"}
    assert message["o"]["name"]
    assert set(message["availability"][0]) == {"topic", "payload_available", "payload_not_available"}
    kinds = [part["p"] for part in message["cmps"].values()]
    assert sorted(kinds) == ["binary_sensor"] * 3 + ["event", "image", "sensor", "switch"]
    for part in message["cmps"].values():
        needed, more = PLATFORMS[part["p"]]
        fields = set(part) - {"p"}
        assert needed <= fields, part
        assert fields <= ENTITY | needed | more, part
        assert part["qos"] == 1, "entities do not take it from the device"
        assert re.fullmatch(rf"{part['p']}\.[a-z0-9_]+", part["default_entity_id"])
        topics = [value for key, value in part.items() if key.endswith("_topic")]
        assert all(topic.startswith("home/cams/front-2/") for topic in topics)
        assert not any(letter in topic for topic in topics for letter in "+#")
    ids = [part["unique_id"] for part in message["cmps"].values()]
    assert len(set(ids)) == len(ids)


def test_what_goes_is_named_with_nothing_but_its_platform() -> None:
    message = Discovery(Topics("cams"), "homeassistant").message(CARD)
    going = without(message, {"alert_old": "binary_sensor"})
    assert going["cmps"] == message["cmps"] | {"alert_old": {"p": "binary_sensor"}}
    assert "alert_old" not in message["cmps"]


def test_our_own_messages_are_known_again_and_no_others() -> None:
    discovery = Discovery(Topics("cams"), "homeassistant")
    message = discovery.message(CARD)
    payload = json.dumps(message).encode()
    topic = discovery.topic("front-2")
    assert discovery.camera(topic, payload) == ("front-2", {key: part["p"] for key, part in message["cmps"].items()})
    other = Discovery(Topics("cams_two"), "homeassistant")
    assert discovery.camera(other.topic("front-2"), json.dumps(other.message(CARD)).encode()) is None
    for bad in (b"", b"{", b"[]", b'{"o": {"name": "llama-vid"}}', b"\xff"):
        assert discovery.camera(topic, bad) is None
    assert discovery.camera("homeassistant/device/else/config", payload) is None


def test_ids_of_names() -> None:
    assert slug("Night visit") == "night_visit"
    assert slug("Größe") != slug("Grüße")
    assert re.fullmatch(r"[a-z0-9_]+", slug("Пакет"))


def test_states_are_short_and_true() -> None:
    assert short("A quiet\nstreet. ") == "A quiet street."
    assert len(short("word " * 100)) < 255
    assert short("word " * 100).endswith("word…")
    assert len(short("w" * 400)) < 255
    of = event()
    assert (state(None), state(of), state(ended(of).event)) == ("OFF", "ON", "OFF")
    assert iso(1e18) is None  # a clock gone mad must not hold up the others
    assert check_topic(" /home/cams/ ", "base_topic") == "home/cams"
