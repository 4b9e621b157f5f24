"""How likely the language model finds texts behind a prompt: what multiple choice and log-likelihood tasks compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from llama_vid.errors import QuestionError
from llama_vid.llm.attention import causal, over_joined
from llama_vid.llm.language import LanguageModel

#: Tokens of texts that one forward reads, padding included.
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
    texts_longest = max(map(len, ids), default=0)
    if not texts_longest:
        return [Likelihood(0.0, 0, True)] * len(ids)
    count = max(1, AT_ONCE // texts_longest)
    behind = _Prompt()
    with torch.inference_mode():
        last = model.forward(prompt[None], behind)[:, -1:]
        found: list[Likelihood] = []
        for at in range(0, len(ids), count):
            found += _together(model, behind, last, ids[at : at + count])
    return found


def _together(model: LanguageModel, behind: _Prompt, last: Tensor, texts: Sequence[Sequence[int]]) -> list[Likelihood]:
    """The likelihoods of texts behind a prompt that was read; `last` (1, 1, D) is the state of its last token."""
    longest = max(map(len, texts))
    hidden = last.expand(len(texts), -1, -1)
    if longest > 1:
        # Padding stands behind a text, where causal attention does not see it. Nothing follows a text's last token.
        rows = [model.embed([*text[:-1], *[0] * (longest - max(1, len(text)))]) for text in texts]
        hidden = torch.cat([hidden, model.forward(torch.stack(rows), behind)], 1)
    found = []
    for row, text in zip(hidden, texts, strict=True):
        if not text:
            found.append(Likelihood(0.0, 0, True))
            continue
        scores = model.logits(row[: len(text)]).log_softmax(-1)
        wanted = torch.as_tensor(text, dtype=torch.long, device=scores.device)
        total = float(scores.gather(1, wanted[:, None]).sum())
        found.append(Likelihood(total, len(text), bool((scores.argmax(-1) == wanted).all())))
    return found


class _Prompt:
    """Keys and values of a prompt that was read once, for all the texts behind it (an `AttentionCache`)."""

    def __init__(self) -> None:
        self._held: list[tuple[Tensor, Tensor]] = []
        self._length = 0

    @property
    def length(self) -> int:
        """The prompt's tokens."""
        return self._length

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The prompt first, then texts side by side, each behind it: q (b, H, n, d), k and v (b, G, n, d)."""
        if layer == len(self._held):
            self._held.append((k, v))
            return causal(q, k, v)
        keys, values = (part.expand(len(q), -1, -1, -1) for part in self._held[layer])
        return over_joined(q, [(keys, values)], (k, v))

    def advance(self, n: int) -> None:
        """Count the prompt's tokens; those of texts are not kept."""
        self._length = self._length or n
