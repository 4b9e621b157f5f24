"""Debouncing by media time: what opens an event, what ends it, and what must hold whatever is seen."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from llama_vid.llm.rules.debounce import AWAY, QUIET, Closed, Debouncer, Limits, Opened, shifted

Frames = list[tuple[float, float, float, bool]]
HIGH, LOW = 0.9, 0.1


def run(limits: Limits, frames: Frames) -> list[Opened | Closed]:
    debouncer = Debouncer(limits)
    found = [step for start, end, p, gap in frames for step in debouncer.see(start, end, p, gap=gap)]
    return found + (debouncer.stop(frames[-1][1]) if frames else [])


def seconds(values: list[float], begin: float = 0.0) -> Frames:
    return [(begin + at, begin + at + 1, value, False) for at, value in enumerate(values)]


def spans(steps: list[Opened | Closed]) -> list[tuple[float, float]]:
    starts = [step.start for step in steps if isinstance(step, Opened)]
    return list(zip(starts, [step.end for step in steps if isinstance(step, Closed)], strict=True))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([HIGH] * 3, [(0.0, 3.0)]),
        ([HIGH] * 2, []),
        ([HIGH, LOW, HIGH], [(0.0, 3.0)]),
        ([HIGH, LOW, LOW, HIGH, LOW, LOW, HIGH], []),
        ([LOW, HIGH, HIGH, LOW, HIGH], [(1.0, 5.0)]),
        ([HIGH] * 3 + [LOW] * 4 + [HIGH] * 2, [(0.0, 9.0)]),
        ([HIGH] * 3 + [LOW] * 5 + [HIGH] * 3, [(0.0, 3.0), (8.0, 11.0)]),
    ],
)
def test_two_of_three_for_as_long_as_asked(values: list[float], expected: list[tuple[float, float]]) -> None:
    assert spans(run(Limits(0.5, 3.0, 0.0), seconds(values))) == expected


def test_an_event_is_told_with_the_frame_that_makes_it_long_enough() -> None:
    (opened, _) = run(Limits(0.5, 3.0, 0.0), seconds([LOW, HIGH, HIGH, HIGH, HIGH]))
    assert opened == Opened(1.0, 4.0, 0.0)


def test_what_hovers_below_the_threshold_keeps_an_event_but_begins_none() -> None:
    between = 0.4
    assert shifted(0.5, -1.0) < between
    assert spans(run(Limits(0.5, 3.0, 0.0), seconds([between] * 20))) == []
    assert spans(run(Limits(0.5, 3.0, 0.0), seconds([HIGH] * 3 + [between] * 20))) == [(0.0, 23.0)]


def test_a_cooldown_delays_what_goes_on_and_drops_what_does_not() -> None:
    again = [HIGH] * 3 + [LOW] * 6 + [HIGH] * 3 + [LOW] * 30
    assert len(spans(run(Limits(0.5, 3.0, 20.0), seconds(again)))) == 1
    lasting = [HIGH] * 3 + [LOW] * 6 + [HIGH] * 30
    (_, _, late, _) = run(Limits(0.5, 3.0, 20.0), seconds(lasting))
    assert isinstance(late, Opened)
    assert (late.start, late.at) == (9.0, 24.0)


def test_a_gap_ends_an_event_at_the_last_second_that_was_seen() -> None:
    limits = Limits(0.5, 3.0, 0.0)
    for later in ([(100.0, 101.0, HIGH, True)], [(5.0 + AWAY, 6.0 + AWAY, HIGH, False)]):
        steps = run(limits, seconds([HIGH] * 4) + later)
        assert steps[1] == Closed(4.0, 4.0)
        assert len(steps) == 2, "one frame after it is no new event"


def test_five_frames_a_second_are_judged_by_seconds() -> None:
    def film(values: list[float]) -> Frames:
        return [(at / 5, (at + 1) / 5, value, False) for at, value in enumerate(values)]

    assert spans(run(Limits(0.5, 1.0, 0.0), film([HIGH] * 2 + [LOW] * 8))) == []
    assert spans(run(Limits(0.5, 1.0, 0.0), film([HIGH, HIGH, LOW, HIGH, HIGH, HIGH]))) == [(0.0, 1.2)]


def test_what_was_withdrawn_stays_away_until_it_is_clearly_stronger() -> None:
    debouncer = Debouncer(Limits(0.5, 2.0, 0.0))
    for frame in seconds([0.7] * 3):
        debouncer.see(*frame[:3])
    assert debouncer.withdraw(0.7, 3.0) == 3.0
    assert debouncer.since is None
    assert [step for frame in seconds([0.75] * 9, 3.0) for step in debouncer.see(*frame[:3])] == []
    steps = [step for frame in seconds([0.95] * 3, 12.0) for step in debouncer.see(*frame[:3])]
    assert steps == [Opened(12.0, 14.0, 11.0)]
    assert debouncer.stop(15.0) == [Closed(15.0, 15.0)]
    assert debouncer.withdraw(0.9, 15.0) is None, "nothing is open"


def test_what_is_insisted_on_needs_no_second_frame() -> None:
    debouncer = Debouncer(Limits(0.5, 3.0, 10.0))
    debouncer.see(0.0, 1.0, LOW)
    assert debouncer.insist(0.5, 1.5, 1.5) == [Opened(0.5, 1.5, 0.0)]
    assert debouncer.insist(2.0, 3.0, 3.0) == []
    steps = [step for frame in seconds([LOW] * 9, 1.0) for step in debouncer.see(*frame[:3])]
    assert steps == [Closed(3.0, 3.0 + QUIET)]
    assert debouncer.insist(11.0, 12.0, 12.0) == []


frames = some.lists(
    some.tuples(
        some.sampled_from([0.0, 0.1, 0.3, 0.4, 0.5, 0.6, 0.9, 1.0]),
        some.sampled_from([0.2, 1.0, 1.0, 1.0, 2.0]),
        some.sampled_from([0.0, 0.0, 0.0, 3.0, 15.0]),
        some.booleans(),
    ),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(
    drawn=frames,
    threshold=some.sampled_from([0.3, 0.5, 0.8]),
    hold=some.sampled_from([0.0, 1.0, 3.0, 7.5]),
    cooldown=some.sampled_from([0.0, 4.0, 30.0]),
)
def test_whatever_is_seen(
    drawn: list[tuple[float, float, float, bool]], threshold: float, hold: float, cooldown: float
) -> None:
    film: Frames = []
    at = 0.0
    for p, step, missing, gap in drawn:
        at += missing
        film.append((at, at + step, p, gap and missing > 0))
        at += step
    limits = Limits(threshold, hold, cooldown)
    steps = run(limits, film)
    assert steps == run(limits, film), "the same film raises the same events"
    # Never two open at once, every one is closed, and they do not overlap.
    assert [type(step) for step in steps] == [Opened, Closed] * (len(steps) // 2)
    ended = None
    for opened, closed in zip(steps[::2], steps[1::2], strict=True):
        assert isinstance(opened, Opened)
        assert isinstance(closed, Closed)
        assert opened.start < closed.end <= closed.at
        assert opened.start <= opened.at <= closed.at
        assert opened.at - opened.start >= hold - 1e-6
        assert closed.end - opened.start >= hold - 1e-6
        if ended is not None:
            assert opened.start >= ended
            assert opened.at >= ended + cooldown - 1e-6
        ended = closed.end
        # It begins with a second that shows it, and two thirds of its first seconds do.
        first = [p for start, _, p, _ in film if opened.start - 1e-9 <= start < opened.at - 1e-9]
        assert first[0] >= threshold
        assert sum(p >= threshold for p in first) >= 2
        # It spans no time that nobody saw.
        inside = [(start, end) for start, end, _, _ in film if opened.start - 1e-9 <= start < closed.end - 1e-9]
        assert all(after[0] - before[1] <= AWAY for before, after in itertools.pairwise(inside))
        assert not any(gap for start, _, _, gap in film if opened.start < start < closed.end)
