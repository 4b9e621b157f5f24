"""`eval retrieval`: does a caption find its photo, and a photo one of its captions? Recall over Flickr8k's test split.

The figures are those of Karpathy & Fei-Fei 2015: 1,000 photos, 5,000 captions, each caption queries all photos and each
photo all captions; a photo's rank is that of its best caption. Beside them stands what the program's search makes of it
(`llm/search.py`): SEARCHED captions, spread over all, whose first photos are read again by the language model, next to
the same captions by the image-text score alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from evaluation.flickr import batches, read_split
from evaluation.model import Missing, Tower, VideoModel
from evaluation.scores import first_hits, recall, spread
from llama_vid.llm.evidence import Finder
from llama_vid.llm.search import read_again
from llama_vid.tokenizer.pair import TokenPair

SEARCHED = 200  # captions that are read again: 20 photos each, a minute on two cores
PHOTOS_A_BATCH = 16  # larger gains nothing on two cores
TEXTS_A_BATCH = 128


@dataclass(frozen=True, slots=True)
class Recalls:
    """Recall at 1, 5 and 10."""

    at_1: float | None
    at_5: float | None
    at_10: float | None

    @classmethod
    def of(cls, ranks: npt.NDArray[np.intp]) -> Recalls:
        return cls(recall(ranks, 1), recall(ranks, 5), recall(ranks, 10))

    def to_json(self) -> dict[str, float | None]:
        return {"r@1": self.at_1, "r@5": self.at_5, "r@10": self.at_10}


@dataclass(frozen=True, slots=True)
class Searched:
    """Text to image over `n` captions whose first photos the language model has read again, and `without` that."""

    n: int
    recalls: Recalls
    without: Recalls

    def to_json(self) -> dict[str, Any]:
        return {"n": self.n} | self.recalls.to_json() | {"without": self.without.to_json()}


@dataclass(frozen=True, slots=True)
class RetrievalResult:
    """Both directions, what search makes of it, and chance: what a random order would reach."""

    photos: int
    captions: int
    text_to_image: Recalls
    image_to_text: Recalls
    searched: Searched | Missing

    def to_json(self) -> dict[str, Any]:
        chance = {f"r@{k}": min(1.0, k / self.photos) for k in (1, 5, 10)}
        return {
            "name": "retrieval",
            "n": self.photos,
            "captions": self.captions,
            "text_to_image": self.text_to_image.to_json(),
            "image_to_text": self.image_to_text.to_json(),
            "searched": self.searched.to_json(),
            "baselines": {"chance": {"text_to_image": chance}},
        }


def encode_texts(tower: Tower, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Unit-length embeddings (N, E) of the texts."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(texts), TEXTS_A_BATCH):
            parts.append(unit(tower.encode_text(list(texts[start : start + TEXTS_A_BATCH]))))
    return np.concatenate(parts)


def unit(embeddings: torch.Tensor) -> npt.NDArray[np.float32]:
    """Rows of length one, as float32."""
    rows = np.asarray(embeddings.detach().float().cpu().numpy(), dtype=np.float32)
    unit_rows: npt.NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit_rows


def evaluate_retrieval(
    model: VideoModel,
    folder: Path,
    *,
    split: str = "test",
    limit: int | None = None,
    tick: Callable[[], None] = lambda: None,
) -> RetrievalResult:
    """Run the evaluation over a split of a Flickr8k folder."""
    photos = spread(read_split(folder, split), limit)
    tower, compressor = model.bundle.tower, getattr(model.bundle, "compressor", None)
    find = getattr(getattr(model, "responder", None), "find", None)
    embeddings, pairs = [], list[TokenPair]()
    with torch.inference_mode():
        for batch in batches(photos, PHOTOS_A_BATCH, tick):
            encoded = tower.encode(batch)
            embeddings.append(unit(encoded.embedding))
            if compressor is not None:
                pairs += compressor.run(compressor.begin(), encoded, gaps=[True] * len(batch))[1]
    images = np.concatenate(embeddings)
    texts = [caption for photo in photos for caption in photo.captions]
    owners = np.repeat(np.arange(len(photos)), [len(photo.captions) for photo in photos])
    scores = encode_texts(tower, texts) @ images.T
    searched: Searched | Missing = Missing("this model does not search by tokens")
    if isinstance(find, Finder) and pairs:
        chosen = np.array(spread(range(len(texts)), SEARCHED))
        read = np.stack([_searched(find, texts[number], scores[number], pairs) for number in chosen])
        everyone = np.arange(len(photos))
        searched = Searched(
            len(chosen),
            Recalls.of(first_hits(read, everyone, owners[chosen])),
            Recalls.of(first_hits(scores[chosen], everyone, owners[chosen])),
        )
    return RetrievalResult(
        photos=len(photos),
        captions=len(texts),
        text_to_image=Recalls.of(first_hits(scores, np.arange(len(photos)), owners)),
        image_to_text=Recalls.of(first_hits(scores.T, owners, np.arange(len(photos)))),
        searched=searched,
    )


def _searched(
    find: Finder, text: str, cosines: npt.NDArray[np.float32], pairs: Sequence[TokenPair]
) -> npt.NDArray[np.float32]:
    """The photos' z-scores (N,) for a text, as the program's search has them."""
    z = torch.from_numpy(cosines / float(find.scorer.plain(text).deviation[0]))
    found: npt.NDArray[np.float32] = read_again(find, z, pairs, text).numpy()
    return found
