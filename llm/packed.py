"""One forward for several questions: their tokens packed into one row, the memory before them read once for all.

Every question (a *lane*) has the tokens of a shared memory before it and its own behind. Its own keys lie in `Tails`,
one slot a question: (layer, 2, slot, group, width, head width). Attention is put together from the parts that
`attention.py` computes: all queries of all lanes over the memory's pages, as if they were one question's; those that
came later over what their memory holds more; and each over its own tail. The layers' products never notice that their
rows belong to different texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from llama_vid.llm.attention import Part, bias, mixed, over_past, own, seen
from llama_vid.llm.cache import KVCache, Snapshot
from llama_vid.llm.pages import KVShape


class Tails:
    """The questions' own keys and values; slots are handed out densely, so that all in use lie side by side."""

    def __init__(self, shape: KVShape) -> None:
        self._shape = shape
        self.store = self._empty(0, 0)
        self.used = 0

    @property
    def bytes(self) -> int:
        """Bytes of the store."""
        return self.store.numel() * self.store.element_size()

    def take(self, width: int) -> int:
        """The next free slot, with room for `width` tokens."""
        slots, widest = self.store.shape[2], self.store.shape[4]
        if self.used == slots or width > widest:
            bigger = self._empty(max(4, 2 * slots) if self.used == slots else slots, max(width, widest))
            bigger[:, :, : self.used, :, :widest] = self.store[:, :, : self.used]
            self.store = bigger
        self.used += 1
        return self.used - 1

    def drop(self, slot: int) -> int:
        """Free a slot; the last slot's question moves there. Gives the slot it moved from."""
        last = self.used - 1
        if slot != last:
            self.store[:, :, slot] = self.store[:, :, last]
        self.used = last
        if not last:
            self.store = self._empty(0, 0)
        return last

    def _empty(self, slots: int, width: int) -> Tensor:
        shape = self._shape
        with torch.inference_mode(False):  # written outside of inference mode too
            # Zeros: places that no token has reached are masked, but a NaN there would still spoil the sums.
            return torch.zeros(
                (shape.layers, 2, slots, shape.groups, width, shape.head_width), device=shape.device, dtype=shape.dtype
            )


@dataclass(frozen=True, slots=True)
class Lane:
    """What one question reads in this step: `count` tokens behind the `held` ones in its `slot`, after its `memory`."""

    memory: Snapshot
    slot: int
    held: int
    count: int


@dataclass(frozen=True, slots=True)
class _Family:
    """The packed tokens [start, stop) of lanes whose memory is one cache, at least `common` tokens of it.

    `later` (1, 1, n, m) masks the tokens from `common` on, of which some lanes see more than others.
    """

    cache: KVCache
    start: int
    stop: int
    common: int
    later: Tensor | None


@dataclass(frozen=True, slots=True)
class _Bucket:
    """Lanes of similar length, as a batch (b, n): `tokens` (b, n) are packed ones, shorter lanes' last one repeated.

    `slots` is a slice where they lie in order. `mask` (b, 1, n, width), or None where all is seen.
    """

    tokens: Tensor
    slots: slice | Tensor
    width: int
    mask: Tensor | None


