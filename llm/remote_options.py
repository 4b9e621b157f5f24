"""What the client of an OpenAI-compatible server needs to know: where it is, what it may cost, how long to wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

Detail = Literal["auto", "low", "high"]

#: A word for a log, an answer's note and a metric's label: why the remote model did not answer.
FailureKind = Literal[
    "key", "model", "busy", "quota", "server", "connect", "tls", "timeout", "cut", "filter", "empty", "size", "request",
    "spent", "resting",
]  # fmt: skip
#: The seconds over which requests and images are counted.
HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """`base_url` with its closing `/v1`, `model` as the server calls it, `key` None for a server that wants none.

    Seconds: `connect_s` to reach the server, `first_s` from the question to the first word (attempts and pauses
    included), `token_s` between two pieces. What fails before the first word is sent again `retries` times.

    At most `max_images` frames go with a question, `image_side` pixels on their longer side; `prompt_tokens` bounds the
    text beside them. `cameras` may be asked about (None: all). With `fallback` the local model answers where this one
    cannot.
    """

    base_url: str
    model: str
    key: str | None = field(default=None, repr=False)
    connect_s: float = 5.0
    first_s: float = 60.0
    token_s: float = 30.0
    retries: int = 2
    max_images: int = 8
    image_side: int = 512
    detail: Detail = "auto"
    prompt_tokens: int = 4000
    max_tokens: int = 400
    temperature: float | None = 0.2
    requests_per_hour: int | None = 120
    images_per_hour: int | None = 600
    fallback: bool = True
    ca: str | None = None
    cameras: frozenset[str] | None = None
