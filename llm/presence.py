"""Where a named thing most likely is when its score stands out from no background: a guess, to be told as one.

Between two changes of the picture nothing comes or goes, so a thing's stretch begins and ends where something moved or
a scene was cut. Of all such stretches within one scene the one over which the thing's score rises most is taken: the
difference of the means inside and outside, weighed by how long both last (Student's t without its variance).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.compressor import STILL

RISE: Final = 0.3  # z-scores that a stretch must rise by; less is noise
LONGEST: Final = 5.0  # seconds with which a folded entry counts at most: a long still stretch is one observation
EDGES: Final = 96  # changes that are looked at in one scene: those over which the score changes most

_SIGHT: Final = r"(?:view|sight|(?:the )?(?:picture|frame|scene|image|room|shot))"
_COMES: Final = re.compile(
    rf"^(?P<thing>.+?) (?:first )?(?:com(?:e|es|ing)|came|appears?|appeared|enters?|entered|arrives?|arrived|shows? up)"
    rf"(?: (?:into|in|to) {_SIGHT}| {_SIGHT}| in)?$"
)
_GOES: Final = re.compile(
    rf"^(?P<thing>.+?) (?:leaves?|left|leaving|disappears?|disappeared|vanish(?:es|ed)?|exits?|go(?:es)? away"
    rf"|(?:go(?:es)?|went|gone) out(?: of {_SIGHT})?)(?: {_SIGHT})?$"
)
_STAYS: Final = re.compile(rf"^(?P<thing>.+?) (?:in {_SIGHT}|on screen|visible|there|seen|shown)$")


@dataclass(frozen=True, slots=True)
class Named:
    """The thing that a question about coming and going names, and which of the two it asks about (neither: both)."""

    thing: str
    comes: bool = False
    goes: bool = False


def named(subject: str) -> Named:
    """ "the dog come into view" -> the dog, coming. What says nothing of either is the thing as it stands."""
    if match := _COMES.match(subject):
        return Named(match["thing"], comes=True)
    if match := _GOES.match(subject):
        return Named(match["thing"], goes=True)
    match = _STAYS.match(subject)
    return Named(match["thing"] if match else subject)


def likeliest(entries: Sequence[MemoryEntry], z: Tensor, wanted: Named) -> tuple[int, int] | None:
    """The entries [first, last] that most likely show what `z` (N,) scores; None if no stretch stands out.

    What `comes` is not there when its scene begins, what `goes` not when it ends.
    """
    lengths = torch.tensor([min(entry.end - entry.start, LONGEST) for entry in entries]).clamp(min=1e-3)
    weight = torch.cat([torch.zeros(1), lengths.cumsum(0)])
    total = torch.cat([torch.zeros(1), (z.float() * lengths).cumsum(0)])
    best: tuple[float, int, int] | None = None
    for begin, end in _scenes(entries):
        edges = _edges(entries, z, begin, end)
        # What comes or goes is compared with the rest of its scene, what is only there with all of memory.
        low, high = (begin, end) if wanted.comes or wanted.goes else (0, len(entries))
        for at, first in enumerate(edges[:-1]):
            if wanted.comes and first == begin:
                continue
            stops = torch.tensor([stop for stop in edges[at + 1 :] if not (wanted.goes and stop == end)])
            if not len(stops):
                continue
            inside = weight[stops] - weight[first]
            outside = weight[high] - weight[low] - inside
            rise = (total[stops] - total[first]) / inside
            rise -= (total[high] - total[low] - total[stops] + total[first]) / outside.clamp(min=1e-3)
            score = rise * (inside * outside.clamp(min=0) / (inside + outside)).sqrt()
            score[(rise < RISE) | (outside <= 1e-3)] = float("-inf")
            top = int(score.argmax())
            if score[top] > (best[0] if best else 0.0):
                best = float(score[top]), first, int(stops[top]) - 1
    return best[1:] if best else None


def _scenes(entries: Sequence[MemoryEntry]) -> list[tuple[int, int]]:
    """[begin, end) of every scene."""
    cuts = [i for i in range(1, len(entries)) if entries[i].scene != entries[i - 1].scene]
    return list(zip([0, *cuts], [*cuts, len(entries)], strict=True))


def _edges(entries: Sequence[MemoryEntry], z: Tensor, begin: int, end: int) -> list[int]:
    """Where a stretch may begin or end within a scene, both its ends included."""
    moved = [entry.energy >= STILL for entry in entries[begin:end]]
    inner = [begin + i for i in range(1, end - begin) if moved[i] or moved[i - 1]]
    if len(inner) > EDGES:
        inner = sorted(sorted(inner, key=lambda i: abs(float(z[i] - z[i - 1])), reverse=True)[:EDGES])
    return [begin, *inner, end]
