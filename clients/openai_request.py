"""What an OpenAI client sends to `POST /v1/chat/completions`: who is asked, the question, and what went before it.

After OpenAI's API reference, "Create chat completion". Cameras are the models: `camera:front`, `camera:front,back`,
`camera:*` for all. Taken and not used, since answers are looked up in a camera's memory rather than sampled: system
messages, `temperature`, `top_p`, penalties, `seed`, `stop`, `max_tokens`, `user`, `metadata`, `store` and whatever is
unknown. Refused, since a client that sends them counts on them: tools, pictures and sound in messages, several
choices, log probabilities, formats other than text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from llama_vid.clients.question import MAX_QUESTION_CHARACTERS, clean_question, strip_template_tokens
from llama_vid.errors import ProtocolError

#: What the name of a camera as a model begins with.
PREFIX: Final = "camera:"
#: All cameras as one model.
ALL: Final = f"{PREFIX}*"
#: Messages of one conversation: hours of talking.
MAX_MESSAGES: Final = 1000
#: Earlier questions that a follow-up may mean; only the newest one that names something counts.
EARLIER: Final = 16
#: Cameras of one question, as on the websocket.
MAX_CAMERAS: Final = 64

_MEDIA: Final = {
    "image_url": "Images",
    "input_image": "Images",
    "video_url": "Videos",
    "input_video": "Videos",
    "input_audio": "Sound",
    "file": "Files",
}


def _content(value: Any) -> Any:
    """A message's content as it may be: text, parts of text, or nothing."""
    if isinstance(value, list):
        for part in value:
            kind = str(part.get("type")) if isinstance(part, dict) else ""
            if kind in _MEDIA:
                raise PydanticCustomError(
                    "unsupported_content",
                    "{what} in a message are not taken: the camera is the picture. Ask about a camera in words, and "
                    "add a stream as a camera with POST /api/cameras",
                    {"what": _MEDIA[kind]},
                )
            if kind not in ("text", "refusal") or not isinstance(part.get("text" if kind == "text" else kind), str):
                raise PydanticCustomError("invalid_value", "a part of the content is not a text part")
    elif value is not None and not isinstance(value, str):
        raise PydanticCustomError("invalid_value", "content must be text, or a list of text parts")
    return value


def _only(allowed: Callable[[Any], bool], reason: str) -> BeforeValidator:
    """Refuses a parameter unless it asks for what is done anyway; what is left of it is None."""

    def check(value: Any) -> None:
        if value is not None and not allowed(value):
            raise PydanticCustomError("unsupported_parameter", reason)

    return BeforeValidator(check)


def _or_null(schema: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [schema, {"type": "null"}]})


_Choices = Annotated[
    None,
    _only(lambda n: n is not True and n == 1, "Only one answer is given: leave n out, or make it 1"),
    _or_null({"const": 1}),
]
_Tools = Annotated[
    None,
    _only(
        lambda tools: tools in ([], {}),
        "Tools are not supported: a camera answers questions and calls nothing; leave them out",
    ),
    _or_null({"type": "array", "items": {}, "maxItems": 0}),
]
_LogProbs = Annotated[
    None,
    _only(
        lambda wanted: wanted is False,
        "Log probabilities are not supported: most answers are looked up, not sampled; leave it out",
    ),
    _or_null({"const": False}),
]
_TopLogProbs = Annotated[
    None,
    _only(lambda n: n is not False and n == 0, "Log probabilities are not supported; leave it out"),
    _or_null({"const": 0}),
]
_Format = Annotated[
    None,
    _only(
        lambda wanted: isinstance(wanted, dict) and wanted.get("type") == "text",
        "Answers are plain text: leave response_format out, or make its type text",
    ),
    _or_null({"type": "object", "properties": {"type": {"const": "text"}}, "required": ["type"]}),
]
_Modalities = Annotated[
    None,
    _only(lambda wanted: wanted == ["text"], 'Answers are text only: leave modalities out, or make it ["text"]'),
    _or_null({"type": "array", "items": {"const": "text"}, "minItems": 1, "maxItems": 1}),
]
_Audio = Annotated[
    None, _only(lambda _: False, "Answers are not spoken: leave audio out"), WithJsonSchema({"type": "null"})
]


class TextPart(BaseModel):
    """A part of a message's content; pictures, sound and files are refused."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """A message of a conversation. Only the user's are read."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str | list[TextPart] | None, BeforeValidator(_content)] = None

    @property
    def text(self) -> str:
        """The words of the content."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content or ())


class StreamOptions(BaseModel):
    """`include_usage`: a last chunk without choices tells the usage."""

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """A question to cameras, as the last of the conversation's messages."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    model: str = Field(min_length=1, max_length=MAX_CAMERAS * 65 + len(PREFIX), examples=["camera:front"])
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: _Choices = None
    tools: _Tools = None
    functions: _Tools = None
    logprobs: _LogProbs = None
    top_logprobs: _TopLogProbs = None
    response_format: _Format = None
    modalities: _Modalities = None
    audio: _Audio = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it may reach the model, and the user's earlier ones, oldest first."""

    question: str
    earlier: tuple[str, ...]


def asked(messages: Sequence[ChatMessage]) -> Asked:
    """The question that a conversation ends with.

    Raises ProtocolError with param `messages` where the last word is not the user's, or no question.
    """
    said = [message for message in messages if message.role in ("user", "assistant")]
    if not said or said[-1].role != "user":
        raise ProtocolError("The last message must be the user's question.", code="invalid_value", param="messages")
    try:
        question = clean_question(said[-1].text)
    except ProtocolError as problem:
        raise ProtocolError(str(problem), code=problem.code, param="messages") from None
    before = [message.text[:MAX_QUESTION_CHARACTERS] for message in said[:-1] if message.role == "user"]
    earlier = (strip_template_tokens(text) for text in before[-EARLIER:])
    return Asked(question, tuple(text for text in earlier if text))


def named_cameras(model: str, known: Sequence[str]) -> list[str]:
    """The cameras that a model's name means. Raises ProtocolError with code model_not_found."""
    names = list(dict.fromkeys(known if model == ALL else model.removeprefix(PREFIX).split(",")))
    if not model.startswith(PREFIX) or not names or len(names) > MAX_CAMERAS or not set(names) <= set(known):
        there = ", ".join(PREFIX + name for name in known[:20]) or "there are no cameras yet"
        raise ProtocolError(f"No model {model[:64]!r}; known: {there}.", code="model_not_found", param="model")
    return names
