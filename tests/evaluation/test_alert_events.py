"""Events of the joined film against labels, counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.alert_events import Labels, Remembered, kept_events, run_rules, undebounced
from evaluation.clips import Clip
from evaluation.rules import Rule
from llama_vid.llm.rules.rule import Rule as EngineRule
from tests.llm.rules.frames import Scripted, seen

A, B, C, D = (Clip(index, Path(f"{index}.mp4"), 4.0, "x") for index in range(4))
RULE = Rule("dog", "a dog", frozenset({"0.mp4", "3.mp4"}), frozenset({"2.mp4"}))
#: Ten seconds: three of A, two of B, two of C, three of D.
LABELS = Labels({"dog": RULE}, [A, B, C, D], [0, 0, 0, 1, 1, 2, 2, 3, 3, 3])


@pytest.mark.parametrize(
    ("event", "truth"),
    [
        (("dog", 0.0, 2.0), True),
        (("dog", 2.0, 5.0), True),
        (("dog", 3.0, 5.0), False),
        (("dog", 3.0, 7.0), None),
        (("dog", 5.0, 7.0), None),
    ],
)
def test_an_event_is_right_where_it_shares_a_second(event: tuple[str, float, float], truth: bool | None) -> None:
    assert LABELS.truth(event) is truth


def test_counts_by_hand() -> None:
    events = [("dog", 1.0, 2.0), ("dog", 2.0, 3.0), ("dog", 3.0, 5.0), ("dog", 5.0, 6.0)]
    matched = LABELS.matched(events)
    assert (matched.right, matched.false, matched.found, matched.wanted) == (2, 1, 1, 2)
    assert matched.to_json()["precision"] == pytest.approx(2 / 3)
    assert matched.to_json()["recall"] == 0.5
    odd = LABELS.matched(events, of=lambda clip: clip.index % 2 == 1)
    assert (odd.right, odd.false, odd.found, odd.wanted) == (0, 1, 0, 1)
    assert LABELS.matched([]).to_json()["precision"] is None


def test_without_debouncing_every_run_of_seconds_is_an_event() -> None:
    scores = [(float(at), at + 1.0, p) for at, p in enumerate([0.6, 0.1, 0.5, 0.9, 0.2, 0.7])]
    assert undebounced(scores) == [(0.0, 1.0), (2.0, 4.0), (5.0, 6.0)]


def test_the_engine_runs_over_frames_and_withdrawn_events_do_not_count() -> None:
    rule = EngineRule("dog", "a dog", hold=2.0, cooldown=0.0)
    script = Scripted({"dog": [0.9, 0.9, 0.1, *[0.1] * 9]})
    changes, seconds = run_rules([rule], [seen(float(at)) for at in range(10)], script, None)
    assert kept_events(changes) == [("dog", 0.0, 2.0)]
    assert len(seconds) == 10


def test_a_picture_is_scored_once() -> None:
    class Counting(Scripted):
        asked = 0

        def score(self, frame: object) -> list[float]:
            self.asked += 1
            return super().score(frame)  # type: ignore[arg-type]

    inner = Counting({"dog": [0.9] * 9})
    scorer = Remembered(inner)  # type: ignore[arg-type]
    scorer.prepare([EngineRule("dog", "a dog")])
    frame = seen(0.0)
    assert scorer.score(frame) == scorer.score(frame) == [0.9]
    assert inner.asked == 1
