"""HTTP with one vLLM server: what goes wrong becomes a VllmError that says what to do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx

from llama_vid.llm.vllm_errors import VllmError, VllmUnavailable, refused
from llama_vid.llm.vllm_options import VllmOptions
from llama_vid.llm.vllm_transport import PrivateTransport

#: The longest line of a stream and the longest answer to a plain request: a token with its ids is some 300 bytes.
MAX_BYTES: Final = 1 << 20


class VllmHttp:
    """Requests and their answers; for one event loop. Every method raises VllmError."""

    def __init__(self, options: VllmOptions) -> None:
        """Raises ConfigError for certificates that cannot be read."""
        self.options = options
        headers = {} if options.key is None else {"Authorization": f"Bearer {options.key}"}
        self._http = httpx.AsyncClient(
            transport=PrivateTransport(options),
            headers=headers,
            timeout=httpx.Timeout(options.first_s, connect=options.connect_s),
            follow_redirects=False,  # a redirect would take the pictures' tokens and the key somewhere else
            trust_env=False,  # so would a proxy of the environment
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def get(self, path: str) -> dict[str, Any]:
        """The JSON object at a path; an empty one where there is nothing."""
        async with self._answered("GET", path) as answer:
            body = await self.read(answer)
        return self.json(body) if body.strip() else {}

    def post(self, body: bytes) -> contextlib.AbstractAsyncContextManager[httpx.Response]:
        """The answer to a request for continuations, its body still to be read."""
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
                    raise refused(where, answer.status_code, await self.read(answer))
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

    async def events(self, answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
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
            event = self.json(data.encode())
            if "error" in event:  # what goes wrong after the first byte comes as an event
                raise refused(self.options.base_url, int((event["error"] or {}).get("code") or 500), data.encode())
            yield event
            wait = self.options.token_s

    async def read(self, answer: httpx.Response) -> bytes:
        """A whole body, if it is not absurdly long."""
        body = b""
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > MAX_BYTES:
                raise VllmError(f"the server at {self.options.base_url} answers at absurd length; is it a vLLM server?")
        return body

    def json(self, body: bytes) -> dict[str, Any]:
        """A body as a JSON object."""
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


def _reason(problem: Exception) -> str:
    """The last line of what a library says, without addresses: those the message names already."""
    text = re.sub(r"\s+", " ", str(problem)).strip()
    return text or type(problem).__name__
