"""The server's side of `GET /ws`: one `serve_client` per connection, a reader, a writer and a task per question."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from llama_vid.clients.closing import Closing
from llama_vid.clients.live import AlertFeed, CameraDirectory, CaptionFeed, frame_url
from llama_vid.clients.outbox import PATIENCE_S, Outbox, Overloaded, drain
from llama_vid.clients.protocol import (
    CLOSE_INTERNAL,
    CLOSE_OVERLOAD,
    Alert,
    AlertEnd,
    AlertNew,
    AlertUpdate,
    BadMessage,
    CaptionFinal,
    CaptionPartial,
    Error,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    SessionCreated,
    SessionUpdate,
    StreamStatus,
    read_client_message,
)
from llama_vid.clients.question import clean_question
from llama_vid.clients.response import Response, askable_cameras
from llama_vid.errors import ProtocolError
from llama_vid.llm.speech.words import CaptionEvent
from llama_vid.memory.alerts import AlertChange

logger = logging.getLogger(__name__)

#: Questions that one client may have open at once: what one batch of the model decodes together.
MAX_RESPONSES = 8

#: What a client may send over time, and at once: people send a message a minute, programs some a second. Whoever sends
#: faster is read more slowly, so that neither its messages nor their parsing take the server from the others.
MESSAGES_PER_S, MESSAGES_AT_ONCE = 50.0, 200.0
#: Characters that count as much as a message: parsing them takes as long.
MESSAGE_CHARACTERS = 4096


class Pace:
    """How fast one client is read."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._owed = 0.0  # messages beyond those that time has paid for
        self._at = clock()

    def pause(self, characters: int) -> float:
        """Seconds to wait after a message before the next one is read; 0 for all but those who send very much."""
        now = self._clock()
        self._owed = max(0.0, self._owed - (now - self._at) * MESSAGES_PER_S) + 1 + characters / MESSAGE_CHARACTERS
        self._at = now
        return max(0.0, self._owed - MESSAGES_AT_ONCE) / MESSAGES_PER_S


async def serve_client(
    websocket: WebSocket,
    cameras: CameraDirectory,
    *,
    alerts: AlertFeed | None = None,
    captions: CaptionFeed | None = None,
    patience_s: float = PATIENCE_S,
    answered: Callable[[ResponseDone], None] | None = None,
    before_question: Callable[[], None] | None = None,
    closing: Closing | None = None,
) -> None:
    """Serves one websocket until either side leaves; whatever the client asked is cancelled then.

    `answered` is called with the end of every answer, those included that the client did not wait for;
    `before_question` before each question, which it may refuse with a ProtocolError. With `closing`, open answers end
    as failed when the server is about to stop. Closes with 1013 when the client stays slow and 1011 when the server
    fails. The caller has checked who may connect, and to what.
    """
    await websocket.accept()
    connection = Connection(cameras, answered, alerts, captions, before_question, closing)
    try:
        await connection.run(websocket, patience_s)
    except* WebSocketDisconnect:
        pass
    except* Overloaded as slow:
        logger.warning("Websocket %s closed: %s", connection.session_id, slow.exceptions[0])
        await _close(websocket, CLOSE_OVERLOAD, "the client reads too slowly")
    except* Exception:
        logger.exception("Websocket %s failed", connection.session_id)
        await _close(websocket, CLOSE_INTERNAL, "internal error")


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    """Closes without waiting for a client that does not read (see `llama_vid.listener`)."""
    close_now: Callable[[int, str], None] | None = websocket.scope.get("state", {}).get("close_now")
    if close_now is not None:
        close_now(code, reason)
    else:
        await websocket.close(code, reason)


