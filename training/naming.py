"""The warm start's loss: a token's product with the language model's word embeddings picks its captions' words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEWEST, MOST = 8, 2500  # photos whose captions hold a word: rarer ones cannot be learned, commoner ones say nothing


def word_bags(
    captions: Mapping[int, Sequence[str]], encode: Callable[[str], list[int]], index: Tensor
) -> dict[int, list[int]]:
    """For each photo the vocabulary rows of its captions' tokens; `index` maps token ids to rows (negative: none)."""
    bags = {}
    for photo, texts in captions.items():
        rows = {int(index[token]) for text in texts for token in encode(" " + text.rstrip(" ."))}
        bags[photo] = sorted(row for row in rows if row >= 0)
    return bags


class NamingLoss(nn.Module):
    """Binary cross-entropy over words for both tokens of a photo, and a pull of the tokens' length towards `norm`.

    `words` (V, D) are unit-length embeddings of the vocabulary, `bags` the rows that each photo's captions name.
    """

    def __init__(self, words: Tensor, bags: Mapping[int, Sequence[int]], norm: float) -> None:
        super().__init__()
        counts = np.zeros(len(words))
        for bag in bags.values():
            counts[list(bag)] += 1
        self.bags, self.norm, self.size = bags, norm, len(words)
        self.useful = torch.from_numpy((counts >= FEWEST) & (counts < MOST))
        self.words = words[self.useful]
        chance = np.log((counts + 0.5) / (len(bags) - counts + 0.5))
        self.bias = nn.Parameter(torch.from_numpy(chance).float())
        self.scale = nn.Parameter(torch.tensor(8.0))

    def forward(self, pairs: Tensor, photos: Sequence[int]) -> Tensor:
        """The loss of the tokens (B, 2, D) of B photos."""
        target = torch.zeros(len(photos), self.size)
        for row, photo in enumerate(photos):
            target[row, list(self.bags[photo])] = 1.0
        loss = torch.zeros(())
        for half in (0, 1):
            logits = self.scale * F.normalize(pairs[:, half], dim=-1) @ self.words.T * 4 + self.bias[self.useful]
            loss = loss + F.binary_cross_entropy_with_logits(logits, target[:, self.useful]) * 100
        length: Tensor = ((pairs.norm(dim=-1) / self.norm - 1) ** 2).mean()
        return loss + length
