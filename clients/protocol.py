"""The messages of `GET /ws`, both directions: JSON text frames with Realtime-style names (DESIGN section 6).

Client to server: SessionUpdate, ResponseCreate, ResponseCancel; an unknown or misspelt field is refused.
Server to client: SessionCreated, ResponseCreated, TextDelta, ResponseDone, StreamStatus, AlertNew, AlertUpdate,
AlertEnd, CaptionPartial, CaptionFinal, Error; a client ignores fields and types that it does not know, so that the
server may grow. All times are seconds of the one clock (DESIGN section 5).
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from llama_vid.errors import ProtocolError

#: The longest message that a client may send; longer ones close the connection with 1009. A 100 kB question, even with
#: every character escaped as \uXXXX, still fits and gets a proper error.
MAX_MESSAGE_BYTES = 1_048_576

CLOSE_SHUTDOWN = 1001
CLOSE_AUTH = 1008
CLOSE_TOO_BIG = 1009
CLOSE_INTERNAL = 1011
CLOSE_OVERLOAD = 1013

Id = Annotated[str, Field(min_length=1, max_length=128)]
CameraId = Annotated[str, Field(min_length=1, max_length=64)]
ResponseStatus = Literal["completed", "cancelled", "failed"]


class FromClient(BaseModel):
    """What a client sends. Types are strict: the number 5 is not the text "5"."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    event_id: Id | None = None


class SessionUpdate(FromClient):
    """Which cameras' states, alerts and captions this client wants, and which one a question without a camera means."""

    type: Literal["session.update"] = "session.update"
    cameras: Annotated[list[CameraId], Field(max_length=1000)]


class ResponseCreate(FromClient):
    """A question about one camera or several. Those of one `conversation` (any name) follow up on each other."""

    type: Literal["response.create"] = "response.create"
    question: str
    camera: CameraId | None = None
    cameras: Annotated[list[CameraId], Field(min_length=1, max_length=64)] | None = None
    conversation: Id | None = None

    @model_validator(mode="after")
    def _one_way_to_name_cameras(self) -> ResponseCreate:
        if self.camera is not None and self.cameras is not None:
            raise ValueError("give either camera or cameras, not both")
        return self


class ResponseCancel(FromClient):
    """Ends a response; its `response.done` says `cancelled`. One that is over already gives `response_not_active`."""

    type: Literal["response.cancel"] = "response.cancel"
    response_id: Id


class FromServer(BaseModel):
    """What the server sends."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class SessionCreated(FromServer):
    """The first message of every connection."""

    type: Literal["session.created"] = "session.created"
    session_id: str
    cameras: list[str]
    model: str | None = None


class ResponseCreated(FromServer):
    """A question was taken; `event_id` is that of its `response.create`."""

    type: Literal["response.created"] = "response.created"
    response_id: str
    event_id: str | None = None


class TextDelta(FromServer):
    """Text to append to the answer. `seq` counts from 0 without holes."""

    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    response_id: str
    seq: int
    delta: str


class Evidence(FromServer):
    """A span [start, end] that an answer rests on; `frame_url` is a path on the same server."""

    camera: str
    start: float
    end: float
    score: float
    caption: str = ""
    frame_url: str


class Usage(FromServer):
    """Frames watched, video tokens that stood for them, tokens a frame; seconds to the first token and to the end.

    `engine` put the answer into words; `note` says why another one that is configured did not.
    """

    frames: int = 0
    video: int = 0
    per_frame: int = 2
    first_token_s: float = 0.0
    total_s: float = 0.0
    engine: str = "local"
    note: str = ""


class Failure(FromServer):
    """Why a response failed."""

    code: str
    message: str


class CameraAnswer(FromServer):
    """What one of several cameras that were asked together said, or why it said nothing (`error`)."""

    camera: str
    answer: str = ""
    timestamps: list[float] = Field(default_factory=list)
    error: Failure | None = None


class ResponseDone(FromServer):
    """The end of a response. A cancelled one holds the text so far. `answers` has each camera's, where several were
    asked; `failed` means that none could answer.
    """

    type: Literal["response.done"] = "response.done"
    response_id: str
    status: ResponseStatus
    answer: str = ""
    timestamps: list[float] = Field(default_factory=list)
    evidence: list[Evidence] = Field(default_factory=list)
    answers: list[CameraAnswer] = Field(default_factory=list)
    usage: Usage = Field(default_factory=Usage)
    error: Failure | None = None


class StreamStatus(FromServer):
    """A camera's state: connecting, live, stalled, reconnecting, ended, failed, removed. `reason` has no secrets."""

    type: Literal["stream.status"] = "stream.status"
    camera: str
    state: str
    reason: str = ""


