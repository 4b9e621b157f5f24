"""The memory that all KV caches of a language model share: pages of it, counted, and freed least recently used first.

Layout: storage comes in slabs, one tensor (layer, 2, group, slab tokens, head width) of one context window each; on
the second axis keys at 0 and values at 1, keys already rotated to their positions. A page is PAGE_TOKENS neighbouring
places of the token axis in one slab, so that pages that lie side by side are one strip of keys for each group, the
order attention reads them in, and a context that lies in one piece is read with one product. The pool therefore hands
out the page behind a cache's last one where it can. A slab is allocated when its first page is taken and freed with
its last one; on a CPU, memory of it that no token has reached is never touched and costs nothing.

SmolLM2-135M: 30 layers x 2 x 3 groups x 64 x 2 bytes (bf16) make 23,040 bytes a token, 5.9 MB a page, 189 MB a slab.
Ideas: Kwon et al. 2023, PagedAttention, https://arxiv.org/abs/2309.06180; Zheng et al. 2023, RadixAttention,
https://arxiv.org/abs/2312.07104.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

from llama_vid.errors import LlamaVidError
from llama_vid.llm.attention import Scratch

#: Tokens of a page. The kernels do not mind (neighbouring pages are read as one); a larger page wastes more at a
#: context's end, and a smaller one splits storage into more pieces. 256 is also what one batch of a prefill writes.
PAGE_TOKENS: Final = 256
#: The share of the machine's (or GPU's) memory that pages may take, if no number of tokens is given.
MEMORY_SHARE: Final = 0.25
#: Contexts that there is room for at least: one that is read, and the one that replaces it.
LEAST_CONTEXTS: Final = 2


@dataclass(frozen=True, slots=True)
class KVShape:
    """What one token's keys and values take: `layers` times 2 times `groups` times `head_width` numbers."""

    layers: int
    groups: int
    head_width: int
    device: torch.device
    dtype: torch.dtype

    @property
    def bytes_per_token(self) -> int:
        """Bytes that one token takes over all layers."""
        return self.layers * 2 * self.groups * self.head_width * self.dtype.itemsize


class Holder(Protocol):
    """Who holds pages and can give them back: a `VideoContext`."""

    @property
    def busy(self) -> bool:
        """Whether its pages are being read or written just now, so that it must keep them."""
        ...

    def release(self) -> None:
        """Give all pages back."""
        ...


