"""A vLLM server's side of the language model, over HTTP: prompts go there as embeddings, tokens come back.

The protocol is vLLM's OpenAI-compatible one (https://docs.vllm.ai/en/stable/features/prompt_embeds/), of which this
uses `GET /health`, `/version`, `/v1/models` and `POST /v1/completions`. A prompt is a tensor (n, D) as `torch.save`
writes it, in base64, under `prompt_embeds`; `prompt` stays out of the request, because a text beside it, even an empty
one, is a second prompt. Closing a stream closes its connection, which has vLLM abort the request.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
import torch
from torch import Tensor

from llama_vid.llm.vllm_errors import VllmError, VllmUnavailable, refused
from llama_vid.llm.vllm_options import VllmOptions
from llama_vid.llm.vllm_transport import PrivateTransport

#: Log-probabilities that a server gives for each token unless it was started with another --max-logprobs.
TOP: Final = 20
#: Prompts of one request: their embeddings travel side by side.
AT_A_TIME: Final = 16
#: The longest line of a stream and the longest answer to a plain request: a token with its ids is some 300 bytes.
MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Served:
    """What a server serves: the model's name, the tokens of its context, and vLLM's version."""

    model: str
    context: int
    version: str


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


@dataclass(frozen=True, slots=True)
class Chunk:
    """What came of an answer at once: token ids, and at its end why it ended; `cached` of the prompt's tokens, if told.

    A `finish` of "stop" says that the last id is the token that ended it.
    """

    ids: tuple[int, ...] = ()
    finish: str | None = None
    cached: int | None = None


class VllmClient:
    """Requests to one server. For one event loop; use it with `async with`. Every method raises VllmError."""

    def __init__(self, options: VllmOptions) -> None:
        """Raises ConfigError for certificates that cannot be read."""
        self.options = options
        self._turns = asyncio.Semaphore(options.at_once)
        headers = {} if options.key is None else {"Authorization": f"Bearer {options.key}"}
        self._http = httpx.AsyncClient(
            transport=PrivateTransport(options),
            headers=headers,
            timeout=httpx.Timeout(options.first_s, connect=options.connect_s),
            follow_redirects=False,  # a redirect would take the pictures' tokens and the key somewhere else
            trust_env=False,  # so would a proxy of the environment
        )

    async def __aenter__(self) -> VllmClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def served(self) -> Served:
        """What the server serves now."""
        await self._get("/health")
        listed = await self._get("/v1/models")
        # Behind a gateway there may be no version; then nothing is said about it.
        try:
            version = str((await self._get("/version")).get("version", ""))
        except VllmUnavailable:
            raise
        except VllmError:
            version = ""
        cards = [card for card in listed.get("data") or [] if isinstance(card, dict) and card.get("id")]
        names = [str(card["id"]) for card in cards]
        wanted = self.options.model
        if wanted is None and len(cards) == 1:
            wanted = names[0]
        if wanted not in names:
            known = ", ".join(names) or "none"
            raise VllmError(
                f"the vLLM server at {self.options.base_url} serves no model "
                f"{wanted or 'that could be meant without a name'} (it has: {known}); set llm.vllm.model to one of them"
            )
        context = cards[names.index(wanted)].get("max_model_len")
        return Served(wanted, int(context) if isinstance(context, int) else 0, version)

    async def stream(self, embeds: Tensor, sampling: Sampling, model: str) -> AsyncGenerator[Chunk]:
        """The continuation of a prompt (n, D) as it comes. Closing this ends the request on the server."""
        fields = sampling.fields() | {"stream": True, "stream_options": {"include_usage": True}}
        body = await asyncio.to_thread(request_body, [embeds], fields | {"model": model})
        finish: str | None = None
        async with self._turns, self._posted(body) as answer:
            async for event in self._events(answer):
                usage = event.get("usage") or {}
                details = usage.get("prompt_tokens_details") or {}
                if (cached := details.get("cached_tokens")) is not None:
                    yield Chunk(cached=int(cached))
                for choice in event.get("choices") or []:
                    finish = choice.get("finish_reason") or finish
                    ids = choice.get("token_ids")
                    if ids is None and choice.get("text"):
                        raise VllmError(
                            f"the vLLM server at {self.options.base_url} sends no token ids; "
                            "it needs vLLM 0.11.1 or newer"
                        )
                    yield Chunk(tuple(ids or ()), choice.get("finish_reason"))
        if finish is None:
            raise VllmUnavailable(
                f"the vLLM server at {self.options.base_url} ended its answer in the middle; its log says why"
            )

    async def complete(self, embeds: Tensor, sampling: Sampling, model: str) -> list[tuple[int, ...]]:
        """All continuations of a prompt (n, D) at once, as token ids; one ended by a token has that as its last."""
        found = await self._post([embeds], sampling.fields(), model)
        return [tuple(choice.get("token_ids") or ()) for choice in found]

    async def margin(self, prompts: Sequence[Tensor], yes: int, no: int, model: str) -> list[float]:
        """The log-probability of the token `yes` less that of `no` after each of the prompts (n, D)."""
        first = await self._likely(prompts, [yes, no], model)
        lacking = [at for at, row in enumerate(first) if not {yes, no} <= row.keys()]
        for token in (yes, no):
            # One of them was none of the likeliest: asked for alone, it comes with its probability.
            if again := [at for at in lacking if token not in first[at]]:
                rows = await self._likely([prompts[at] for at in again], [token], model)
                for at, row in zip(again, rows, strict=True):
                    first[at] |= row
        return [row[yes] - row[no] for row in first]

    async def likelihoods(
        self,
        prompt: Tensor,
        texts: Sequence[Sequence[int]],
        grown: Callable[[Sequence[int]], Tensor],
        model: str,
    ) -> list[tuple[float, bool]]:
        """The log-probability of each text behind a prompt (n, D), and whether greedy decoding would write it.

        vLLM scores no given tokens behind embeddings (`prompt_logprobs` and `echo` are refused), so each of a text's
        tokens is asked for as the next one behind those before it; `grown` gives their embeddings.
        """
        wanted: dict[tuple[int, ...], set[int]] = {}
        for ids in texts:
            for at, token in enumerate(ids):
                wanted.setdefault(tuple(ids[:at]), set()).add(token)
        prompts = {begun: torch.cat([prompt, grown(begun).to(prompt)]) for begun in wanted}
        rows: dict[tuple[int, ...], dict[int, float]] = {}
        begun = list(wanted)
        for first in range(0, len(begun), AT_A_TIME):
            some = begun[first : first + AT_A_TIME]
            rows.update(zip(some, await self._likely([prompts[each] for each in some], None, model), strict=True))
        best = {each: max(row, key=lambda token: row[token]) for each, row in rows.items()}
        lacking: dict[int, list[tuple[int, ...]]] = {}
        for each, tokens in wanted.items():
            for token in tokens - rows[each].keys():
                lacking.setdefault(token, []).append(each)

        async def alone(token: int, some: Sequence[tuple[int, ...]]) -> None:
            found = await self._likely([prompts[each] for each in some], [token], model)
            for each, row in zip(some, found, strict=True):
                rows[each][token] = row[token]

        try:
            async with asyncio.TaskGroup() as group:
                for token, some in lacking.items():
                    for first in range(0, len(some), AT_A_TIME):
                        group.create_task(alone(token, some[first : first + AT_A_TIME]), name=f"likelihood-{token}")
        except ExceptionGroup as problems:
            raise problems.exceptions[0] from None
        return [
            (
                sum(rows[tuple(ids[:at])][token] for at, token in enumerate(ids)),
                all(best[tuple(ids[:at])] == token for at, token in enumerate(ids)),
            )
            for ids in texts
        ]

    async def likely(self, prompt: Tensor | Sequence[int], model: str) -> dict[int, float]:
        """The likeliest next tokens of one prompt, embeddings (n, D) or token ids, with their log-probabilities."""
        return (await self._likely([prompt], None, model))[0]

    async def _likely(
        self, prompts: Sequence[Tensor | Sequence[int]], allowed: list[int] | None, model: str
    ) -> list[dict[int, float]]:
        """The likeliest next tokens, and the chosen one of those `allowed`; probabilities are over all tokens."""
        fields: dict[str, Any] = Sampling(1).fields() | {"logprobs": TOP, "return_tokens_as_token_ids": True}
        if allowed is not None:
            fields["allowed_token_ids"] = allowed
        rows = []
        for choice in await self._post(prompts, fields, model):
            logprobs = choice.get("logprobs") or {}
            row = dict((logprobs.get("top_logprobs") or [{}])[0] or {})
            row |= zip(logprobs.get("tokens") or [], logprobs.get("token_logprobs") or [], strict=True)
            rows.append({int(name.removeprefix("token_id:")): float(value) for name, value in row.items()})
        return rows

    async def _post(
        self, prompts: Sequence[Tensor | Sequence[int]], fields: Mapping[str, Any], model: str
    ) -> list[dict[str, Any]]:
        """The choices of a request that is answered at once, in the order of the prompts."""
        body = await asyncio.to_thread(request_body, prompts, dict(fields) | {"model": model})
        async with self._turns, self._posted(body) as answer:
            found = self._json(await self._read(answer))
        choices: list[dict[str, Any]] = sorted(found.get("choices") or [], key=lambda choice: choice.get("index", 0))
        if len(choices) != len(prompts) * fields["n"]:
            raise VllmError(
                f"the vLLM server at {self.options.base_url} gave {len(choices)} answers to {len(prompts)} prompts; "
                "is it a vLLM server?"
            )
        return choices

    async def _get(self, path: str) -> dict[str, Any]:
        async with self._answered("GET", path) as answer:
            body = await self._read(answer)
        return self._json(body) if body.strip() else {}

    def _posted(self, body: bytes) -> contextlib.AbstractAsyncContextManager[httpx.Response]:
        return self._answered("POST", "/v1/completions", body)

    @contextlib.asynccontextmanager
    async def _answered(self, method: str, path: str, body: bytes | None = None) -> AsyncIterator[httpx.Response]:
        """The answer to a request, its body still to be read. Raises what fits for whatever went wrong."""
        where = self.options.base_url
        request = self._http.build_request(
            method, where + path, content=body, headers=None if body is None else {"Content-Type": "application/json"}
        )
        try:
            answer = await self._http.send(request, stream=True)
            try:
                if answer.status_code != 200:
                    raise refused(where, answer.status_code, await self._read(answer))
                yield answer
            finally:
                await answer.aclose()
        except httpx.ConnectTimeout:
            raise VllmUnavailable(
                f"no connection to the vLLM server at {where} within {self.options.connect_s:g} s; is its machine up?"
            ) from None
        except httpx.TimeoutException:
            raise VllmUnavailable(
                f"the vLLM server at {where} said nothing for too long; it is starting or overloaded, ask again later"
            ) from None
        except httpx.ConnectError as problem:
            raise VllmUnavailable(
                f"no connection to the vLLM server at {where} ({_reason(problem)}); start it: vllm serve MODEL "
                "--enable-prompt-embeds"
            ) from None
        except httpx.TransportError as problem:
            raise VllmUnavailable(f"the connection to the vLLM server at {where} broke ({_reason(problem)})") from None

    async def _events(self, answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
        """The JSON objects of a stream of server-sent events, up to `[DONE]`."""
        lines = answer.aiter_lines().__aiter__()
        wait = self.options.first_s
        while True:
            try:
                async with asyncio.timeout(wait):
                    line = await anext(lines)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise VllmUnavailable(
                    f"the vLLM server at {self.options.base_url} sent nothing for {wait:g} s in the middle of an answer"
                ) from None
            if not line.startswith("data:"):
                continue
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                return
            event = self._json(data.encode())
            if "error" in event:  # what goes wrong after the first byte comes as an event
                raise refused(self.options.base_url, int((event["error"] or {}).get("code") or 500), data.encode())
            yield event
            wait = self.options.token_s

    async def _read(self, answer: httpx.Response) -> bytes:
        """A whole body, if it is not absurdly long."""
        body = b""
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > MAX_BYTES:
                raise VllmError(f"the server at {self.options.base_url} answers at absurd length; is it a vLLM server?")
        return body

    def _json(self, body: bytes) -> dict[str, Any]:
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise VllmError(
                f"what the server at {self.options.base_url} answers is no JSON object; is it a vLLM server? Check "
                "llm.vllm.base_url"
            )
        return found


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


def _reason(problem: Exception) -> str:
    """The last line of what a library says, without addresses: those the message names already."""
    text = re.sub(r"\s+", " ", str(problem)).strip()
    return text or type(problem).__name__
