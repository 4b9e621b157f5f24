"""What goes out by itself: cameras as MQTT tells of them, and the channels through which alerts leave the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llama_vid.camera_desk import CameraDesk
from llama_vid.clients.mqtt.bridge import CHANNEL, MqttBridge
from llama_vid.clients.mqtt.options import MqttOptions
from llama_vid.clients.mqtt.source import CameraCard, Reply, SpokenLine
from llama_vid.clients.question import clean_question
from llama_vid.clients.webhook import Webhook
from llama_vid.clients.webhook_options import WebhookOptions
from llama_vid.errors import LlamaVidError
from llama_vid.history import History
from llama_vid.listeners import Listeners
from llama_vid.settings import Config

if TYPE_CHECKING:
    from llama_vid.memory.alert_log import AlertLog
    from llama_vid.memory.journal import Journal

logger = logging.getLogger(__name__)

#: How often it is looked whether a camera has told a new scene: scenes last longer than that.
SUMMARY_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Announcements:
    """The ways by which alerts leave the server, as configured: the broker, if any, and the webhooks."""

    mqtt: MqttOptions | None = None
    webhooks: tuple[WebhookOptions, ...] = ()

    @classmethod
    def of(cls, config: Config) -> Announcements:
        """Those of a configuration, secrets and certificates read. Raises ConfigError."""
        folder = config.file.parent if config.file is not None else Path()
        mqtt = config.mqtt.options(folder) if config.mqtt is not None else None
        return cls(mqtt, tuple(webhook.options(folder) for webhook in config.webhooks))

    def open(self, alerts: AlertLog) -> None:
        """Tell the journal which ways there are; before a camera raises an alert."""
        alerts.channels([*([CHANNEL] if self.mqtt is not None else []), *(hook.channel for hook in self.webhooks)])

    def start(self, group: asyncio.TaskGroup, cameras: ServerCameras, alerts: AlertLog) -> list[asyncio.Task[None]]:
        """Announce until the tasks are cancelled."""
        tasks = []
        if self.mqtt is not None:
            tasks.append(group.create_task(cameras.run(), name="summaries"))
            tasks.append(group.create_task(MqttBridge(self.mqtt, cameras, alerts).run(), name="mqtt"))
        for hook in self.webhooks:
            tasks.append(group.create_task(Webhook(hook, alerts).run(), name="webhook"))
        return tasks


class ServerCameras:
    """The server's cameras as `llama_vid.clients.mqtt` needs them. Used in the event loop's thread."""

    def __init__(self, desk: CameraDesk, history: History, journal: Journal, zone: tzinfo | None = None) -> None:
        self._desk, self._history, self._journal, self._zone = desk, history, journal, zone
        self._summaries: dict[str, str] = {}
        self._listeners: Listeners[Callable[[str], None]] = Listeners()

    def cards(self) -> Sequence[CameraCard]:
        """All cameras."""
        return [
            CameraCard(
                camera.name,
                camera.state,
                tuple(rule.name for rule in camera.settings.alerts),
                self._desk.alerts.paused(camera.name),
                self._summaries.get(camera.name, ""),
            )
            for camera in map(self._desk.camera, self._desk.names())
        ]

    def listen(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Calls `callback(camera)` when a card changed, came or went; the returned function ends that."""
        listening = contextlib.ExitStack()
        listening.callback(self._desk.follow(callback))
        listening.callback(self._listeners.add(callback))
        return listening.close

    def hear(self, callback: Callable[[str, SpokenLine], None]) -> Callable[[], None]:
        """Calls `callback(camera, line)` with every finished line of what is said; the returned function ends that."""
        return self._desk.captions.listen_to_lines(callback)

    async def ask(self, camera: str, question: str) -> Reply:
        """A question's answer. Raises LlamaVidError."""
        session = self._desk.askable(camera)
        async for piece in session.ask(clean_question(question)):
            if piece.answer is not None:
                return Reply(piece.answer.answer, tuple(piece.answer.timestamps))
        raise LlamaVidError(f"Camera {camera!r} gave no answer; ask again.")

    async def pause(self, camera: str, paused: bool) -> None:
        """Raise no alerts, or go on. Raises ProtocolError for a camera that is not there."""
        await self._desk.pause_alerts(camera, paused)

    async def jpeg(self, camera: str, seconds: float) -> bytes | None:
        """The kept picture nearest to a time."""
        return await self._history.picture(camera, seconds)

    async def run(self) -> None:
        """Keeps the summaries up to date, until cancelled."""
        while True:
            for name in self._desk.names():
                text = await asyncio.to_thread(self._summary, name)
                if text and text != self._summaries.get(name):
                    self._summaries[name] = text
                    for listener in self._listeners:
                        listener(name)
            await asyncio.sleep(SUMMARY_S)

    def _summary(self, name: str) -> str:
        """The scene that was told last, with its time of day: "10:05: A man walks a dog.\""""
        told = self._journal.camera(name).told(float("-inf"), float("inf"), limit=1)
        if not told:
            return ""
        return f"{datetime.fromtimestamp(told[-1].start, self._zone):%H:%M}: {told[-1].caption}"
