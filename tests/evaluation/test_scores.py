"""The figures on inputs whose answers are known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.scores import accuracy, auc, first_hits, recall, spread


def test_auc_by_hand() -> None:
    assert auc([0.9, 0.8, 0.3, 0.1], [True, True, False, False]) == 1.0
    assert auc([0.1, 0.9], [True, False]) == 0.0
    assert auc([0.5, 0.5], [True, False]) == 0.5
    assert auc([0.9, 0.4, 0.6, 0.1], [True, True, False, False]) == 0.75
    assert auc([0.5], [True]) is None


def test_accuracy() -> None:
    assert accuracy([True, False, True, True]) == 0.75
    assert accuracy([]) is None


def test_first_hits_counts_ties_against() -> None:
    scores = np.array([[0.9, 0.5, 0.1], [0.5, 0.5, 0.5], [0.3, 0.2, 0.9]])
    owners = np.array([0, 1, 2])
    ranks = first_hits(scores, owners, np.array([0, 1, 0]))
    assert ranks.tolist() == [0, 2, 1]
    assert recall(ranks, 1) == pytest.approx(1 / 3)
    assert recall(ranks, 2) == pytest.approx(2 / 3)


def test_first_hits_takes_the_best_of_several_items() -> None:
    scores = np.array([[0.1, 0.8, 0.9, 0.7]])
    assert first_hits(scores, np.array([0, 0, 1, 1]), np.array([0])).tolist() == [1]


def test_spread_is_even_and_in_order() -> None:
    assert spread(list(range(10)), 3) == [0, 3, 6]
    assert spread([1, 2], 5) == [1, 2]
    assert spread([1, 2], None) == [1, 2]
