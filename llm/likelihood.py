"""How likely the language model finds texts behind a prompt: what multiple choice and log-likelihood tasks compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from llama_vid.errors import QuestionError
from llama_vid.llm.language import LanguageModel

#: Tokens that one forward reads, padding included: the logits of the texts are what takes memory.
AT_ONCE: Final = 2048


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The log-probability `total` of a text's `tokens` tokens, and whether greedy decoding would write just them."""

    total: float
    tokens: int
    greedy: bool

    @property
    def mean(self) -> float:
        """The log-probability of one token on average; 0 for an empty text."""
        return self.total / self.tokens if self.tokens else 0.0


def likelihoods(model: LanguageModel, prompt: Tensor, texts: Sequence[str]) -> list[Likelihood]:
    """The likelihood of each text behind a prompt (n, D), n at least 1, which is not kept.

    Raises QuestionError if prompt and text exceed the language model's context.
    """
    ids = [model.tokenize(text) for text in texts]
    longest = len(prompt) + max(map(len, ids), default=0)
    if longest > model.context:
        raise QuestionError(
            f"the question and an option take {longest} tokens, but the language model's context has {model.context}; "
            "ask a shorter question"
        )
    count = max(1, AT_ONCE // max(1, longest))
    found: list[Likelihood] = []
    for at in range(0, len(ids), count):
        found += _together(model, prompt, ids[at : at + count])
    return found


def _together(model: LanguageModel, prompt: Tensor, texts: Sequence[Sequence[int]]) -> list[Likelihood]:
    longest = max(map(len, texts))
    if not longest:
        return [Likelihood(0.0, 0, True)] * len(texts)
    # Padding stands behind a text, where causal attention does not see it.
    rows = [torch.cat([prompt, model.embed([*text, *[0] * (longest - len(text))])]) for text in texts]
    found = []
    with torch.inference_mode():
        hidden = model.forward(torch.stack(rows))[:, len(prompt) - 1 : -1]
        for row, text in zip(hidden, texts, strict=True):
            scores = model.logits(row[: len(text)]).log_softmax(-1)
            wanted = torch.as_tensor(text, dtype=torch.long, device=scores.device)
            total = float(scores.gather(1, wanted[:, None]).sum())
            found.append(Likelihood(total, len(text), bool((scores.argmax(-1) == wanted).all())))
    return found