class Connection:
    """The state of one client: what it listens to and what it has asked."""

    def __init__(
        self,
        cameras: CameraDirectory,
        answered: Callable[[ResponseDone], None] | None = None,
        alerts: AlertFeed | None = None,
        captions: CaptionFeed | None = None,
        before_question: Callable[[], None] | None = None,
        closing: Closing | None = None,
    ) -> None:
        self._closing = closing or Closing()
        self.session_id = f"sess_{secrets.token_hex(8)}"
        self._cameras = cameras
        self._answered, self._before_question = answered, before_question
        self._pace = Pace(asyncio.get_running_loop().time)
        self._alerts, self._captions = alerts, captions
        self._outbox = Outbox()
        self._chosen: list[str] | None = None  # None: every camera, also those that come later
        self._running: dict[str, tuple[Response, asyncio.Task[None]]] = {}

    async def run(self, websocket: WebSocket, patience_s: float) -> None:
        """Reads and answers until the client leaves. Raises an ExceptionGroup, of Overloaded for a slow client."""
        names = self._cameras.names()
        self._outbox.put(SessionCreated(session_id=self.session_id, cameras=names, model=self._cameras.model_name))
        for name in names:
            self._tell(name, *self._cameras.status(name))
        with contextlib.ExitStack() as listening:
            listening.callback(self._cameras.listen(self._tell))
            if self._alerts is not None:
                listening.callback(self._alerts.listen(self._alert))
            if self._captions is not None:
                listening.callback(self._captions.listen(self._caption))
            listening.callback(self._closing.join(self._leave))
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(websocket, patience_s), name=f"{self.session_id}-writer")
                try:
                    while (event := await websocket.receive())["type"] == "websocket.receive":
                        self._take(event, group)
                        await asyncio.sleep(self._pace.pause(len(event.get("text") or event.get("bytes") or "")))
                finally:
                    for task in (writer, *(task for _, task in self._running.values())):
                        task.cancel()

    async def _write(self, websocket: WebSocket, patience_s: float) -> None:
        """Sends what is to be sent. Where the client is gone, the reader hears of it, too: that is no error to be
        raised, whose traceback would hold the connection until all garbage is collected.
        """
        with contextlib.suppress(WebSocketDisconnect):
            await drain(self._outbox, websocket.send_text, patience_s=patience_s)

    async def _leave(self) -> None:
        """The server is about to stop: what is open ends, and the client is told."""
        running = list(self._running.values())
        for response, _ in running:
            response.stop()
        if running:
            await asyncio.wait([task for _, task in running])
        await self._outbox.sent()

    def _alert(self, change: AlertChange) -> None:
        if self._chosen is None or change.event.camera in self._chosen:
            self._outbox.put(alert_message(change))

    def _tell(self, camera: str, state: str, reason: str) -> None:
        if self._chosen is None or camera in self._chosen:
            self._outbox.put(StreamStatus(camera=camera, state=state, reason=reason))

    def _caption(self, camera: str, event: CaptionEvent) -> None:
        if self._chosen is None or camera in self._chosen:
            kind = CaptionFinal if event.type == "final" else CaptionPartial
            line = event.line
            said = (
                kind(camera=camera)
                if line is None
                else kind(camera=camera, start=round(line.start, 3), end=round(line.end, 3), text=line.text)
            )
            self._outbox.put(said)

    def _take(self, event: Any, group: asyncio.TaskGroup) -> None:
        """One message. What is wrong with it is answered with an `error` and ends nothing."""
        event_id: str | None = None
        try:
            text = event.get("text")
            if text is None:
                raise BadMessage("Binary messages are not taken; send JSON as text.", code="binary_message")
            message = read_client_message(text)
            event_id = message.event_id
            match message:
                case SessionUpdate():
                    self._choose(message)
                case ResponseCreate():
                    self._create(message, group)
                case ResponseCancel():
                    self._cancel(message)
        except ProtocolError as problem:
            if isinstance(problem, BadMessage):
                event_id = problem.event_id
            self._outbox.put(Error(event_id=event_id, code=problem.code, message=str(problem), param=problem.param))

    def _choose(self, message: SessionUpdate) -> None:
        chosen = list(dict.fromkeys(message.cameras))
        states = [(name, *self._cameras.status(name)) for name in chosen]
        self._chosen = chosen
        for name, state, reason in states:
            self._tell(name, state, reason)

    def _create(self, message: ResponseCreate, group: asyncio.TaskGroup) -> None:
        self._closing.check()
        question = clean_question(message.question)
        cameras = askable_cameras(self._cameras, self._named(message))
        if len(self._running) >= MAX_RESPONSES:
            raise ProtocolError(
                f"{MAX_RESPONSES} questions are open already; wait for one to end, or cancel one.",
                code="too_many_responses",
            )
        if self._before_question is not None:
            self._before_question()
        response = Response(f"resp_{secrets.token_hex(8)}", cameras, self._outbox.put)
        self._outbox.put(ResponseCreated(response_id=response.response_id, event_id=message.event_id))
        # A conversation is this client's own: two clients that pick the same name must not read each other's.
        conversation = f"{self.session_id}/{message.conversation}" if message.conversation else None
        task = group.create_task(response.run(question, conversation), name=response.response_id)
        self._running[response.response_id] = (response, task)
        # Said in the callback, since a task that is cancelled before its first step never runs any of its own code.
        task.add_done_callback(lambda _: self._finish(response))

    def _named(self, message: ResponseCreate) -> list[str]:
        if message.camera is not None:
            return [message.camera]
        if message.cameras is not None:
            return list(dict.fromkeys(message.cameras))
        names = self._cameras.names() if self._chosen is None else self._chosen
        if len(names) != 1:
            raise ProtocolError(
                f"The question names no camera and there are {len(names)}; give camera or cameras.",
                code="invalid_request",
                param="camera",
            )
        return list(names)

    def _cancel(self, message: ResponseCancel) -> None:
        _, task = self._running.get(message.response_id, (None, None))
        if task is None:
            raise ProtocolError(
                "No such response is running; it may be over already.", code="response_not_active", param="response_id"
            )
        task.cancel()

    def _finish(self, response: Response) -> None:
        del self._running[response.response_id]
        done = response.done()
        self._outbox.put(done)
        if self._answered is not None:
            self._answered(done)


def alert_message(change: AlertChange) -> Alert:
    """An event's change as the websocket tells it."""
    event = change.event
    fields = change.to_json() | {
        "type": f"alert.{change.type}",
        "frame_url": frame_url(event.camera, event.frames[0] if event.frames else event.start),
        "before_url": frame_url(event.camera, event.before) if event.before is not None else None,
    }
    kinds: dict[str, type[Alert]] = {"new": AlertNew, "update": AlertUpdate, "end": AlertEnd}
    return kinds[change.type].model_validate(fields)
