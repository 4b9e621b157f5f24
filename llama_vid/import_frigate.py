"""The cameras and the broker of a Frigate config.yml (https://docs.frigate.video/configuration/reference)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from llama_vid.camera_lists import CameraLists, filled, section
from llama_vid.import_go2rtc import through

#: `{FRIGATE_RTSP_PASSWORD}`.
PLACEHOLDER: Final = re.compile(r"\{(FRIGATE_[A-Za-z0-9_]*)\}")
#: Which of a camera's inputs is taken: small pictures do, and Frigate detects on them.
ROLES: Final = ("detect", "record", "audio")
_KNOWN: Final = frozenset({"cameras", "mqtt", "go2rtc", "version"})
_CAMERA_KNOWN: Final = frozenset({"enabled", "ffmpeg", "audio_transcription"})


def from_frigate(tree: Mapping[str, Any]) -> CameraLists:
    """The cameras of a Frigate configuration. Raises ConfigError."""
    found = CameraLists("Frigate")
    restreams = section(tree.get("go2rtc"), "'go2rtc'")
    streams = section(restreams.get("streams"), "'go2rtc.streams'")
    cameras = section(tree.get("cameras"), "'cameras'")
    everywhere = _on(tree.get("audio_transcription"))
    for name, value in cameras.items():
        camera = section(value, f"'cameras.{name}'")
        if camera.get("enabled") is False:
            found.notes.append(f"{name}: left out: it is switched off in Frigate")
            continue
        path = _input(camera)
        if path is None:
            found.notes.append(f"{name}: left out: it has no ffmpeg.inputs")
            continue
        url = filled(path, PLACEHOLDER, name, found.notes.append)
        url = _restreamed(url, name, streams, section(restreams.get("rtsp"), "'go2rtc.rtsp'"), found)
        own = camera.get("audio_transcription")
        found.add(name, url, captions=_on(own) if own is not None else everywhere)
        _leave_out(name, camera, found)
    _broker(section(tree.get("mqtt"), "'mqtt'"), found)
    found.leave_out("", set(tree) - _KNOWN - {"audio_transcription"})
    return found


def _on(value: Any) -> bool:
    return isinstance(value, dict) and value.get("enabled") is True


def _input(camera: Mapping[str, Any]) -> str | None:
    """The path of the input with the best role."""
    inputs = section(camera.get("ffmpeg"), "'ffmpeg'").get("inputs")
    paths: list[tuple[list[str], str]] = [
        (list(item.get("roles") or ()), str(item["path"]))
        for item in (inputs if isinstance(inputs, list) else [])
        if isinstance(item, dict) and item.get("path")
    ]
    for role in ROLES:
        for roles, path in paths:
            if role in roles:
                return path
    return paths[0][1] if paths else None


def _restreamed(url: str, name: str, streams: Mapping[str, Any], server: Mapping[str, Any], found: CameraLists) -> str:
    """An input that comes from Frigate's own go2rtc: the camera itself where that is known, else go2rtc's port."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.scheme != "rtsp" or parts.hostname not in ("127.0.0.1", "localhost") or parts.port != 8554:
        return url
    stream = parts.path.strip("/")
    found.notes.append(
        f"{name}: is watched through Frigate's go2rtc (port 8554), which has to run and be reachable; "
        "to watch the camera itself, write its own url"
    )
    return through(stream, server) if stream in streams else url


def _leave_out(name: str, camera: Mapping[str, Any], found: CameraLists) -> None:
    motion = camera.get("motion")
    if isinstance(motion, dict) and motion.get("mask"):
        found.notes.append(
            f"{name}: motion.mask is not taken over: it hides nothing in Frigate; what nobody shall see goes into "
            "privacy_masks"
        )
    objects = camera.get("objects")
    if isinstance(objects, dict) and objects.get("track"):
        tracked = ", ".join(map(str, objects["track"]))
        found.notes.append(f"{name}: objects.track ({tracked}): write alerts in plain words (docs/alerts.md)")
    found.leave_out(f"{name}: ", set(camera) - _CAMERA_KNOWN - {"motion", "objects"})


def _broker(mqtt: Mapping[str, Any], found: CameraLists) -> None:
    if not mqtt or mqtt.get("enabled") is False or not mqtt.get("host"):
        return
    note = found.notes.append
    broker: dict[str, Any] = {"host": filled(str(mqtt["host"]), PLACEHOLDER, "mqtt", note)}
    if mqtt.get("port"):
        broker["port"] = int(mqtt["port"])
    if mqtt.get("user"):
        broker["username"] = filled(str(mqtt["user"]), PLACEHOLDER, "mqtt", note)
    if mqtt.get("user") and mqtt.get("password"):
        password = filled(str(mqtt["password"]), PLACEHOLDER, "mqtt", note)
        if not PLACEHOLDER.search(password):
            found.password = password
    if mqtt.get("tls_ca_certs"):
        broker["tls"] = {"ca": str(mqtt["tls_ca_certs"])}
    found.mqtt = broker
    found.leave_out("mqtt: ", set(mqtt) - {"enabled", "host", "port", "user", "password", "tls_ca_certs"})
