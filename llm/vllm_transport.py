"""The way to a vLLM server: plain http only within a private network.

Over it go the tokens of what cameras saw, questions, answers and the server's key; and a server that takes prompt
embeddings unpacks tensors from whoever can reach it, in which several vulnerabilities were found (CVE-2025-62164,
CVE-2026-56340, CVE-2026-73557). So neither end should be reachable from outside, and what leaves the network must be
encrypted.
"""

from __future__ import annotations

import asyncio
import socket

import httpx

from llama_vid.llm.trust import trusting
from llama_vid.llm.vllm_errors import VllmError
from llama_vid.llm.vllm_options import VllmOptions, is_private


class PrivateTransport(httpx.AsyncHTTPTransport):
    """httpx's transport; a plain http request goes to a private address, or not at all.

    A name is looked up here, and the very address that was checked is connected to: a second look-up could give
    another one. Raises VllmError.
    """

    def __init__(self, options: VllmOptions) -> None:
        self._plain_http = options.plain_http
        # Idle connections are kept for what vLLM's uvicorn keeps them (5 s), less a little: no request on a closed one.
        limits = httpx.Limits(max_connections=options.at_once + 2, keepalive_expiry=4.0)
        super().__init__(verify=trusting(options.ca, "llm.vllm.ca"), limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, as httpx asks for it."""
        if request.url.scheme == "http" and not self._plain_http:
            # The Host header stays that of the name.
            request.url = request.url.copy_with(host=await _private(request.url.host, request.url.port or 80))
        return await super().handle_async_request(request)


async def _private(host: str, port: int) -> str:
    """A private address of a host. Raises VllmError if one of them is public, httpx.ConnectError if it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as problem:
        raise httpx.ConnectError(f"the name {host} is not known: {problem.strerror or problem}") from None
    addresses = [str(each[4][0]) for each in found]
    public = next((address for address in addresses if not is_private(address)), None)
    if public is not None:
        raise VllmError(
            f"the vLLM server {host} lies at {public}, which is no address of a private network: what cameras saw is "
            "not sent there unencrypted; use https in llm.vllm.base_url, or set llm.vllm.plain_http if the way is safe"
        )
    return addresses[0]
