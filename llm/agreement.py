"""The sentence that other proposals agree with most: what is said again and again is likely seen.

Of the sentences that a language model proposes, the one is taken whose words and pairs of words most of the draws
share, rare ones weighing more than common ones, sentences of other lengths counting less: the likeliest under the
measure by which captions are judged, rather than the likeliest to be said (minimum Bayes risk: Kumar & Byrne 2004,
https://aclanthology.org/N04-1022; of captions: Vedantam et al. 2015, https://arxiv.org/abs/1411.5726).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.errors import BundleError
from llama_vid.llm.proposals import Proposal

#: What single words and pairs of words count; triples gain nothing for so few draws (Flickr8k dev).
GRAMS: Final = (1.0, 1.0)
LENGTH: Final = 3.0  # words: a sentence that much longer or shorter counts 0.6
LEVELS: Final = 255  # steps that a weight of the table has
KEYS, WEIGHTS = "keys", "weights"

_WORD: Final = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def grams(text: str, longest: int = len(GRAMS)) -> list[Counter[str]]:
    """The words of a text, lower-cased, its pairs of words, …: how often each occurs."""
    words = _WORD.findall(text.lower())
    return [
        Counter(" ".join(words[at : at + count]) for at in range(len(words) - count + 1))
        for count in range(1, longest + 1)
    ]


class Rarity:
    """How rare words and pairs of words are in captions, 0 (in all) … 1 (in one or none of them).

    The table holds no words: `keys` (N,) int32 are hashes, sorted, `weights` (N,) uint8 their rarity in LEVELS steps;
    what it lacks is rare.
    """

    def __init__(self, keys: Tensor, weights: Tensor) -> None:
        self._known: dict[int, float] = dict(
            zip(keys.tolist(), (weights.double() / LEVELS).tolist(), strict=True),
        )

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], source: str) -> Rarity:
        """From the tensors of a bundle's table. Raises BundleError, which names `source`."""
        keys, weights = tensors.get(KEYS), tensors.get(WEIGHTS)
        if (
            keys is None or weights is None or keys.dtype != torch.int32 or weights.dtype != torch.uint8
            or keys.dim() != 1 or keys.shape != weights.shape
        ):  # fmt: skip
            raise BundleError(
                f"{source} is no table of how rare words are (int32 keys and as many uint8 weights); "
                "make it again: python -m training.rarity"
            )
        return cls(keys, weights)

    @staticmethod
    def counted(documents: Sequence[Sequence[str]], *, fewest: int) -> dict[str, Tensor]:
        """The table's tensors from documents of captions each; what is in fewer than `fewest` documents is left out."""
        found: Counter[str] = Counter()
        for captions in documents:
            found.update({gram for text in captions for kind in grams(text) for gram in kind})
        most = math.log(max(2, len(documents)))
        table = {
            hashed(gram): round(LEVELS * math.log(len(documents) / count) / most)
            for gram, count in found.items()
            if count >= fewest
        }
        keys = sorted(table)
        return {
            KEYS: torch.tensor(keys, dtype=torch.int32),
            WEIGHTS: torch.tensor([table[key] for key in keys], dtype=torch.uint8),
        }

    def weight(self, gram: str) -> float:
        """The rarity of a word or of words joined by spaces."""
        return self._known.get(hashed(gram), 1.0)


def hashed(gram: str) -> int:
    """The table's key of a gram: four bytes, of which few in a million meet another's."""
    return int.from_bytes(hashlib.blake2b(gram.encode(), digest_size=4).digest(), "little", signed=True)


def agreement(proposals: Sequence[Proposal], rarity: Rarity | None = None) -> list[float]:
    """How much the draws agree with each proposal, 0…1; without a table all words weigh the same."""
    if not proposals:
        return []
    counts = [grams(proposal.text) for proposal in proposals]
    length = torch.tensor([float(kinds[0].total()) for kinds in counts])
    alike = torch.zeros(len(proposals), len(proposals))
    for number, share in enumerate(GRAMS):
        names = {gram: at for at, gram in enumerate(dict.fromkeys(g for kinds in counts for g in kinds[number]))}
        vectors = torch.zeros(len(proposals), max(1, len(names)))
        for row, kinds in enumerate(counts):
            for gram, times in kinds[number].items():
                vectors[row, names[gram]] = times
        if rarity is not None and names:
            vectors *= torch.tensor([rarity.weight(gram) for gram in names])
        vectors = F.normalize(vectors, dim=-1)
        alike += share / sum(GRAMS) * (vectors @ vectors.T)
    alike *= (-((length[:, None] - length) ** 2) / (2 * LENGTH**2)).exp()
    shares = torch.tensor([proposal.share for proposal in proposals])
    found: list[float] = (alike @ shares / shares.sum()).tolist()
    return found


def agreed(proposals: Sequence[Proposal], rarity: Rarity | None = None) -> str:
    """The text of the proposal that the draws agree with most; "" of none."""
    scores = agreement(proposals, rarity)
    return max(zip(proposals, scores, strict=True), key=lambda pair: pair[1])[0].text if proposals else ""
