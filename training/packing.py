"""Several questions about one memory, and several memories, packed into rows of one fixed length.

An item is a prefix (time marks and token pairs) with segments behind it (a suffix and its target each). A segment sees
the prefix and itself, never its neighbours, and its positions go on from the prefix: what the model computes is what it
would compute for each question alone, but the memory is read once and no row is padded. The fixed shape lets the step
compile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IGNORED = -1
PAIR = -2  # in `ids`: a slot that one of a frame's tokens fills


@dataclass(frozen=True, slots=True)
class Segment:
    """A suffix and its target, as token ids; `weight` multiplies the loss of the target's first token."""

    suffix: Sequence[int]
    target: Sequence[int]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Item:
    """A memory and what is asked of it. `prefix` holds token ids and, as ~number, the frames by their number."""

    prefix: Sequence[int]
    segments: Sequence[Segment]


@dataclass(frozen=True, slots=True)
class Rows:
    """R packed rows of N slots: token ids (PAIR where a pair's half goes), positions, additive attention mask, labels.

    `slots` (K, 2) are the (row, column) of the frames' tokens and `frames` (K,) the rows of the tokens' table (with two
    a frame: 2·frame for the context token, 2·frame + 1 for the motion token).
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor
    labels: Tensor
    weights: Tensor
    slots: Tensor
    frames: Tensor


class Packer:
    """Fills rows with items until the next one does not fit; `per_frame` tokens stand for a frame."""

    def __init__(self, rows: int, length: int, per_frame: int = 2) -> None:
        self.rows, self.length, self.per_frame = rows, length, per_frame
        self._items: list[list[Item]] = [[] for _ in range(rows)]
        self._used = [0] * rows

    def size(self, item: Item) -> int:
        """Slots that an item takes."""
        prefix = sum(self.per_frame if token < 0 else 1 for token in item.prefix)
        return prefix + sum(len(s.suffix) + len(s.target) - 1 for s in item.segments)

    def add(self, item: Item) -> bool:
        """Put the item into the fullest row where it fits; False if none has room."""
        size = self.size(item)
        fits = [row for row in range(self.rows) if self._used[row] + size <= self.length]
        if not fits:
            return False
        row = max(fits, key=lambda r: self._used[r])
        self._items[row].append(item)
        self._used[row] += size
        return True

    def finish(self) -> Rows:
        """The packed rows."""
        shape = (self.rows, self.length)
        ids, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        labels, weights = torch.full(shape, IGNORED), torch.zeros(shape)
        owner = torch.full(shape, -1)
        part = torch.zeros(shape, dtype=torch.long)
        slots: list[tuple[int, int]] = []
        frames: list[int] = []
        for row, items in enumerate(self._items):
            at = 0
            for number, item in enumerate(items):
                begin = at
                for token in item.prefix:
                    if token >= 0:
                        ids[row, at] = token
                        at += 1
                        continue
                    for part_of_frame in range(self.per_frame):
                        ids[row, at] = PAIR
                        slots.append((row, at))
                        frames.append(self.per_frame * ~token + part_of_frame)
                        at += 1
                prefix_end = at
                positions[row, begin:at] = torch.arange(at - begin)
                for count, segment in enumerate(item.segments, 1):
                    tokens = [*segment.suffix, *segment.target]
                    n = len(tokens) - 1  # the last target token is only ever predicted
                    ids[row, at : at + n] = torch.tensor(tokens[:-1])
                    positions[row, at : at + n] = torch.arange(n) + prefix_end - begin
                    first = at + len(segment.suffix) - 1
                    labels[row, first : at + n] = torch.tensor(list(segment.target))
                    weights[row, first : at + n] = 1.0
                    weights[row, first] = segment.weight
                    part[row, at : at + n] = count
                    at += n
                owner[row, begin:at] = number
        same = owner.unsqueeze(2) == owner.unsqueeze(1)
        visible = (part.unsqueeze(1) == 0) | (part.unsqueeze(2) == part.unsqueeze(1))
        causal = torch.ones(self.length, self.length, dtype=torch.bool).tril()
        allowed = same & visible & causal | torch.eye(self.length, dtype=torch.bool)
        mask = torch.zeros(allowed.shape, dtype=torch.bfloat16).masked_fill_(~allowed, -1e9)
        return Rows(
            ids,
            positions,
            mask[:, None, None],
            labels,
            weights,
            torch.tensor(slots).reshape(-1, 2),
            torch.tensor(frames),
        )
