"""The figures: accuracy, area under the ROC curve, recall at k, and an even choice of a few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")


def spread(items: Sequence[T], limit: int | None) -> list[T]:
    """`limit` of the items, evenly spread over them in their order; all of them if `limit` is None or larger."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[index * len(items) // limit] for index in range(limit)]


def accuracy(right: Sequence[bool]) -> float | None:
    """The share that is right; None of nothing."""
    return sum(right) / len(right) if right else None


def auc(scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    """Area under the ROC curve: how often a positive outscores a negative, ties counting half. None without both."""
    positives = np.array([s for s, label in zip(scores, labels, strict=True) if label], dtype=np.float64)
    negatives = np.array([s for s, label in zip(scores, labels, strict=True) if not label], dtype=np.float64)
    if not len(positives) or not len(negatives):
        return None
    above = (positives[:, None] > negatives[None]).sum() + 0.5 * (positives[:, None] == negatives[None]).sum()
    return float(above / (len(positives) * len(negatives)))


def average_precision(scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    """Mean of the precision at each positive, best score first; of equal scores the negatives come first, so that they
    earn nothing. None without a positive.
    """
    ranked = sorted(zip(scores, labels, strict=True), key=lambda pair: (-pair[0], pair[1]))
    precisions, found = [], 0
    for rank, (_, label) in enumerate(ranked, 1):
        if label:
            found += 1
            precisions.append(found / rank)
    return sum(precisions) / found if found else None


def first_hits(
    scores: npt.NDArray[np.floating], owners: npt.NDArray[np.integer], wanted: npt.NDArray[np.integer]
) -> npt.NDArray[np.intp]:
    """For each query, the rank (from 0) of its best item.

    `scores` (queries, items); `owners` (items,) says whose each item is, `wanted` (queries,) whose items are right.
    Wrong items of the same score count as ranked before it, so that equal scores earn nothing.
    """
    ranks = np.empty(len(scores), dtype=np.intp)
    for query, row in enumerate(scores):
        mine = owners == wanted[query]
        ranks[query] = int(((row >= row[mine].max()) & ~mine).sum())
    return ranks


def recall(ranks: Sequence[int] | npt.NDArray[np.intp], k: int) -> float | None:
    """Recall at k: the share of queries whose rank (from 0) is below k."""
    return float(np.mean(np.asarray(ranks) < k)) if len(ranks) else None
