"""Image-text scores that mean something: against what other pictures score for the same text.

The raw cosine of a text depends on the text more than on the picture. Each phrase is therefore scored against a fixed
background of ordinary photos: z = (cosine − mean) / deviation over the background. A subject's score is the best of the
phrases through which it is looked for.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.tokenizer.phrases import PHRASES
from llama_vid.tokenizer.tower import ImageTower
from llama_vid.tokenizer.vocabulary import TEMPLATES, looked_for

KEPT: Final = 256  # texts whose embeddings are kept: rules and questions repeat
#: The best region of an ordinary photo against whole photos: the mean and deviation of its z-score, over the phrases of
#: the clips' questions and 256 COCO photos (from phrase to phrase they differ by 0.16 and 0.08).
REGION_MEAN, REGION_DEVIATION = 0.93, 0.84
#: Embeddings of texts that `each` keeps, those used last: 2,000 texts of `mini`, 8 kB each.
KNOWN_BYTES: Final = 16 << 20
BELOW: Final = 0.16  # of a normal distribution, what lies more than a deviation below the middle
LEAST_SPREAD: Final = 0.2
SCALE, SHIFT = 1.7, 2.2  # default logistic from z to a probability: z = 2.2 is even odds


@dataclass(frozen=True, slots=True)
class Query:
    """A text ready to be scored: phrase embeddings (K, E) with their mean and deviation (K,) over the background."""

    text: str
    phrases: tuple[str, ...]
    embeddings: Tensor
    mean: Tensor
    deviation: Tensor

    @property
    def guide(self) -> Tensor:
        """One unit-length embedding (E,) for the compressor's guide."""
        return F.normalize(self.embeddings.mean(0), dim=0)


class SceneScorer:
    """Scores pictures against texts. `background` (N, E) are unit-length embeddings of ordinary photos."""

    def __init__(self, tower: ImageTower, background: Tensor) -> None:
        self._tower = tower
        self._background = background.float()
        self._queries: OrderedDict[str, Query] = OrderedDict()
        self._sentences: Query | None = None
        self._known: OrderedDict[str, Tensor] = OrderedDict()  # embedding, mean, deviation (E + 2,) of texts in `each`

    @property
    def background(self) -> Tensor:
        """The embeddings (N, E) of ordinary photos that scores are held against."""
        return self._background

    def query(self, text: str, *, kinds: bool = True) -> Query:
        """The query of a text; `kinds` looks for a general word through its kinds."""
        key = f"{kinds}:{text}"
        if key in self._queries:
            self._queries.move_to_end(key)
            return self._queries[key]
        query = self._encoded(text, looked_for(text) if kinds else (text,), TEMPLATES)
        self._queries[key] = query
        if len(self._queries) > KEPT:
            self._queries.popitem(last=False)
        return query

    def plain(self, text: str) -> Query:
        """The query of one whole sentence as it stands, which is not kept."""
        return self._encoded(text, (text,), TEMPLATES[:1])

    def proposed(self, sentences: Sequence[str], image: Tensor) -> Tensor:
        """z-scores (N,) of whole sentences over one image embedding (E,), encoded together and not kept."""
        found = self._encoded("", sentences, TEMPLATES[:1])
        z: Tensor = (image.float().cpu() @ found.embeddings.T - found.mean) / found.deviation
        return z

    def told(self, image: Tensor) -> tuple[str, float]:
        """The sentence of `phrases.py` that an image embedding (E,) matches best, and its z-score."""
        if self._sentences is None:
            with torch.inference_mode():
                embeddings = self._tower.encode_text(list(PHRASES)).cpu()
                scores = embeddings @ self._background.cpu().T
            self._sentences = Query("", PHRASES, embeddings, scores.mean(1), scores.std(1).clamp(min=1e-4))
        found = self._sentences
        z = (image.float().cpu() @ found.embeddings.T - found.mean) / found.deviation
        best = int(z.argmax())
        return PHRASES[best], float(z[best])

    def each(self, texts: Sequence[str], images: Tensor) -> Tensor:
        """z-scores (N, K) of image embeddings (N, E) for each of K texts as they stand; texts' embeddings are kept."""
        rows = torch.stack(self._rows(texts))
        cosine = images.float().cpu() @ rows[:, :-2].T
        z: Tensor = (cosine - rows[:, -2]) / rows[:, -1]
        return z

    def prepare(self, texts: Sequence[str]) -> None:
        """Embed texts now that `each` will be asked for, so that it has them at hand."""
        self._rows(texts)

    def _rows(self, texts: Sequence[str]) -> list[Tensor]:
        """What `each` knows of texts (E + 2,), at least one; those that are new are embedded together."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            query = self._encoded("", new, TEMPLATES[:1])
            for text, *row in zip(new, query.embeddings, query.mean, query.deviation, strict=True):
                self._known[text] = torch.cat([row[0], torch.stack(row[1:])])
        for text in texts:
            self._known.move_to_end(text)
        rows = [self._known[text] for text in texts]
        while len(self._known) * rows[0].nbytes > KNOWN_BYTES:
            self._known.popitem(last=False)
        return rows

    def _encoded(self, text: str, phrases: Sequence[str], templates: Sequence[str]) -> Query:
        with torch.inference_mode():
            flat = self._tower.encode_text([template.format(phrase) for phrase in phrases for template in templates])
            embeddings = F.normalize(flat.view(len(phrases), len(templates), -1).mean(1), dim=-1).cpu()
            scores = embeddings @ self._background.cpu().T
        return Query(text, tuple(phrases), embeddings, scores.mean(1), scores.std(1).clamp(min=1e-4))

    def spread(self, query: Query) -> tuple[float, float]:
        """What a query scores (its best phrase) in ordinary photos that do not show it: the median over the background,
        and the deviation below it. Photos that do show it, many for some texts, move neither much.
        """
        z = self.score(query, self._background.cpu())
        middle, low = float(z.median()), float(z.quantile(BELOW))
        return middle, max(middle - low, LEAST_SPREAD)

    @staticmethod
    def score(query: Query, images: Tensor) -> Tensor:
        """z-scores (N,) of image embeddings (N, E): the best phrase's."""
        cosine = images.float() @ query.embeddings.T
        best: Tensor = ((cosine - query.mean) / query.deviation).max(-1).values
        return best

    @staticmethod
    def score_regions(query: Query, regions: Tensor) -> Tensor:
        """z-scores (N,) of frames by their regions' embeddings (N, R, E): the best region's and phrase's, against what
        the best region of an ordinary photo scores.
        """
        cosine = (regions.float() @ query.embeddings.T).max(1).values
        best: Tensor = ((cosine - query.mean) / query.deviation).max(-1).values
        return (best - REGION_MEAN) / REGION_DEVIATION


def probability(z: float | Tensor, scale: float = SCALE, shift: float = SHIFT) -> float:
    """A z-score as a probability in 0…1."""
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, scale * (float(z) - shift)))))


def smoothed(scores: Tensor, seconds: Sequence[float], window: float = 1.5) -> Tensor:
    """Scores (N,) averaged over neighbours within `window` seconds: a single odd frame counts less.

    `seconds` are in time order.
    """
    times = torch.tensor(list(seconds), dtype=torch.float64)
    first = torch.searchsorted(times, times - window)
    last = torch.searchsorted(times, times + window, right=True)
    sums = torch.cat([torch.zeros(1, dtype=torch.float64), scores.double().cumsum(0)])
    mean: Tensor = ((sums[last] - sums[first]) / (last - first)).to(scores.dtype)
    return 0.5 * scores + 0.5 * mean
