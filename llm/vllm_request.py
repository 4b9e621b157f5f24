"""A request for continuations as vLLM takes it: how to sample, and prompts as base64 of tensors."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a prompt is continued: greedily at temperature 0, up to `max_tokens`, or to one of the tokens `stop`.

    `count` continuations are drawn (from the `top` likeliest tokens, if that is not 0), always the same with a `seed`.
    """

    max_tokens: int
    stop: tuple[int, ...] = ()
    temperature: float = 0.0
    count: int = 1
    top: int = 0
    seed: int | None = None

    def fields(self) -> dict[str, Any]:
        """The request's fields."""
        fields: dict[str, Any] = {
            "max_tokens": self.max_tokens, "temperature": self.temperature, "stop_token_ids": list(self.stop),
            "n": self.count, "return_token_ids": True,
            # Whatever the model's folder suggests for chatting has no place here.
            "top_p": 1.0, "top_k": self.top, "min_p": 0.0,
            "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
        }  # fmt: skip
        return fields if self.seed is None else fields | {"seed": self.seed}


def request_body(prompts: Sequence[Tensor | Sequence[int]], fields: Mapping[str, Any]) -> bytes:
    """A request's JSON. Put together by hand, since base64 of many megabytes needs no escaping."""
    embeds = [encoded(prompt) for prompt in prompts if isinstance(prompt, Tensor)]
    rest = dict(fields) if embeds else dict(fields) | {"prompt": [list(prompt) for prompt in prompts]}
    body = json.dumps(rest, separators=(",", ":")).encode()
    if not embeds:
        return body
    listed = b'"' + embeds[0] + b'"' if len(embeds) == 1 else b'["' + b'","'.join(embeds) + b'"]'
    return body[:-1] + b',"prompt_embeds":' + listed + b"}"


def encoded(embeds: Tensor) -> bytes:
    """A prompt (n, D) as vLLM takes it: base64 of what `torch.save` writes of a dense tensor on the CPU."""
    buffer = io.BytesIO()
    # A copy of its own: of a view, torch.save would write all of the storage behind it.
    torch.save(embeds.detach().to("cpu", copy=True).contiguous(), buffer)
    return base64.b64encode(buffer.getbuffer())
