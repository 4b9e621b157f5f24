"""What `/v1/…` answers, as OpenAI's API reference has it, with `citations` added: when, where and what was seen."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Literal

from pydantic import BaseModel

from llama_vid.clients.protocol import ResponseDone


class Model(BaseModel):
    """A camera, or several, as a model; `state` is the camera's. When it was made is not known: `created` is 0."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "llama-vid"
    state: str | None = None


class ModelList(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]


class Citation(BaseModel):
    """A span that the answer rests on, in seconds of the one clock and in ISO 8601, and the picture that shows it."""

    camera: str
    start: float
    end: float
    start_time: str | None
    end_time: str | None
    score: float
    caption: str
    frame_url: str


class PromptTokens(BaseModel):
    """What the prompt was made of: the question, and the video in memory."""

    text_tokens: int
    video_tokens: int


class ChatUsage(BaseModel):
    """Tokens of the language model, of all cameras that were asked."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokens


class AnswerMessage(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    """The only choice."""

    index: Literal[0] = 0
    message: AnswerMessage
    logprobs: None = None
    finish_reason: Literal["stop"] = "stop"


class ChatCompletion(BaseModel):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: ChatUsage
    citations: list[Citation]


class Delta(BaseModel):
    """Text to append; the first one says who speaks."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    """The only choice, so far."""

    index: Literal[0] = 0
    delta: Delta
    logprobs: None = None
    finish_reason: Literal["stop"] | None = None


class ChatChunk(BaseModel):
    """A piece of a streamed answer. `citations` come with the piece that ends it."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None = None
    citations: list[Citation] | None = None


class OpenAIProblem(BaseModel):
    """What was wrong, in OpenAI's form."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(BaseModel):
    """An error, in OpenAI's form."""

    error: OpenAIProblem


def openai_error(status: int, code: str, message: str, param: str | None) -> OpenAIError:
    """An error in OpenAI's form; its type follows from the HTTP status."""
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return OpenAIError(error=OpenAIProblem(message=message, type=kind, param=param, code=code))


def citations(done: ResponseDone, zone: tzinfo, base_url: str) -> list[Citation]:
    """What an answer rests on; `base_url` is the server's own address, without a slash at its end."""
    return [
        Citation(
            camera=item.camera,
            start=item.start,
            end=item.end,
            start_time=iso(item.start, zone),
            end_time=iso(item.end, zone),
            score=item.score,
            caption=item.caption,
            frame_url=base_url + item.frame_url,
        )
        for item in done.evidence
    ]


def chat_usage(done: ResponseDone, question: int, answer: int) -> ChatUsage:
    """Usage from what memory held and from the tokens of question and answer."""
    video = done.usage.video
    return ChatUsage(
        prompt_tokens=video + question,
        completion_tokens=answer,
        total_tokens=video + question + answer,
        prompt_tokens_details=PromptTokens(text_tokens=question, video_tokens=video),
    )


def iso(seconds: float, zone: tzinfo) -> str | None:
    """A time of a live camera in ISO 8601, to the millisecond; None for one that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, zone).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None
