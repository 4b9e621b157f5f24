"""The KV cache: keys and values of tokens that the language model has read, so that they are never read twice.

A cache is a list of pages in a `PagePool` (`pages.py` has the layout) and a count of tokens. It only ever grows. What
replaces part of it is a *branch*: a cache of its own that uses the same pages up to where they part. So a page has one
writer at most: full pages are shared, the partly filled page that a branch begins in is copied (under 6 MB), and a
reader who remembers how long the cache was when it came (`Snapshot`) is not disturbed by what is appended later.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from llama_vid.errors import LlamaVidError
from llama_vid.llm.attention import KeysValues, over_parts
from llama_vid.llm.pages import PAGE_TOKENS, PagePool


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
    """Keys and values of up to `capacity` tokens, in pages that are taken as they are needed.

    The pages go back when the cache is collected: when nobody reads it any more.
    """

    def __init__(self, pool: PagePool, capacity: int) -> None:
        self.pool = pool
        self.capacity = capacity
        self._pages: list[int] = []
        self._length = 0
        weakref.finalize(self, pool.give_back, self._pages).atexit = False

    @property
    def length(self) -> int:
        """Tokens that are held."""
        return self._length

    @property
    def pages(self) -> tuple[int, ...]:
        """Its pages in the pool, in the order of its tokens."""
        return tuple(self._pages)

    def held(self, layer: int, stop: int, start: int = 0) -> list[KeysValues]:
        """Keys and values of the tokens [start, stop) in one layer, not copied: strips of (1, G, m, d) each."""
        return self.pool.strips(layer, self._pages, start, stop)

    def write(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Store k and v (1, G, n, d) behind the held tokens.

        Raises LlamaVidError if there is no room for n more, here or in the pool.
        """
        end = self._length + k.shape[2]
        if end > self.capacity:
            raise LlamaVidError(
                f"{end} tokens do not fit a KV cache of {self.capacity}; "
                "shorten the question or lower the memory's budget"
            )
        while len(self._pages) * PAGE_TOKENS < end:
            self._pages.append(self.pool.take(self._pages[-1] if self._pages else None))
        done = 0
        for keys, values in self.held(layer, end, self._length):
            count = keys.shape[2]
            keys.copy_(k[:, :, done : done + count])
            values.copy_(v[:, :, done : done + count])
            done += count

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store k and v (1, G, n, d) and attend q (1, H, n, d) over all tokens up to each. -> (1, H, n, d)."""
        self.write(layer, k, v)
        return over_parts(q, self.held(layer, self._length), (k, v), self.pool.scratch)

    def advance(self, n: int) -> None:
        """Count n new tokens as held."""
        self._length += n

    def branch(self, length: int) -> KVCache:
        """A cache that holds the first `length` tokens of this one, on the same pages, and goes on by itself.

        Raises LlamaVidError if the pool has no page left for the one that both would write.
        """
        if not 0 <= length <= self._length:
            raise ValueError(f"cannot branch at {length} of {self._length} tokens")
        twin = KVCache(self.pool, self.capacity)
        full, rest = divmod(length, PAGE_TOKENS)
        self.pool.share(self._pages[:full])
        twin._pages += self._pages[:full]
        if rest:
            twin._pages.append(self.pool.take(twin._pages[-1] if twin._pages else None))
            with torch.inference_mode():
                self.pool.copy(self._pages[full], twin._pages[-1], rest)
        twin._length = length
        return twin


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The first `length` tokens of a cache, as a question found them; they stay while it is held."""

    cache: KVCache
    length: int
