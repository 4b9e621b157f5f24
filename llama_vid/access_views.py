"""What one websocket may see: the server's cameras, alerts and captions as far as its access goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llama_vid.access import Access
from llama_vid.clients.live import (
    AlertFeed,
    AlertListener,
    AskableCamera,
    CameraDirectory,
    CaptionFeed,
    CaptionListener,
    StatusListener,
)
from llama_vid.errors import ProtocolError
from llama_vid.llm.speech.words import CaptionEvent
from llama_vid.memory.alerts import AlertChange


@dataclass(frozen=True, slots=True)
class AllowedCameras:
    """The cameras of a list; questions want the scope `ask`. Others are as if they were not there."""

    cameras: CameraDirectory
    access: Access

    @property
    def model_name(self) -> str | None:
        """The model's name, None while it loads."""
        return self.cameras.model_name

    def names(self) -> list[str]:
        """The cameras' names, sorted."""
        return [name for name in self.cameras.names() if self.access.sees(name)]

    def status(self, name: str) -> tuple[str, str]:
        """State and reason of a camera. Raises ProtocolError with code no_such_camera."""
        self._known(name)
        return self.cameras.status(name)

    def askable(self, name: str) -> AskableCamera:
        """The camera, to be asked. Raises ProtocolError with code forbidden, or as the server's own directory."""
        self.access.require("ask")
        self._known(name)
        return self.cameras.askable(name)

    def listen(self, listener: StatusListener) -> Callable[[], None]:
        """Calls `listener` on every change of state from now on; the returned function ends that."""

        def tell(camera: str, state: str, reason: str) -> None:
            if self.access.sees(camera):
                listener(camera, state, reason)

        return self.cameras.listen(tell)

    def _known(self, name: str) -> None:
        names = self.names()
        if name not in names:
            known = ", ".join(names[:20]) or "there are none yet"
            raise ProtocolError(f"No camera {name[:64]!r}; known: {known}.", code="no_such_camera", param="camera")


@dataclass(frozen=True, slots=True)
class AllowedAlerts:
    """The alerts of the cameras that may be watched."""

    alerts: AlertFeed
    access: Access

    def listen(self, listener: AlertListener) -> Callable[[], None]:
        """Calls `listener` on every change of an event from now on; the returned function ends that."""

        def tell(change: AlertChange) -> None:
            if self.access.may("watch", change.event.camera):
                listener(change)

        return self.alerts.listen(tell)


@dataclass(frozen=True, slots=True)
class AllowedCaptions:
    """The captions of the cameras that may be watched."""

    captions: CaptionFeed
    access: Access

    def listen(self, listener: CaptionListener) -> Callable[[], None]:
        """Calls `listener` on every caption from now on; the returned function ends that."""

        def tell(camera: str, event: CaptionEvent) -> None:
            if self.access.may("watch", camera):
                listener(camera, event)

        return self.captions.listen(tell)
