"""What every video source offers: frames through one verb, a state, and counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol, Self, runtime_checkable

from llama_vid.stream.frame import Frame

#: Where a source stands. Files go connecting, live, ended (or failed); cameras go round until they are closed.
SourceState = Literal["connecting", "live", "stalled", "reconnecting", "ended", "failed"]

#: Called with each new state and one redacted line that says why.
StateCallback = Callable[[SourceState, str], None]


@dataclass(frozen=True, slots=True)
class SourceStats:
    """A snapshot of a source's counts.

    `frames` were sampled and handed over, `dropped` were sampled but replaced by a newer one before anybody took them,
    `reconnects` counts the times that a lost stream came back, `warnings` are redacted lines for the user.
    """

    frames: int = 0
    dropped: int = 0
    reconnects: int = 0
    warnings: list[str] = field(default_factory=list)


@runtime_checkable
class Source(Protocol):
    """A file, camera or publisher, as an async context manager with one verb.

    `recv` gives the next sampled frame; seconds strictly increase. It raises `EndOfStream` when the source is over and
    `SourceError` when it cannot go on. Cancelling `recv` loses nothing: the next call gives the frame.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def recv(self) -> Frame: ...

    @property
    def state(self) -> SourceState: ...

    @property
    def stats(self) -> SourceStats: ...

    def on_state(self, callback: StateCallback) -> None: ...
