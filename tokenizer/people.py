"""Is there a person? A small probe on the patch features, for the thing that cameras are asked about most.

The image-text head has learned from captions, and nearly every captioned photo shows people: for it "a person" is what
all pictures have in common, and says nothing. The probe was taught by those captions that name nobody
(`training/people.py`), and by mosaics of small photos, so that it also knows people who are small in the picture. Its
odds of a frame are the soft maximum over the patches (multiple-instance learning, Maron & Lozano-Pérez 1997).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final, Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.errors import BundleError

#: How sharp the soft maximum over patches is.
SHARPNESS: Final = 4.0
#: Log odds by which video must speak clearer than photos: roads, rooms and screens are in few photos without people.
#: Fitted on even-numbered clips.
WARY: Final = 2.0
KEYS: Final = ("linear", "linear_bias", "inner", "inner_bias", "outer", "outer_bias", "scale", "shift")

_ANYBODY: Final = (
    r"(?:persons?|people|someone|somebody|anyone|anybody|humans?|human beings?|pedestrians?|visitors?|strangers?"
    r"|intruders?|passers?-?by)"
)
_SOMEBODY: Final = r"(?:m[ae]n|wom[ae]n|boys?|girls?|child|children|kids?|adults?|guys?|lad(?:y|ies)|teenagers?)"
_BEFORE: Final = r"(?:(?:an?|the|any|some|one|two|three|several|many|a few|a group of|other|unknown|strange)\s+)*"
_PLACE: Final = (
    r"(?:\s+(?:in|on|at|near|by|behind|inside|outside|beside|in front of|next to|there|here|visible|present)\b.*)?"
)
_ONLY: Final = re.compile(rf"{_BEFORE}(?:(?P<any>{_ANYBODY})|(?P<some>{_SOMEBODY})){_PLACE}", re.IGNORECASE)
_WITH: Final = re.compile(rf"{_BEFORE}(?:{_ANYBODY}|{_SOMEBODY})\b", re.IGNORECASE)
Named = Literal["anybody", "somebody", "doing", ""]


def names_people(text: str) -> Named:
    """Whether a text asks for `anybody` ("a person at the door"), for `somebody` of a sort ("a man"), for people
    who are `doing` something ("someone cooking"), or for something else ("").
    """
    text = " ".join(text.split()).rstrip(".")
    if found := _ONLY.fullmatch(text):
        return "anybody" if found["any"] else "somebody"
    return "doing" if _WITH.match(text) else ""


class PeopleProbe:
    """The log odds that people are in frames, from patch features (B, P, C). Raises BundleError for wrong tensors."""

    def __init__(self, tensors: Mapping[str, Tensor], origin: str = "people") -> None:
        if missing := [key for key in KEYS if key not in tensors]:
            raise BundleError(f"{origin} lacks {', '.join(missing)}; install the bundle again")
        self._parts = {key: tensors[key].float() for key in KEYS}
        self.channels = int(self._parts["linear"].shape[0])

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor] | None, origin: str, channels: int) -> Self | None:
        """The probe of a bundle; None without one. Raises BundleError if it is for another tower."""
        if tensors is None:
            return None
        probe = cls(tensors, origin)
        if probe.channels != channels:
            raise BundleError(f"{origin} is for {probe.channels} channels, the tower has {channels}; train it again")
        return probe

    def each(self, patches: Tensor) -> Tensor:
        """What speaks for a person in every patch (B, P), on no scale of its own."""
        part = {key: value.to(patches.device) for key, value in self._parts.items()}
        x = patches.float()
        straight = x @ part["linear"] + part["linear_bias"]
        inner = F.gelu(x @ part["inner"].T + part["inner_bias"])
        total: Tensor = straight + inner @ part["outer"] + part["outer_bias"]
        return total

    def odds(self, patches: Tensor, inside: Tensor | None = None) -> Tensor:
        """The log odds (B,) of people in frames, or in the patches numbered `inside` alone."""
        return self.odds_of(self.each(patches), inside)

    def odds_of(self, each: Tensor, inside: Tensor | None = None) -> Tensor:
        """As `odds`, of what speaks for a person in every patch (B, P)."""
        if inside is not None:
            each = each[:, inside.to(each.device)]
        return self.scaled(self.pooled(each)) - WARY

    def scaled(self, pooled: Tensor) -> Tensor:
        """Soft maxima as log odds, as captioned photos have them."""
        return pooled * float(self._parts["scale"]) + float(self._parts["shift"])

    @staticmethod
    def pooled(each: Tensor) -> Tensor:
        """The soft maximum (B,) over patches (B, P)."""
        return (torch.logsumexp(each * SHARPNESS, -1) - math.log(each.shape[-1])) / SHARPNESS
