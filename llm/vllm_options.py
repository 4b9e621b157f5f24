"""What the vLLM client needs to know: where the server is, what it serves, and how long to wait for it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Final

#: Tokens of a block of vLLM's prefix cache, unless `vllm serve --block-size` says otherwise.
BLOCK_TOKENS: Final = 16


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """`base_url` without the closing `/v1`; `model` as `vllm serve` calls it, None for the only one that it serves.

    Seconds: `connect_s` to reach the server, `first_s` from there to the first token (prefill and waiting in its queue
    included), `token_s` between two. A request that failed before its first token is sent again `retries` times. At
    most `at_once` requests are under way; others wait their turn. `ca` is a PEM file of certificates to trust.
    """

    base_url: str
    model: str | None = None
    key: str | None = field(default=None, repr=False)
    connect_s: float = 5.0
    first_s: float = 60.0
    token_s: float = 15.0
    retries: int = 2
    at_once: int = 8
    block_tokens: int = BLOCK_TOKENS
    plain_http: bool = False
    ca: str | None = None
    fallback: bool = False


def is_private(address: str) -> bool:
    """Whether an IP address is one of this machine or of a private network. Raises ValueError for a name."""
    found = ipaddress.ip_address(address.strip("[]").partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    return found.is_loopback or found.is_link_local or (found.is_private and not found.is_unspecified)
