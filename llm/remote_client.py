"""One streamed request to an OpenAI-compatible server, through the official client: text as it comes, or one failure.

Every question has a connection of its own: no stale one can delay it, no event loop is tied to another, and leaving the
generator at any point closes it, upon which servers stop generating.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from llama_vid.llm.remote_errors import RemoteFailure, failure_of, host_of
from llama_vid.llm.remote_options import RemoteOptions
from llama_vid.llm.trust import trusting

T = TypeVar("T")

#: Letters of an answer beyond which it is cut off, whatever the server was asked for.
LONGEST: Final = 20_000
#: Behind an answer that was cut off where `max_tokens` were said.
CUT_OFF: Final = " […]"
#: The official client takes the key from the environment where it is given none: another server must not get that.
NO_KEY: Final = "none"


@dataclass(slots=True)
class Dialect:
    """What this server was found not to take; kept for the questions after."""

    images: bool = True
    stream_options: bool = True
    temperature: bool = True
    max_tokens: str = "max_tokens"  # or the newer max_completion_tokens


@dataclass(slots=True)
class Said:
    """What one request came to: tokens that were read and said as the server counts them (0: it does not say)."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    began: bool = field(default=False)


class RemoteClient:
    """Asks one server. Raises ConfigError for certificates that cannot be read."""

    def __init__(self, options: RemoteOptions) -> None:
        self.options = options
        self._trust = None
        if options.base_url.lower().startswith("https:"):
            self._trust = trusting(options.ca, "llm.openai.ca")

    async def stream(
        self, messages: list[dict[str, Any]], dialect: Dialect, said: Said, within: float
    ) -> AsyncGenerator[str, None]:
        """The answer's text in pieces, the first one in `within` seconds. Raises RemoteFailure."""
        limit = asyncio.get_running_loop().time() + within
        async with contextlib.AsyncExitStack() as open_now:
            try:
                client = await open_now.enter_async_context(self._client())
                chunks = await _by(limit, client.chat.completions.create(**self._request(messages, dialect)))
                open_now.push_async_callback(chunks.close)
            except Exception as problem:  # whatever the client raises becomes one line
                raise failure_of(problem, self.options) from None
            letters, finish = 0, ""
            while True:
                wait = asyncio.get_running_loop().time() + self.options.token_s if said.began else limit
                try:
                    chunk = await _by(wait, anext(chunks, None))
                except Exception as problem:
                    raise self._broken(problem, said) from None
                if chunk is None:
                    break
                if chunk.usage is not None:
                    said.prompt_tokens = chunk.usage.prompt_tokens or 0
                    said.completion_tokens = chunk.usage.completion_tokens or 0
                for choice in (chunk.choices or [])[:1]:
                    finish = choice.finish_reason or finish
                    text = (choice.delta.content or "") if choice.delta is not None else ""
                    refused = getattr(choice.delta, "refusal", None)
                    if refused or finish == "content_filter":
                        raise self._refused()
                    if text and letters < LONGEST:
                        said.began = True
                        letters += len(text)
                        yield text[: LONGEST - letters + len(text)]
                if letters >= LONGEST:
                    finish = "length"
                    break
            if not finish:
                raise self._cut() if said.began else self._empty()
            if finish == "length" and said.began:
                yield CUT_OFF

    async def models(self) -> list[str]:
        """The names that the server lists. Raises RemoteFailure."""
        try:
            async with self._client() as client:
                limit = asyncio.get_running_loop().time() + 3 * self.options.connect_s
                return [model.id for model in (await _by(limit, client.models.list())).data]
        except Exception as problem:
            raise failure_of(problem, self.options) from None

    def _client(self) -> Any:
        import httpx2
        import openai

        options = self.options
        waits = httpx2.Timeout(max(options.first_s, options.token_s), connect=options.connect_s)
        web = openai.DefaultAsyncHttpxClient(
            verify=self._trust if self._trust is not None else True, timeout=waits, follow_redirects=False
        )
        return openai.AsyncOpenAI(
            base_url=options.base_url, api_key=options.key or NO_KEY, max_retries=0, timeout=waits, http_client=web
        )

    def _request(self, messages: list[dict[str, Any]], dialect: Dialect) -> dict[str, Any]:
        options = self.options
        request: dict[str, Any] = {"model": options.model, "messages": messages, "stream": True}
        request[dialect.max_tokens] = options.max_tokens
        if options.temperature is not None and dialect.temperature:
            request["temperature"] = options.temperature
        if dialect.stream_options:
            request["stream_options"] = {"include_usage": True}
        return request

    def _broken(self, problem: Exception, said: Said) -> RemoteFailure:
        found = failure_of(problem, self.options)
        if not said.began:
            return found
        if found.kind == "timeout":
            return RemoteFailure(
                f"llm.openai: {host_of(self.options)} fell silent in the middle; see whether it is busy, or raise "
                "llm.openai.token_timeout",
                "cut",
            )
        return self._cut() if found.kind == "connect" else found

    def _cut(self) -> RemoteFailure:
        return RemoteFailure(
            f"llm.openai: the answer of {host_of(self.options)} broke off; check the server and the network", "cut"
        )

    def _empty(self) -> RemoteFailure:
        return RemoteFailure(
            f"llm.openai: {host_of(self.options)} gave an empty answer; see that {self.options.model!r} is a chat "
            "model, or raise llm.openai.max_tokens",
            "empty",
        )

    def _refused(self) -> RemoteFailure:
        return RemoteFailure(f"llm.openai: {host_of(self.options)} declined to answer: its content filter", "filter")


async def _by(limit: float, work: Awaitable[T]) -> T:
    """What `work` gives, unless it takes until `limit` of the loop's clock: then TimeoutError. A limit never spans what
    a generator gives out, since every piece may be taken by another task.
    """
    async with asyncio.timeout_at(limit):
        return await work
