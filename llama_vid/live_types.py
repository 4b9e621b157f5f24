"""What the server needs of the model, of a session and of a WHIP ingest; the real ones fulfil these protocols."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

from llama_vid.llm.answer import AnswerPiece, MemoryUse, Moment, Span, TokenUse
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.speech.words import CaptionEvent, Line
from llama_vid.memory.alerts import AlertChange
from llama_vid.settings_captions import OFF, CaptionSettings
from llama_vid.settings_privacy import Corners
from llama_vid.stream.hardware import Decoder
from llama_vid.stream.view import View

if TYPE_CHECKING:
    from llama_vid.llm.speech.caption_stream import CaptionStats
    from llama_vid.llm.speech.chapters import Chapter  # imports torch
    from llama_vid.rule_trial import Trial


class StreamCounts(Protocol):
    """Counts of one source (`llama_vid.stream.source.SourceStats`)."""

    @property
    def frames(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def reconnects(self) -> int: ...
    @property
    def warnings(self) -> Sequence[str]: ...


class LiveSession(Protocol):
    """A camera that is being watched (`llama_vid.session.Session`)."""

    def ask(
        self, question: str, *, conversation: str | None = None, earlier: Sequence[str] = ()
    ) -> AsyncIterator[AnswerPiece]: ...
    async def search(
        self, text: str, start: float | None = None, end: float | None = None, limit: int = 10
    ) -> list[Moment]: ...
    async def timeline(self, start: float | None = None, end: float | None = None) -> list[Span]: ...
    async def chapters(self, start: float | None = None, end: float | None = None) -> list[Chapter]: ...
    async def snapshot(self, seconds: float | None = None) -> bytes | None: ...
    async def forget(self, start: float, end: float, erase: Callable[[], Awaitable[None]]) -> None: ...
    def on_state(self, callback: Callable[[Any, str], None]) -> None: ...
    def on_line(self, callback: Callable[[Line], None]) -> None: ...
    async def apply_rules(self, rules: Sequence[Rule]) -> None: ...
    async def pause_alerts(self, paused: bool) -> None: ...
    @property
    def hearing(self) -> CaptionStats | None: ...
    @property
    def heard_to(self) -> float | None: ...
    @property
    def state(self) -> str: ...
    @property
    def watched_s(self) -> float: ...
    @property
    def stats(self) -> StreamCounts: ...
    @property
    def tokens(self) -> TokenUse: ...
    @property
    def memory(self) -> MemoryUse: ...


class LiveModel(Protocol):
    """A loaded model (`llama_vid.model.LLaMAVID`)."""

    @property
    def name(self) -> str: ...

    def watch(
        self,
        source: Any,
        *,
        name: str = "camera",
        fps: float = 1.0,
        watch_for: str | None = None,
        rules: Sequence[Rule] = (),
        on_alert: Callable[[AlertChange], None] = ...,
        captions: CaptionSettings = OFF,
        on_caption: Callable[[CaptionEvent], None] = ...,
        masks: Sequence[Corners] = (),
        view: View | None = None,
        decoder: Decoder = "auto",
    ) -> AbstractAsyncContextManager[LiveSession]:
        """Watches a url or a source (an Ingest, say) for as long as the context lasts; alerts go to `on_alert`,
        captions to `on_caption`. What lies under the `masks` is never seen; `view` is what WHEP viewers are shown.
        """

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of the language model each text has."""

    async def try_rules(self, camera: str, rules: Sequence[Rule], start: float, end: float) -> Trial:
        """What rules would have raised over what is kept of a camera between two times."""


class Offered(Protocol):
    """The SDP answer to a publisher's offer, and the id under which its session is ended."""

    @property
    def sdp(self) -> str: ...
    @property
    def resource_id(self) -> str: ...


class Ingest(Protocol):
    """Takes WebRTC publishers in for one camera, whose source it also is (`llama_vid.stream.whip.WhipIngest`)."""

    @property
    def resource_id(self) -> str | None:
        """The session of the publisher that is connected now, if any."""

    async def offer(self, sdp: str) -> Offered:
        """Answers an SDP offer. Raises ProtocolError for one that cannot be taken."""

    def show(self, view: View) -> None:
        """Has viewers see what publishers send."""

    async def close(self, resource_id: str) -> None:
        """Ends a publisher's session. Raises ProtocolError (`not_found`) when there is none of that id."""


ModelLoader = Callable[[], LiveModel]
#: Makes the ingest of a `webrtc:` camera from its name and frame rate.
IngestMaker = Callable[[str, float], Ingest]
