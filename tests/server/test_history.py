"""How the journal's past and the session's present become one timeline."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from llama_vid.history import HAIR_S, joined
from llama_vid.llm.answer import Span


def told(*spans: tuple[float, float, str]) -> list[Span]:
    return [Span(start, end, caption, 0.1) for start, end, caption in spans]


def shape(spans: list[Span]) -> list[tuple[float, float, str]]:
    return [(span.start, span.end, span.caption) for span in spans]


@pytest.mark.parametrize(
    ("older", "newer", "both"),
    [
        ([], [], []),
        ([(0, 4, "a")], [], [(0, 4, "a")]),
        ([], [(0, 4, "a")], [(0, 4, "a")]),
        ([(0, 4, "a"), (4, 9, "b")], [(9, 12, "c")], [(0, 4, "a"), (4, 9, "b"), (9, 12, "c")]),
        # What both have is there once, in the session's words.
        ([(0, 4, "a"), (4, 9, "b")], [(4, 9, "B"), (9, 12, "c")], [(0, 4, "a"), (4, 9, "B"), (9, 12, "c")]),
        # A scene that went on when it was told is cut where the session's begins.
        ([(0, 6, "a")], [(4, 9, "b")], [(0, 4, "a"), (4, 9, "b")]),
        # The session's may have a hole that only the journal fills, and may end before it.
        (
            [(0, 20, "a")],
            [(2, 4, "b"), (8, 10, "c")],
            [(0, 2, "a"), (2, 4, "b"), (4, 8, "a"), (8, 10, "c"), (10, 20, "a")],
        ),
        # Rounding leaves no splinters.
        ([(0, 4.001, "a")], [(4, 9, "b")], [(0, 4, "a"), (4, 9, "b")]),
        ([(3.999, 9, "a")], [(4, 9, "b")], [(4, 9, "b")]),
        # Nor do two of the journal overlap.
        ([(0, 5, "a"), (3, 9, "b")], [], [(0, 5, "a"), (5, 9, "b")]),
    ],
)
def test_joined(
    older: list[tuple[float, float, str]], newer: list[tuple[float, float, str]], both: list[tuple[float, float, str]]
) -> None:
    assert shape(joined(told(*older), told(*newer))) == both


@pytest.mark.parametrize("seed", range(30))
def test_whatever_they_hold_nothing_overlaps_and_no_time_is_lost(seed: int) -> None:
    dice = random.Random(seed)

    def some(caption: str, overlapping: bool) -> list[Span]:
        spans, at = [], dice.uniform(0, 30)
        for number in range(dice.randrange(25)):
            end = at + dice.uniform(0.5, 20)
            spans.append(Span(at, end, f"{caption}{number}", 0.1))
            at = end - dice.uniform(0, 3) if overlapping and dice.random() < 0.3 else end + dice.choice([0, 0, 5])
        return spans

    older, newer = some("old", True), some("new", False)
    both = joined(older, newer)
    assert all(a.end <= b.start for a, b in pairwise(both))
    assert [span for span in both if span.caption.startswith("new")] == newer
    for span in [*older, *newer]:
        inside = sum(max(0.0, min(span.end, part.end) - max(span.start, part.start)) for part in both)
        assert inside >= span.end - span.start - HAIR_S * (1 + len(newer))
    for part in both:
        if part.caption.startswith("old"):
            (whole,) = [span for span in older if span.caption == part.caption]
            assert whole.start <= part.start < part.end <= whole.end
