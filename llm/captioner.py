"""Captions from token pairs alone: many memories of one frame at once, each told by what its proposals agree on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm.agreement import Rarity, agreed
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import mark_text
from llama_vid.llm.prompts import CAPTION_SUFFIX
from llama_vid.llm.proposals import DRAWS, proposing
from llama_vid.llm.session import embed_segments
from llama_vid.llm.steps import finished
from llama_vid.tokenizer.pair import TokenPair

BATCH: Final = 16  # memories at once: 400 sentences fill two cores; more gain nothing


def captions(
    model: LanguageModel, pairs: Sequence[TokenPair], *, rarity: Rarity | None = None, draws: int = DRAWS
) -> list[str]:
    """One sentence for each pair: of the greedy one and `draws` drawn ones that which the others agree with most."""
    return continued(model, [caption_prompt(model, pair) for pair in pairs], rarity=rarity, draws=draws)


def continued(
    model: LanguageModel, prompts: Sequence[Tensor], *, rarity: Rarity | None = None, draws: int = DRAWS
) -> list[str]:
    """As `captions`, for prompts (n, D), all of one length, that ask for a caption. No draws: the greedy sentence."""
    out: list[str] = []
    for at in range(0, len(prompts), BATCH):
        found = finished(proposing(model, torch.stack(list(prompts[at : at + BATCH])), draws=draws))
        out.extend(agreed(proposals, rarity) for proposals in found)
    return out


def caption_prompt(model: LanguageModel, pair: TokenPair) -> Tensor:
    """A memory of one frame and the words that ask for its caption, embedded (n, D)."""
    return embed_segments(model, [mark_text(0.0), pair, CAPTION_SUFFIX])