class _Alert(FromServer):
    """What is known of an event by now (`llama_vid.memory.alerts.AlertEvent`); `id` is the same in all its messages.

    `end` is None while it goes on. `verified` is False for one that the second look took back. `frame_url` is the
    picture that shows it best, `before_url` the one from just before; paths on the same server.
    """

    id: str
    rule: str
    camera: str
    start: float
    end: float | None = None
    score: float
    verified: bool | None = None
    text: str
    frame_url: str
    before_url: str | None = None


class AlertNew(_Alert):
    """A rule has fired."""

    type: Literal["alert.new"] = "alert.new"


class AlertUpdate(_Alert):
    """More is known of an event that goes on: it was looked at a second time, or described."""

    type: Literal["alert.update"] = "alert.update"


class AlertEnd(_Alert):
    """An event is over, or was taken back."""

    type: Literal["alert.end"] = "alert.end"


Alert = AlertNew | AlertUpdate | AlertEnd


class _Caption(FromServer):
    """Words over [start, end]; empty where nothing is being said."""

    camera: str
    start: float | None = None
    end: float | None = None
    text: str = ""


class CaptionPartial(_Caption):
    """What is heard behind the final words so far; the next partial or final takes its place."""

    type: Literal["caption.partial"] = "caption.partial"


class CaptionFinal(_Caption):
    """Words that follow the final ones before, and never change."""

    type: Literal["caption.final"] = "caption.final"


class Error(FromServer):
    """A message that was not taken: `event_id` is that of the message, `param` the field that is wrong."""

    type: Literal["error"] = "error"
    event_id: str | None = None
    code: str
    message: str
    param: str | None = None


ClientMessage = SessionUpdate | ResponseCreate | ResponseCancel
ServerMessage = (
    SessionCreated
    | ResponseCreated
    | TextDelta
    | ResponseDone
    | StreamStatus
    | Alert
    | CaptionPartial
    | CaptionFinal
    | Error
)

_CLIENT_MESSAGES: dict[str, type[ClientMessage]] = {
    "session.update": SessionUpdate,
    "response.create": ResponseCreate,
    "response.cancel": ResponseCancel,
}
_SERVER: TypeAdapter[ServerMessage] = TypeAdapter(Annotated[ServerMessage, Field(discriminator="type")])
_SERVER_TYPES = frozenset(model.model_fields["type"].default for model in get_args(ServerMessage))


class BadMessage(ProtocolError):
    """A client's message that cannot be taken; knows the `event_id` of the message where it could be read."""

    def __init__(self, message: str, *, code: str, param: str | None = None, event_id: str | None = None) -> None:
        super().__init__(message, code=code, param=param)
        self.event_id = event_id


def read_client_message(text: str) -> ClientMessage:
    """One text frame from a client. Raises BadMessage with code invalid_json, unknown_type or invalid_request."""
    try:
        tree: Any = json.loads(text, parse_constant=_refuse_constant)
        if "\\ud" in text.lower():  # half of a character, as \ud800, could not be sent back as UTF-8
            json.dumps(tree, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise BadMessage("The message is not JSON; send one JSON object per text frame.", code="invalid_json") from None
    if not isinstance(tree, dict):
        raise BadMessage("The message must be a JSON object with a type.", code="invalid_json")
    event_id = tree.get("event_id")
    event_id = event_id if isinstance(event_id, str) and 0 < len(event_id) <= 128 else None
    kind = tree.get("type")
    if not isinstance(kind, str):
        raise BadMessage(
            "The message has no type; send one of " + ", ".join(_CLIENT_MESSAGES) + ".",
            code="invalid_request",
            param="type",
            event_id=event_id,
        )
    model = _CLIENT_MESSAGES.get(kind)
    if model is None:
        raise BadMessage(
            f"Unknown message type {kind[:64]!r}; send one of {', '.join(_CLIENT_MESSAGES)}.",
            code="unknown_type",
            param="type",
            event_id=event_id,
        )
    try:
        return model.model_validate(tree)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False, include_context=False)[0]
        param = ".".join(str(part) for part in first["loc"])[:128] or None
        what = first["msg"].removeprefix("Value error, ")
        raise BadMessage(
            f"{kind}: {param or 'message'}: {what[:1].lower() + what[1:]}.",
            code="invalid_request",
            param=param,
            event_id=event_id,
        ) from None


def read_server_message(text: str) -> ServerMessage | None:
    """One text frame from a server; None for a type that this client does not know. Raises ProtocolError."""
    try:
        tree: Any = json.loads(text)
        if isinstance(tree, dict) and tree.get("type") not in _SERVER_TYPES:
            return None
        return _SERVER.validate_python(tree)
    except (ValueError, ValidationError) as problem:
        raise ProtocolError(f"The server sent a message that cannot be read ({type(problem).__name__}).") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
