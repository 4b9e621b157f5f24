"""What alert rules cost of a frame: of one that changed, whose features are there anyway."""

from __future__ import annotations

import time
from itertools import islice, product
from statistics import median
from typing import Final

import torch

from benchmarks.wall import QUIET_SIZE, clip_images
from llama_vid.bundle import Bundle
from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.scoring import RuleScorer
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.seen import Seen

#: Rules whose cost is measured, and on how many frames.
COUNTS, SCORED = (1, 50), 20
COLOURS: Final = ("red", "blue", "white", "black", "green")
THINGS: Final = ("car", "dog", "bag", "bicycle", "chair", "box", "coat", "truck", "bottle", "cat")


def rule_costs(bundle: Bundle) -> dict[int, float]:
    """Seconds that so many rules take of a frame that changed, the median of SCORED frames; the frame's own encoding,
    which happens anyway, is not in it.
    """
    found = {}
    encoded = bundle.tower.encode(list(islice(clip_images("bikes.mp4", QUIET_SIZE), 1)))
    nothing = TokenPair(torch.zeros(1), torch.zeros(1), 0.0, held=False, cut=False)
    seen = Seen(0.0, 1.0, encoded.embedding[0], encoded.patches[0], nothing)
    for count in COUNTS:
        scorer = RuleScorer(bundle.scorer, bundle.tower)
        scorer.prepare([Rule(text, f"a {text}") for text in list(map(" ".join, product(COLOURS, THINGS)))[:count]])
        took = []
        for _ in range(SCORED):
            began = time.perf_counter()
            scorer.score(seen)
            took.append(time.perf_counter() - began)
        found[count] = median(took)
    return found
