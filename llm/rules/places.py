"""Which regions of a frame lie in a rule's zone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm.rules.rule import Zone
from llama_vid.tokenizer.regions import ACROSS, blocks

INSIDE: Final = 0.5  # the share of a region that must lie in a zone


@dataclass(frozen=True, slots=True)
class Places:
    """A zone as regions and patches: `regions` are numbers of the frame's own, `block` the patches (n,) of one made for
    a zone that is smaller than any, `patches` all that lie in the zone."""

    regions: tuple[int, ...]
    patches: Tensor
    block: Tensor | None = None


def places_of(zone: Zone, patches: int) -> Places | None:
    """The places of a zone in a square map of so many patches; None for a map that has no regions."""
    own = blocks(patches)
    if own is None:
        return None
    side = math.isqrt(patches)
    inside = torch.tensor([zone.holds((at % side + 0.5) / side, (at // side + 0.5) / side) for at in range(patches)])
    share = inside[own].float().mean(1)
    regions = tuple((share >= INSIDE).nonzero().flatten().tolist())
    numbers = inside.nonzero().flatten()
    if regions:
        return Places(regions, numbers)
    # Smaller than a region: one of the usual size around its middle, so that scores mean the same.
    size = side // ACROSS
    x = sum(corner[0] for corner in zone.corners) / len(zone.corners)
    y = sum(corner[1] for corner in zone.corners) / len(zone.corners)
    left, top = (min(side - size, max(0, round(middle * side - size / 2))) for middle in (x, y))
    block = torch.tensor([(top + row) * side + left + column for row in range(size) for column in range(size)])
    return Places((), numbers if len(numbers) else block, block)
