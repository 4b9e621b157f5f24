"""A model that follows a script, so that the server can be tested without weights.

Only the model is scripted: the port, uvicorn, the websocket, the cameras' tasks and WebRTC are the real ones.

What a question makes it do: `count N` says N words; `flood N` says N pieces of 4 kB; `wait` says one word and then
nothing until it is cancelled; `fail` and `crash` raise a known and an unknown error after one word; anything else is
echoed.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self

from PIL import Image

from llama_vid.errors import QuestionError, SourceError
from llama_vid.llm.answer import Answer, AnswerPiece, Evidence, MemoryUse, Moment, Span, TokenUse
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.speech.caption_stream import CaptionStats
from llama_vid.llm.speech.chapters import Chapter
from llama_vid.llm.speech.words import CaptionEvent, Line
from llama_vid.memory.alerts import AlertChange, AlertEvent
from llama_vid.rule_trial import Curve, Trial
from llama_vid.settings_captions import OFF, CaptionSettings
from llama_vid.settings_privacy import Corners
from llama_vid.stream.hardware import Decoder
from llama_vid.stream.source import SourceStats
from llama_vid.stream.view import View

SPANS = [
    Span(0.0, 4.0, "an empty doorway", 0.01),
    Span(4.0, 9.5, "a man puts a package down", 0.42),
    Span(9.5, 20.0, "a package at the door", 0.02),
]


class ScriptedSession:
    """One camera of the scripted model. A url that contains `broken` cannot be opened, a `stubborn` one not closed."""

    def __init__(
        self,
        source: Any,
        name: str,
        fps: float,
        watch_for: str | None,
        rules: Sequence[Rule] = (),
        on_alert: Callable[[AlertChange], None] = lambda _change: None,
        captions: CaptionSettings = OFF,
        on_caption: Callable[[CaptionEvent], None] = lambda _event: None,
    ) -> None:
        self.captions, self.say = captions, on_caption
        self.masks: tuple[Corners, ...] = ()
        self.view: View | None = None
        self.forgotten: list[tuple[float, float]] = []
        self.rules, self.paused, self.raise_alert = tuple(rules), False, on_alert
        self.loop: asyncio.AbstractEventLoop | None = None
        self.source, self.name, self.fps, self.watch_for = source, name, fps, watch_for
        self.questions: list[tuple[str, str | None]] = []
        self.earlier: list[str] = []
        self.searched: list[tuple[str, float | None, float | None, int]] = []
        self.cancelled = threading.Event()
        self.closed = threading.Event()
        self.state = "live"
        self.watched_s = 20.0
        self.stats = SourceStats(20, 1, 0, ["one frame was damaged"])
        self.tokens = TokenUse(20, 40)
        self.hearing: CaptionStats | None = None
        self.heard_to: float | None = None
        self.memory = MemoryUse(20, 40, 921_600, "12 entries (12 s) in 0.1 s", 7200)
        self._callbacks: list[Callable[[Any, str], None]] = []

    async def __aenter__(self) -> Self:
        self.loop = asyncio.get_running_loop()
        if isinstance(self.source, str):
            if "broken" in self.source:
                raise SourceError(f"cannot open {self.source}: wrong password")
        else:
            await self.source.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(self.source, str):
            await self.source.__aexit__(kind, error, trace)
        self.closed.set()
        if isinstance(self.source, str) and "stubborn" in self.source:
            raise SourceError("the camera could not be closed")

    async def forget(self, start: float, end: float, erase: Callable[[], Awaitable[None]]) -> None:
        await erase()
        self.forgotten.append((start, end))

    def on_state(self, callback: Callable[[Any, str], None]) -> None:
        self._callbacks.append(callback)

    def on_line(self, callback: Callable[[Line], None]) -> None:
        self.say_line = callback

    async def chapters(self, start: float | None = None, end: float | None = None) -> list[Chapter]:
        self.divided = (start, end)
        return [Chapter(4.0, 20.0, "Packages", "A package was put down.")]

    async def apply_rules(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)

    async def pause_alerts(self, paused: bool) -> None:
        self.paused = paused

    def alert(self, change: AlertChange) -> None:
        """Raises an alert, as a rule would."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.raise_alert, change)

    def change(self, state: str, reason: str = "") -> None:
        """Tells a new state, as a reader thread would."""
        self.state = state
        for callback in self._callbacks:
            callback(state, reason)

    async def ask(
        self, question: str, *, conversation: str | None = None, earlier: Sequence[str] = ()
    ) -> AsyncGenerator[AnswerPiece, None]:
        self.questions.append((question, conversation))
        self.earlier = list(earlier)
        verb, _, rest = question.partition(" ")
        text = ""
        try:
            for word in self._words(verb, rest, question):
                text += word
                yield AnswerPiece(word)
                await asyncio.sleep(0)
            if verb == "wait":
                await asyncio.Event().wait()
            if verb == "fail":
                raise QuestionError("The camera has seen nothing yet; ask later.")
            if verb == "crash":
                raise RuntimeError("a secret of the inside")
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise
        evidence = [Evidence(4.0, 9.5, 0.9, "a man puts a package down")]
        yield AnswerPiece("", Answer(text, [4.0, 6.25], evidence, self.tokens, model="scripted"))

    @staticmethod
    def _words(verb: str, rest: str, question: str) -> list[str]:
        match verb:
            case "count":
                return [f"{number} " for number in range(int(rest))]
            case "flood":
                return ["x" * 4096] * int(rest)
            case "wait" | "fail" | "crash":
                return ["Well, "]
        return ["You asked: ", question]

    async def search(
        self, text: str, start: float | None = None, end: float | None = None, limit: int = 10
    ) -> list[Moment]:
        self.searched.append((text, start, end, limit))
        heard = "Put it down." if text.startswith("said") else ""
        return [Moment(4.0, 9.5, 0.91, heard), Moment(0.0, 4.0, 0.2)][:limit]

    async def timeline(self, start: float | None = None, end: float | None = None) -> list[Span]:
        return [s for s in SPANS if (start is None or s.end > start) and (end is None or s.start < end)]

    async def snapshot(self, seconds: float | None = None) -> bytes | None:
        if seconds is not None and not 0 <= seconds <= 20:
            return None
        file = io.BytesIO()
        shade = 255 if seconds is None else int(seconds * 10)
        Image.new("RGB", (64, 36), (shade, 90, 150)).save(file, "JPEG")
        return file.getvalue()


