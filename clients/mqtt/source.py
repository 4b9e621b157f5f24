"""What the bridge needs of the server: its cameras, and its outbox of alerts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from llama_vid.memory.alerts import AlertEvent
from llama_vid.memory.outbox import Outgoing


@dataclass(frozen=True, slots=True)
class CameraCard:
    """What is told of a camera. `state` is its stream's (connecting, live, …), `rules` the names of its alert rules,
    `summary` what it has seen so far in words, "" if that is not known (yet).
    """

    name: str
    state: str
    rules: tuple[str, ...] = ()
    paused: bool = False
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with the times that it rests on, in seconds of the one clock."""

    answer: str
    timestamps: tuple[float, ...] = ()


class SpokenLine(Protocol):
    """A finished line of what was said (`llama_vid.llm.speech.words.Line`); times in seconds of the one clock."""

    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...
    @property
    def text(self) -> str: ...


class CameraSource(Protocol):
    """The server's cameras. Used in the event loop's thread."""

    def cards(self) -> Sequence[CameraCard]:
        """All cameras that are configured, those that are not running included: what is missing is removed."""

    def listen(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Have `callback(camera)` called, in any thread, when a card changed, came or went; the result ends that."""

    def hear(self, callback: Callable[[str, SpokenLine], None]) -> Callable[[], None]:
        """Have `callback(camera, line)` called with every finished line of captions; the result ends that."""

    async def ask(self, camera: str, question: str) -> Reply:
        """A question's answer. Raises LlamaVidError."""

    async def pause(self, camera: str, paused: bool) -> None:
        """Raise no alerts, or go on. Raises LlamaVidError."""

    async def jpeg(self, camera: str, seconds: float) -> bytes | None:
        """The kept picture nearest to a time."""


class AlertOutbox(Protocol):
    """`llama_vid.memory.alert_log.AlertLog`, as far as a channel uses it. The first three block for a short query."""

    def undelivered(self, channel: str, limit: int = 100) -> list[Outgoing]: ...
    def latest(self, camera: str) -> list[AlertEvent]: ...
    def delivered(self, channel: str, seq: int) -> None: ...
    async def more(self, after: int) -> None: ...

    @property
    def at_hand(self) -> int: ...
    @property
    def last(self) -> int: ...
