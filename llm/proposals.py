"""Sentences that a language model proposes for memories side by side, each with how likely it is to be said.

Sentences are drawn by arithmetic sampling: each draw is a point in 0…1 which, read as an arithmetic code, spells a
sentence, and the points lie evenly. Draws are then as varied as the model is unsure and the same every time; equal
beginnings are read once. Source: Vilnis et al. 2023, https://arxiv.org/abs/2210.15458.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm.attention import causal
from llama_vid.llm.language import LanguageModel

LONGEST: Final = 24  # tokens: a caption of 12 words takes about 14
TOP: Final = 32  # tokens that a draw chooses from: at TEMPERATURE the rest is said once in thousands of sentences
DRAWS: Final = 16  # evenly spread over what the model may say; 24 gain little, and the likeliest comes on top
TEMPERATURE: Final = 0.65  # rather what is likely


@dataclass(frozen=True, slots=True)
class Proposal:
    """A sentence, and the share of the draws that spelt it, 0…1."""

    text: str
    share: float


def proposing(
    model: LanguageModel, prompts: Tensor, *, draws: int = DRAWS, temperature: float = TEMPERATURE
) -> Generator[None, None, list[list[Proposal]]]:
    """Different sentences for each of the prompts (B, n, D), all read at once: the greedy one first, then drawn ones.

    `temperature` sharpens (below 1) what is drawn from. Yields after each token, so that other work can go between.
    """
    count, width = len(prompts), 1 + draws
    # One row for each beginning of a sentence; `at` (B · width,) says which of them a draw is spelling.
    ids = torch.zeros(count, 0, dtype=torch.long)
    at = torch.arange(count).repeat_interleave(width)
    code = ((torch.arange(width, dtype=torch.float64) - 0.5) / max(1, draws)).repeat(count)
    code[::width] = 0.0  # always the likeliest token
    draw = torch.arange(count * width)
    ends = torch.tensor(sorted(model.eos))
    said: list[str] = [""] * (count * width)
    cache = Rows()
    hidden = model.forward(prompts, cache)[:, -1]
    while True:
        with torch.inference_mode():
            logits = model.logits(hidden)
            top = logits.topk(min(TOP, logits.shape[-1]), -1)
            rank, code = _spelt(top.values, at, code, temperature)
            token = top.indices.cpu()[at, rank]
            over = torch.isin(token, ends)
            rows = torch.stack([at, token], 1)
            beginnings, at = torch.unique(rows, dim=0, return_inverse=True)
            ids = torch.cat([ids[beginnings[:, 0]], beginnings[:, 1:]], 1)
            if ids.shape[1] == LONGEST:
                over[:] = True
            texts = {row: text_of(model, ids[row]) for row in set(at[over].tolist())}
            for number, row in zip(draw[over].tolist(), at[over].tolist(), strict=True):
                said[number] = texts[row]
            draw, code = draw[~over], code[~over]
            kept, at = torch.unique(at[~over], return_inverse=True)
            if not len(draw):
                return [counted(said[first : first + width]) for first in range(0, count * width, width)]
            ids = ids[kept]
            cache.pick(beginnings[kept, 0])
        hidden = model.forward(model.embed(ids[:, -1].tolist())[:, None], cache)[:, -1]
        yield


def _spelt(top: Tensor, at: Tensor, code: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Which of the likeliest tokens each draw takes, (R,), and its point within that token's stretch of 0…1."""
    share = (top.double().cpu() / temperature).softmax(-1)
    upper = share.cumsum(-1)[at]
    rank = (upper < code[:, None]).sum(-1).clamp(max=share.shape[-1] - 1)
    own = share[at].gather(1, rank[:, None])[:, 0]
    lower = upper.gather(1, rank[:, None])[:, 0] - own
    return rank, ((code - lower) / own).clamp(0.0, 1.0)


def counted(said: Sequence[str]) -> list[Proposal]:
    """Different sentences out of all that were said, with their shares; the first one first."""
    texts = dict.fromkeys(text for text in said if text)
    return [Proposal(text, said.count(text) / len(said)) for text in texts]


class Rows:
    """Keys and values of prompts that several sentences go on from side by side (an `AttentionCache`)."""

    def __init__(self) -> None:
        self._held: list[tuple[Tensor, Tensor]] = []
        self._length = 0

    @property
    def length(self) -> int:
        """Tokens that each sentence holds, prompt included."""
        return self._length

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The prompts first, then one token of every sentence: q (b, H, 1, d), k and v (b, G, 1, d)."""
        if layer == len(self._held):
            self._held.append((k, v))
        else:
            keys, values = self._held[layer]
            k, v = torch.cat([keys, k], 2), torch.cat([values, v], 2)
            self._held[layer] = (k, v)
        return causal(q, k, v)

    def pick(self, rows: Tensor) -> None:
        """Go on with these rows (b,), in this order, repeated or left out."""
        self._held = [
            (k.index_select(0, rows.to(k.device)), v.index_select(0, rows.to(v.device))) for k, v in self._held
        ]

    def advance(self, n: int) -> None:
        """Count n new tokens of each sentence."""
        self._length += n


def text_of(model: LanguageModel, row: Tensor) -> str:
    """The text of token ids (n,) up to the first control token, on one line."""
    kept: list[int] = []
    for token in row.tolist():
        if model.is_control(token):
            break
        kept.append(token)
    return " ".join(model.detokenize(kept).split())
