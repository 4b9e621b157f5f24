"""How evidence becomes a yes: what the pictures score and what the language model reads in the tokens, fused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

BELOW_BEST: Final = 1.5  # z-scores below the best frame that still count as the thing asked for


@dataclass(frozen=True, slots=True)
class Calibration:
    """p(yes) = sigmoid(image · z_best + mean · z_mean + tokens · margin + bias).

    `z_best` and `z_mean` are image-text z-scores over the frames (best, and mean of the best quarter), `margin` the
    language model's score of yes minus no, from which `tokens_bias` is taken first: it alone decides on the token
    route. `present` is the z-score from which one frame counts as showing what is asked for. Where regions of the best
    frames were looked at, the weights `closer_…` stand in, with `closer_regions` for the regions' z-score; at 0 (a
    bundle that was not calibrated for them) nothing is looked at closer. Fitted on even-numbered dev clips.
    """

    image: float = 0.6
    mean: float = 0.3
    tokens: float = 0.5
    bias: float = -1.8
    tokens_bias: float = 0.0
    present: float = 1.8
    closer_image: float = 0.0
    closer_mean: float = 0.0
    closer_tokens: float = 0.0
    closer_regions: float = 0.0
    closer_bias: float = 0.0

    def floor(self, best: float) -> float:
        """The z-score from which frames count as showing what was asked for, where the best one scores `best`."""
        return max(self.present, best - BELOW_BEST)

    @property
    def looks_closer(self) -> bool:
        """Whether regions count."""
        return self.closer_regions != 0

    def probability(self, z_best: float, z_mean: float, margin: float, z_regions: float | None = None) -> float:
        """p(yes) in 0…1 from all evidence."""
        margin -= self.tokens_bias
        if z_regions is None or not self.looks_closer:
            return logistic(self.image * z_best + self.mean * z_mean + self.tokens * margin + self.bias)
        seen = self.closer_image * z_best + self.closer_mean * z_mean + self.closer_regions * z_regions
        return logistic(seen + self.closer_tokens * margin + self.closer_bias)

    def of_tokens(self, margin: float) -> float:
        """p(yes) in 0…1 from the language model's margin alone."""
        return logistic(margin - self.tokens_bias)


def logistic(x: float) -> float:
    """1 / (1 + e^-x) without overflow."""
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, x))))