class ScriptedModel:
    """Makes scripted sessions and remembers them by camera, newest last."""

    name = "scripted"

    def __init__(self) -> None:
        self.sessions: dict[str, list[ScriptedSession]] = {}
        self.decoders: dict[str, str] = {}

    def watch(
        self,
        source: Any,
        *,
        name: str = "camera",
        fps: float = 1.0,
        watch_for: str | None = None,
        rules: Sequence[Rule] = (),
        on_alert: Callable[[AlertChange], None] = lambda _change: None,
        captions: CaptionSettings = OFF,
        on_caption: Callable[[CaptionEvent], None] = lambda _event: None,
        masks: Sequence[Corners] = (),
        view: View | None = None,
        decoder: Decoder = "auto",
    ) -> ScriptedSession:
        session = ScriptedSession(source, name, fps, watch_for, rules, on_alert, captions, on_caption)
        session.masks, session.view = tuple(masks), view
        self.decoders[name] = decoder
        self.sessions.setdefault(name, []).append(session)
        return session

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    async def try_rules(self, camera: str, rules: Sequence[Rule], start: float, end: float) -> Trial:
        self.tried, self.tried_rules = (camera, [rule.name for rule in rules], start, end), tuple(rules)
        event = AlertEvent("evt_t", camera, rules[0].name, "Seen.", 5.0, 8.0, 0.8, frames=(6.0,))
        return Trial((event,), Curve((4.0, 5.0, 6.0), {rule.name: (0.1, 0.8, 0.7) for rule in rules}), 3)

    def session(self, name: str) -> ScriptedSession:
        """The newest session of a camera."""
        return self.sessions[name][-1]
