"""`server.limits`: what clients may take of the server together, by address and by token."""

from __future__ import annotations

from pydantic import Field

from llama_vid.settings_section import Section


class Limits(Section):
    """What is beyond them is refused with 429 or 503 and `Retry-After`; who is within them notices nothing.

    `connections` are open at once, all together; `per_address` those of one address beyond loopback (a proxy on this
    machine is one address for many); `websockets_per_token` those of one token. `requests_per_s` and
    `questions_per_min` count for each token over time, while sign-in is on; four seconds' requests and a quarter of a
    minute's questions may come at once.
    """

    connections: int = Field(default=512, ge=8, le=100_000)
    per_address: int = Field(default=128, ge=4, le=100_000)
    websockets_per_token: int = Field(default=64, ge=1, le=100_000)
    requests_per_s: float = Field(default=100, gt=0, le=100_000)
    questions_per_min: float = Field(default=60, gt=0, le=100_000)