class PackedCache:
    """An `AttentionCache` for one forward over the tokens of `lanes`, which must come ordered by their memory's cache.

    `positions` (N,) are the tokens' places in their texts, `ends` the packed index of each lane's last token.
    """

    def __init__(self, tails: Tails, lanes: Sequence[Lane]) -> None:
        self._tails = tails
        like = tails.store
        counts = torch.tensor([lane.count for lane in lanes])
        stops = counts.cumsum(0)
        self.ends: list[int] = (stops - 1).tolist()
        starts: list[int] = (stops - counts).tolist()
        self._own = torch.cat([torch.arange(lane.held, lane.held + lane.count) for lane in lanes]).to(like.device)
        self._slots = torch.tensor([lane.slot for lane in lanes]).repeat_interleave(counts).to(like.device)
        before = torch.tensor([lane.memory.length for lane in lanes]).repeat_interleave(counts).to(like.device)
        self.positions = before + self._own
        self._families: list[_Family] = []
        at = 0
        for _, group in groupby(lanes, key=lambda lane: id(lane.memory.cache)):
            related = list(group)
            stop = at + len(related)
            lengths = [lane.memory.length for lane in related]
            span = slice(starts[at], self.ends[stop - 1] + 1)
            later = None
            if max(lengths) > min(lengths):
                places = torch.arange(min(lengths), max(lengths), device=like.device)
                later = bias(places < before[span, None], like)[None, None]
            self._families.append(_Family(related[0].memory.cache, span.start, span.stop, min(lengths), later))
            at = stop
        self._buckets = [
            self._bucket([lanes[index] for index in members], [starts[index] for index in members])
            for members in _alike([lane.count for lane in lanes])
        ]
        # Which row of all buckets' outputs, one after another, each packed token is.
        where = torch.cat([bucket.tokens.flatten() for bucket in self._buckets])
        rows = torch.arange(len(where), device=like.device)
        self._row = torch.empty(len(self._own), dtype=torch.long, device=like.device).index_copy_(
            0, where.flip(0), rows.flip(0)
        )
        self._alone: tuple[int, slice] | None = None  # of a single lane, for which less has to be moved
        if len(lanes) == 1:
            self._alone = lanes[0].slot, slice(lanes[0].held, lanes[0].held + lanes[0].count)
        self._straight = bool(torch.equal(where, rows))

    @property
    def length(self) -> int:
        """The most tokens that a lane holds."""
        return int(self.positions.max())

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store k and v (1, G, N, d) in the lanes' slots and attend q (1, H, N, d). -> (1, H, N, d)."""
        store = self._tails.store[layer]
        if self._alone is not None:
            slot, places = self._alone
            store[0, slot, :, places] = k[0]
            store[1, slot, :, places] = v[0]
        else:
            store[0][self._slots, :, self._own] = k[0].transpose(0, 1)
            store[1][self._slots, :, self._own] = v[0].transpose(0, 1)
        own_out, own_lse = self._over_tails(store, q)
        outs = []
        for family in self._families:
            span = slice(family.start, family.stop)
            some = q[:, :, span]
            cache = family.cache
            parts: list[Part] = [(own_out[:, :, span], own_lse[:, :, span])]
            for strip in cache.held(layer, family.common):
                parts += over_past(some, *strip, cache.pool.scratch)
            if family.later is not None:
                at = 0
                for keys, values in cache.held(layer, family.common + family.later.shape[3], family.common):
                    part = family.later[..., at : at + keys.shape[2]]
                    parts.append(seen(some, keys, values, part))
                    at += keys.shape[2]
            outs.append(mixed(parts))
        return outs[0] if len(outs) == 1 else torch.cat(outs, 2)

    def advance(self, n: int) -> None:
        """Nothing: the lanes' owners count their tokens themselves."""

    def _over_tails(self, store: Tensor, q: Tensor) -> Part:
        """Each query over its lane's own tokens up to itself."""
        if self._alone is not None:
            (bucket,) = self._buckets
            keys, values = store[:, bucket.slots, :, : bucket.width]
            return own(q, keys, values, bucket.mask)
        heads, width = q.shape[1], q.shape[3]
        outs, lses = [], []
        for bucket in self._buckets:
            count, longest = bucket.tokens.shape
            some = q[0][:, bucket.tokens.flatten()].view(heads, count, longest, width).transpose(0, 1)
            keys, values = store[0, bucket.slots, :, : bucket.width], store[1, bucket.slots, :, : bucket.width]
            out, lse = own(some, keys, values, bucket.mask)
            outs.append(out.transpose(1, 2).reshape(count * longest, heads, width))
            lses.append(lse.transpose(1, 2).reshape(count * longest, heads, 1))
        out, lse = (outs[0], lses[0]) if len(outs) == 1 else (torch.cat(outs), torch.cat(lses))
        if not self._straight:
            out, lse = out[self._row], lse[self._row]
        return out.transpose(0, 1)[None], lse.transpose(0, 1)[None]

    def _bucket(self, lanes: Sequence[Lane], starts: Sequence[int]) -> _Bucket:
        like = self._tails.store
        longest = max(lane.count for lane in lanes)
        steps = torch.arange(longest)
        counts = torch.tensor([lane.count for lane in lanes])
        within = torch.minimum(steps[None], counts[:, None] - 1)
        upto = (torch.tensor([lane.held for lane in lanes])[:, None] + within).to(like.device)
        width = int(upto.max()) + 1
        visible = torch.arange(width, device=like.device) <= upto[..., None]
        slots = [lane.slot for lane in lanes]
        ordered = slots == list(range(slots[0], slots[0] + len(slots)))
        return _Bucket(
            (torch.tensor(list(starts))[:, None] + within).to(like.device),
            slice(slots[0], slots[0] + len(slots)) if ordered else torch.tensor(slots, device=like.device),
            width,
            None if bool(visible.all()) else bias(visible, like)[:, None],
        )


def _alike(counts: Sequence[int]) -> list[list[int]]:
    """Indices of lanes in groups in which none is more than twice as long as another, as padding costs time."""
    groups: dict[int, list[int]] = {}
    for index, count in enumerate(counts):
        groups.setdefault((count - 1).bit_length(), []).append(index)
    return list(groups.values())
