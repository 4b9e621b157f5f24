"""What the websocket needs of the cameras: two protocols, which the composition root fulfils with real sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from llama_vid.llm.answer import AnswerPiece
from llama_vid.llm.speech.words import CaptionEvent
from llama_vid.memory.alerts import AlertChange

#: Called with camera, state and a redacted reason, in the event loop's thread.
StatusListener = Callable[[str, str, str], None]
#: Called with what became of an alert event once it is on disk, in the event loop's thread.
AlertListener = Callable[[AlertChange], None]
#: Called with a camera and what was said in front of it, in the event loop's thread.
CaptionListener = Callable[[str, CaptionEvent], None]


class AskableCamera(Protocol):
    """A camera that is being watched."""

    def ask(
        self, question: str, *, conversation: str | None = None, earlier: Sequence[str] = ()
    ) -> AsyncIterator[AnswerPiece]:
        """Streams an answer about what was seen so far; closing the iterator cancels it.

        A follow-up is understood by the earlier questions of its `conversation`, or by those given as `earlier`.
        """


class CameraDirectory(Protocol):
    """All cameras of the server, as the websocket sees them."""

    @property
    def model_name(self) -> str | None:
        """The model's name, None while it loads."""

    def names(self) -> list[str]:
        """The cameras' names, sorted."""

    def status(self, name: str) -> tuple[str, str]:
        """State and reason of a camera. Raises ProtocolError with code no_such_camera."""

    def askable(self, name: str) -> AskableCamera:
        """The camera, to be asked. Raises ProtocolError with code no_such_camera, not_ready or camera_failed."""

    def listen(self, listener: StatusListener) -> Callable[[], None]:
        """Calls `listener` on every change of state from now on; the returned function ends that."""


class CaptionFeed(Protocol):
    """The captions of all cameras."""

    def listen(self, listener: CaptionListener) -> Callable[[], None]:
        """Calls `listener` on every caption from now on; the returned function ends that."""


class AlertFeed(Protocol):
    """The alerts of all cameras."""

    def listen(self, listener: AlertListener) -> Callable[[], None]:
        """Calls `listener` on every change of an event from now on; the returned function ends that."""


def frame_url(camera: str, seconds: float) -> str:
    """The path of the picture that `camera` showed at `seconds`, to the millisecond."""
    text = f"{seconds:.3f}".rstrip("0").rstrip(".")
    return f"/api/cameras/{camera}/frames/{text}.jpg"
