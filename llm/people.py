"""Questions about people: what the people probe finds in some frames decides whether anybody is there."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm.calibration import logistic
from llama_vid.llm.evidence import best_and_spread
from llama_vid.llm.inquiry import Inquiry
from llama_vid.tokenizer.people import names_people

#: Frames that are looked at: half spread evenly, half those that match best.
LOOKED_AT: Final = 8
#: The log odds that one frame can add to the score by which evidence is chosen.
MOST: Final = 3.0
#: Log odds that a man, a woman or a child may lack by pictures and tokens where somebody is there.
SORT: Final = 1.0


def weighed(inquiry: Inquiry, text: str, z: Tensor, probability: float) -> tuple[float, Tensor]:
    """p(yes) and the frames' scores (N,), with what the probe says; as they are for a text that names no people."""
    named = names_people(text)
    if named not in ("anybody", "somebody"):
        return probability, z
    chosen = best_and_spread(z, LOOKED_AT)
    odds = inquiry.watched.people([inquiry.entries[index].start for index in chosen])
    if odds is None or len(odds) != len(chosen):
        return probability, z
    z = z.clone()
    z[torch.tensor(chosen)] += odds.clamp(-MOST, MOST)
    somebody = float(odds.topk(min(2, len(odds))).values[-1])  # one frame may err
    if named == "anybody":
        return logistic(somebody), z
    p = min(1 - 1e-6, max(1e-6, probability))
    return logistic(min(somebody, math.log(p / (1 - p)) + SORT)), z