class PagePool:
    """Pages for the KV caches of one language model; taken and written by the one thread that owns the tensors.

    `capacity` is in tokens; it counts pages in use, of whatever cache. When all are in use, the holder that was used
    least recently and is not busy is released.
    """

    def __init__(self, shape: KVShape, context: int, capacity: int | None = None) -> None:
        self.shape = shape
        self.scratch = Scratch()
        self._slab_pages = -(-context // PAGE_TOKENS)
        if capacity is None:
            affordable = int(_memory(shape.device) * MEMORY_SHARE) // shape.bytes_per_token
            capacity = max(LEAST_CONTEXTS * context, affordable)
        self._slab_count = max(1, -(-capacity // (self._slab_pages * PAGE_TOKENS)))
        self._page_limit = max(1, capacity // PAGE_TOKENS)
        self._uses = [0] * (self._slab_count * self._slab_pages)  # by page: caches that hold it
        self._used = 0  # pages with a use
        self._slabs: list[Tensor | None] = [None] * self._slab_count
        # Caches may be collected in any thread at any moment; what they held is only noted then.
        self._returned: deque[list[int]] = deque()
        self._holders: dict[int, weakref.ref[Holder]] = {}  # by id, least recently used first

    @property
    def capacity(self) -> int:
        """Tokens that there is room for."""
        return self._page_limit * PAGE_TOKENS

    @property
    def used(self) -> int:
        """Pages that caches hold."""
        self.settle()
        return self._used

    @property
    def free(self) -> int:
        """Pages that can be taken without releasing anything."""
        return self._page_limit - self.used

    @property
    def bytes(self) -> int:
        """Bytes of the pages that caches hold; pages that several share count once."""
        return self.used * PAGE_TOKENS * self.shape.bytes_per_token

    def touch(self, holder: Holder) -> None:
        """Note that a holder is used now; the first time it becomes one that may be released for others."""
        key = id(holder)
        self._holders.pop(key, None)
        self._holders[key] = weakref.ref(holder, lambda _: self._holders.pop(key, None))

    def take(self, behind: int | None = None) -> int:
        """A page that nobody uses, the one next to page `behind` if that is free. It has one use.

        Raises LlamaVidError if all are in use and no holder can be released.
        """
        self.settle()
        while self._used >= self._page_limit or (page := self._free(behind)) is None:
            self._make_room()
        self._uses[page] = 1
        self._used += 1
        return page

    def share(self, pages: Iterable[int]) -> None:
        """Count one more use of each page."""
        for page in pages:
            self._uses[page] += 1

    def give_back(self, pages: list[int]) -> None:
        """Count one use less of each page, from any thread; the list belongs to the pool from now on."""
        self._returned.append(pages)

    def strips(self, layer: int, pages: Sequence[int], start: int, stop: int) -> list[tuple[Tensor, Tensor]]:
        """Keys and values, (1, G, m, d) each, of the places [start, stop) in a cache's `pages`, in as few as can be."""
        found = []
        at = start
        while at < stop:
            first = at // PAGE_TOKENS
            last = first
            while last + 1 < len(pages) and (last + 1) * PAGE_TOKENS < stop and self._next_to(pages, last):
                last += 1
            end = min(stop, (last + 1) * PAGE_TOKENS)
            slab, offset = self.place(pages[first], at % PAGE_TOKENS)
            strip = slab[layer, :, None, :, offset : offset + end - at]
            found.append((strip[0], strip[1]))
            at = end
        return found

    def place(self, page: int, offset: int) -> tuple[Tensor, int]:
        """The slab that a page lies in, and where on its token axis place `offset` of the page is."""
        index, within = divmod(page, self._slab_pages)
        slab = self._slabs[index]
        if slab is None:
            shape = self.shape
            with torch.inference_mode(False):  # a tensor made in inference mode could not be written outside of it
                slab = self._slabs[index] = torch.empty(
                    (shape.layers, 2, shape.groups, self._slab_pages * PAGE_TOKENS, shape.head_width),
                    device=shape.device, dtype=shape.dtype,
                )  # fmt: skip
        return slab, within * PAGE_TOKENS + offset

    def copy(self, source: int, target: int, count: int) -> None:
        """Copy the first `count` places of one page to another."""
        (old, at), (new, to) = self.place(source, 0), self.place(target, 0)
        new[:, :, :, to : to + count] = old[:, :, :, at : at + count]

    def _next_to(self, pages: Sequence[int], index: int) -> bool:
        page = pages[index] + 1
        return pages[index + 1] == page and page % self._slab_pages != 0

    def settle(self) -> None:
        """Take note of what was given back; a slab without a page in use goes back to the system."""
        while self._returned:
            for page in self._returned.popleft():
                self._uses[page] -= 1
                if not self._uses[page]:
                    self._used -= 1
                    first = page - page % self._slab_pages
                    if not any(self._uses[first : first + self._slab_pages]):
                        self._slabs[first // self._slab_pages] = None
                        _trim()

    def _free(self, behind: int | None) -> int | None:
        if behind is not None and (behind + 1) % self._slab_pages and not self._uses[behind + 1]:
            return behind + 1
        # The longest gap. Unless it begins a slab, its first half is left to whoever writes right before it.
        longest, begin, run = 0, 0, 0
        for page, uses in enumerate(self._uses):
            run = 0 if uses else (1 if page % self._slab_pages == 0 else run + 1)
            if run > longest:
                longest, begin = run, page - run + 1
        if not longest:
            return None
        return begin if begin % self._slab_pages == 0 else begin + longest // 2

    def _make_room(self) -> None:
        for key, reference in list(self._holders.items()):
            holder = reference()
            if holder is not None and not holder.busy:
                del self._holders[key]
                before = self._used
                holder.release()
                self.settle()
                if self._used < before:
                    return
        raise LlamaVidError(
            f"all {self.capacity} tokens of the KV cache are in use and none can be released now; ask again when other "
            "questions are answered, watch fewer cameras at once, or give the language model more memory"
        )


def _trim() -> None:
    """Have the C library give freed memory back to the system: glibc kept a slab of 189 MB (measured)."""
    with contextlib.suppress(OSError, AttributeError):  # another system, another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _memory(device: torch.device) -> int:
    """Bytes of memory that a device has."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
