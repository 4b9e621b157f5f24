"""The KV cache: keys and values of tokens that the language model has read, so that they are never read twice.

Layout: one tensor per cache, (layer, 2, group, capacity, head width); on the second axis keys at 0 and values at 1,
keys already rotated to their positions. One group's tokens lie side by side, which is the order attention reads them
in, and memory that no token has reached yet is never touched. SmolLM2-135M: 30 layers x 2 x 3 groups x 64 x 2 bytes
(bf16) make 23,040 bytes a token, 189 MB for 8,192 tokens.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from llama_vid.errors import LlamaVidError
from llama_vid.llm.attention import over_parts


class AttentionCache(Protocol):
    """What the decoder needs of a cache: how many tokens it holds, and attention of new ones over them."""

    @property
    def length(self) -> int:
        """Tokens that are held: the position of the next one."""
        ...

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store k and v (1, G, n, d) of n new tokens and attend q (1, H, n, d) up to each one. -> like q."""
        ...

    def advance(self, n: int) -> None:
        """Count the n new tokens as held; called once, after the last layer."""
        ...


class KVCache:
    """Keys and values of up to `capacity` tokens, allocated at once."""

    def __init__(
        self, *, layers: int, groups: int, head_width: int, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        shape = (layers, 2, groups, capacity, head_width)
        self._store = torch.empty(shape, device=device, dtype=dtype)
        self._length = 0

    @property
    def length(self) -> int:
        """Tokens that are held."""
        return self._length

    @property
    def capacity(self) -> int:
        """Tokens that there is room for."""
        return int(self._store.shape[3])

    @property
    def bytes_per_token(self) -> int:
        """Bytes that one token takes over all layers."""
        return self._store[:, :, :, 0].numel() * self._store.element_size()

    def held(self, layer: int, length: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the first `length` tokens in one layer, (1, G, length, d) each, not copied."""
        part = self._store[layer, :, None, :, :length]
        return part[0], part[1]

    def write(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Store k and v (1, G, n, d) behind the held tokens. Raises LlamaVidError if there is no room for n more."""
        start, n = self._length, k.shape[2]
        if start + n > self.capacity:
            raise LlamaVidError(
                f"{start + n} tokens do not fit a KV cache of {self.capacity}; "
                "shorten the question or lower the memory's budget"
            )
        self._store[layer, 0, :, start : start + n] = k[0]
        self._store[layer, 1, :, start : start + n] = v[0]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store k and v (1, G, n, d) and attend q (1, H, n, d) over all tokens up to each. -> (1, H, n, d)."""
        self.write(layer, k, v)
        return over_parts(q, [self.held(layer, self._length)], (k, v))

    def advance(self, n: int) -> None:
        """Count n new tokens as held."""
        self._length += n

    def truncate(self, length: int) -> None:
        """Forget all tokens from position `length` on."""
        if not 0 <= length <= self._length:
            raise ValueError(f"cannot truncate {self._length} tokens to {length}")
        self._length = length

    def copy_of(self, length: int) -> KVCache:
        """A new cache of the same capacity that holds the first `length` tokens."""
        layers, _, groups, capacity, width = self._store.shape
        twin = KVCache(
            layers=layers, groups=groups, head_width=width, capacity=capacity,
            device=self._store.device, dtype=self._store.dtype,
        )  # fmt: skip
        twin._store[:, :, :, :length] = self._store[:, :, :, :length]
        twin._length = length
        return twin

    def fork(self, capacity: int) -> ForkedCache:
        """A cache that reads the tokens held now without copying them and stores up to `capacity` more of its own."""
        layers, _, groups, _, width = self._store.shape
        tail = KVCache(
            layers=layers, groups=groups, head_width=width, capacity=capacity,
            device=self._store.device, dtype=self._store.dtype,
        )  # fmt: skip
        return ForkedCache(self, tail)


class ForkedCache:
    """One question's tokens behind a shared prefix.

    The prefix may grow meanwhile (later tokens are not seen here) but its first `prefix_length` tokens must stay as
    they are: whoever rebuilds them does so in another KVCache (`copy_of`).
    """

    def __init__(self, prefix: KVCache, tail: KVCache) -> None:
        self.prefix = prefix
        self.prefix_length = prefix.length
        self._tail = tail

    @property
    def length(self) -> int:
        """Tokens that are held, prefix included."""
        return self.prefix_length + self._tail.length

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store k and v (1, G, n, d) and attend q (1, H, n, d) over prefix, tail and themselves. -> (1, H, n, d)."""
        self._tail.write(layer, k, v)
        past = [self.prefix.held(layer, self.prefix_length), self._tail.held(layer, self._tail.length)]
        return over_parts(q, past, (k, v))

    def advance(self, n: int) -> None:
        """Count n new tokens as held."""
        self._tail.advance(n)
