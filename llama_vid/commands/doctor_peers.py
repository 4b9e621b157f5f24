"""`doctor`, of what a server talks to: its cameras, each opened for a moment, and the MQTT broker."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llama_vid.commands.checks import Check
from llama_vid.errors import ConfigError, EndOfStream, SourceError

if TYPE_CHECKING:
    from llama_vid.settings import CameraSettings, Config

#: Seconds in which a camera must show a picture: connecting, and waiting for the next key frame.
CAMERA_S: Final = 15.0
#: Cameras that are opened at the same time; each decodes a picture or two.
AT_ONCE: Final = 4
#: What a source says that cannot work out, sooner than by the time limit.
HOPELESS: Final = ("reconnecting", "stalled", "failed")


def look_at_cameras(config: Config) -> Iterator[Check]:
    """Every camera: whether a picture comes."""
    if config.cameras:
        yield from asyncio.run(_cameras(config.cameras))


def look_at_devices() -> Iterator[Check]:
    """Capture devices of this machine."""
    devices = sorted(Path("/dev").glob("video[0-9]*"))
    shut = [str(device) for device in devices if not os.access(device, os.R_OK | os.W_OK)]
    if shut:
        fix = "run: sudo usermod -aG video $USER, and sign in again"
        yield Check("capture devices", "warning", f"{', '.join(shut)} may not be opened by this user", fix)
    elif devices:
        yield Check("capture devices", "ok", ", ".join(map(str, devices)))


def look_at_broker(config: Config) -> Iterator[Check]:
    """The MQTT broker: whether it takes us."""
    if config.mqtt is None:
        return
    where = f"{config.mqtt.host}:{config.mqtt.port}"
    try:
        options = config.mqtt.options(config.file.parent if config.file is not None else Path())
    except ConfigError as problem:
        detail, _, fix = str(problem).partition("; ")
        yield Check("mqtt", "problem", detail, fix)
        return
    from llama_vid.clients.mqtt.probe import refusal

    reason = asyncio.run(refusal(options))
    if not reason:
        yield Check("mqtt", "ok", f"{where} takes us")
        return
    detail, _, fix = reason.partition("; ")
    yield Check("mqtt", "problem", f"{where}: {detail}", fix or "check mqtt.host, mqtt.port, and that the broker runs")


async def _cameras(cameras: dict[str, CameraSettings]) -> list[Check]:
    turn = asyncio.Semaphore(AT_ONCE)

    async def look(name: str, settings: CameraSettings) -> Check:
        async with turn:
            return await look_at_camera(name, settings)

    return list(await asyncio.gather(*(look(name, settings) for name, settings in cameras.items())))


async def look_at_camera(name: str, settings: CameraSettings, within_s: float = CAMERA_S) -> Check:
    """One camera, opened until its first picture. Its address is shown nowhere; messages of sources are redacted."""
    from llama_vid.stream.opening import open_source
    from llama_vid.stream.urls import redact_text

    subject, url = f"camera {name}", settings.url.get_secret_value()
    if settings.publishable:
        return Check(subject, "ok", f"waits for a publisher at /whip/{name}")
    said: list[str] = []
    hopeless = asyncio.Event()
    loop = asyncio.get_running_loop()

    def listen(state: str, reason: str) -> None:
        if state in HOPELESS and not said:
            said.append(reason)
            loop.call_soon_threadsafe(hopeless.set)

    began = time.monotonic()
    try:
        source = open_source(url, fps=settings.fps, live=True)
        source.on_state(listen)
        async with source:
            first = asyncio.ensure_future(source.recv())
            lost = asyncio.ensure_future(hopeless.wait())
            try:
                await asyncio.wait([first, lost], timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
                if first.done():
                    height, width = first.result().image.shape[:2]
                    took = time.monotonic() - began
                    return Check(subject, "ok", f"a picture of {width}×{height} after {took:.1f} s")
            finally:
                for task in (first, lost):
                    task.cancel()
                await asyncio.wait([first, lost])
    except (SourceError, EndOfStream) as problem:
        said.append(str(problem))
    reason = redact_text(said[0], url).rstrip(".") if said else f"no picture within {within_s:g} s"
    detail, sign, fix = reason.partition(": check ")  # sources mostly say what to do themselves
    return Check(subject, "problem", detail, f"check {fix}" if sign else _mend(reason, settings))


def _mend(reason: str, settings: CameraSettings) -> str:
    """What to do, where the reason does not say it already."""
    low = reason.lower()
    if "password" in low or "401" in low or "unauthorized" in low:
        return "check user and password in its url; special characters are written as %40 (@), %3A (:), %2F (/)"
    if settings.url.get_secret_value().lower().startswith("v4l2:"):
        return "check the device, and that no other program has it"
    return "check its url: try it with ffplay or VLC from this machine"
