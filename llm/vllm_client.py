"""A vLLM server's side of the language model, over HTTP: prompts go there as embeddings, tokens come back.

The protocol is vLLM's OpenAI-compatible one (https://docs.vllm.ai/en/stable/features/prompt_embeds/), of which this
uses `GET /health`, `/version`, `/v1/models` and `POST /v1/completions`. A prompt is a tensor (n, D) as `torch.save`
writes it, in base64, under `prompt_embeds`; `prompt` stays out of the request, because a text beside it, even an empty
one, is a second prompt. Closing a stream closes its connection, which has vLLM abort the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from llama_vid.llm.vllm_errors import VllmError, VllmUnavailable
from llama_vid.llm.vllm_http import VllmHttp
from llama_vid.llm.vllm_options import VllmOptions
from llama_vid.llm.vllm_request import Sampling, request_body

#: Log-probabilities that a server gives for each token unless it was started with another --max-logprobs.
TOP: Final = 20
#: Prompts of one request: their embeddings travel side by side.
AT_A_TIME: Final = 16


@dataclass(frozen=True, slots=True)
class Served:
    """What a server serves: the model's name, the tokens of its context, and vLLM's version."""

    model: str
    context: int
    version: str


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
        self._http = VllmHttp(options)
        self._turns = asyncio.Semaphore(options.at_once)

    async def __aenter__(self) -> VllmClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def served(self) -> Served:
        """What the server serves now."""
        await self._http.get("/health")
        listed = await self._http.get("/v1/models")
        # Behind a gateway there may be no version; then nothing is said about it.
        try:
            version = str((await self._http.get("/version")).get("version", ""))
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
        async with self._turns, self._http.post(body) as answer:
            async for event in self._http.events(answer):
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
        async with self._turns, self._http.post(body) as answer:
            found = self._http.json(await self._http.read(answer))
        choices: list[dict[str, Any]] = sorted(found.get("choices") or [], key=lambda choice: choice.get("index", 0))
        if len(choices) != len(prompts) * fields["n"]:
            raise VllmError(
                f"the vLLM server at {self.options.base_url} gave {len(choices)} answers to {len(prompts)} prompts; "
                "is it a vLLM server?"
            )
        return choices
