"""Sampling by media time: its rules on examples, and its promises on any stamps whatever."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_vid.stream.sampling import LiveSampler, Sample, ShownSampler
from llama_vid.stream.timeline import Stamp, Timeline

#: Stamps as broken cameras send them: missing, repeated, backward, jumping, not numbers.
STAMPS = st.lists(
    st.one_of(
        st.none(),
        st.floats(-1e4, 1e5, allow_nan=False),
        st.sampled_from([0.0, 0.04, 0.08, 1.0, 1.0, 2.0, 95443.7, math.nan, math.inf, -math.inf]),
        st.integers(0, 200).map(lambda n: n / 25),
    ),
    max_size=120,
)
RATES = st.sampled_from([0.1, 0.5, 1.0, 2.0, 5.0, 25.0])


def run(stamps: list[float | None], fps: float) -> list[Sample[int]]:
    """Sample pictures 0, 1, 2, … with these raw stamps, as a recording does."""
    timeline = Timeline(hole=60, longest_step=3600)
    sampler: ShownSampler[int] = ShownSampler(fps)
    samples = [sample for n, raw in enumerate(stamps) for sample in sampler.push(timeline.place(raw), n)]
    return samples + sampler.finish()


@given(STAMPS, RATES)
def test_recordings_sample_onto_the_grid_in_order(stamps: list[float | None], fps: float) -> None:
    samples = run(stamps, fps)
    seconds = [sample.seconds for sample in samples]
    assert all(now < then for now, then in itertools.pairwise(seconds))
    assert all(abs(time * fps - round(time * fps)) < 1e-6 for time in seconds)
    pictures = [sample.picture for sample in samples]
    assert pictures == sorted(pictures)


@given(
    st.integers(1, 400), st.sampled_from([8.0, 12.5, 24.0, 25.0, 30000 / 1001, 60.0]), st.sampled_from([0.5, 1.0, 2.0])
)
def test_an_even_recording_gives_every_grid_time_its_own_picture(count: int, rate: float, fps: float) -> None:
    timeline = Timeline(step=1 / rate)
    sampler: ShownSampler[float] = ShownSampler(fps, frame_seconds=1 / rate)
    samples = [s for n in range(count) for s in sampler.push(timeline.place(n / rate), n / rate)] + sampler.finish()
    assert [s.seconds for s in samples] == [k / fps for k in range(len(samples))]
    # As many as grid times lie in the film, up to the tolerance at its very end.
    assert -0.7 < len(samples) - max(1, count / rate * fps) < 1
    assert all(abs(s.picture - s.seconds) <= 0.5 / rate + 1e-6 for s in samples)
    assert not any(s.gap for s in samples)


@given(STAMPS, RATES)
def test_live_times_strictly_increase_and_keep_the_rate(stamps: list[float | None], fps: float) -> None:
    timeline, sampler = Timeline(hole=15), LiveSampler(fps)
    taken = []
    for raw in stamps:
        stamp = timeline.place(raw)
        take, gap = sampler.take(stamp)
        if take:
            taken.append((stamp.seconds, gap))
    assert all(a[0] < b[0] for a, b in itertools.pairwise(taken))
    steps = [b[0] - a[0] for a, b in itertools.pairwise(taken) if not b[1]]
    assert all(step > 0.7 / fps for step in steps)


@given(STAMPS)
def test_the_timeline_never_runs_backward(stamps: list[float | None]) -> None:
    timeline = Timeline(longest_step=3600)
    placed = [timeline.place(raw).seconds for raw in stamps]
    assert all(now <= then for now, then in itertools.pairwise(placed))
    assert all(map(math.isfinite, placed))


@pytest.mark.parametrize(("extra", "count"), [(0, 60), (1, 60), (3, 60), (4, 61)])
def test_a_film_that_ends_a_moment_late_has_no_frame_for_that_moment(extra: int, count: int) -> None:
    assert len(run([n / 25 for n in range(60 * 25 + extra)], 1.0)) == count


def test_missing_stamps_go_on_at_the_nominal_rate() -> None:
    assert [s.seconds for s in run([None] * 100, 1.0)] == [0, 1, 2, 3]


def test_a_jump_forward_is_a_gap() -> None:
    stamps = [n / 10 for n in range(20)] + [500 + n / 10 for n in range(20)]
    assert [(s.seconds, s.gap) for s in run(list(stamps), 1.0)] == [(0, False), (1, False), (500, True), (501, False)]


def test_a_jump_backward_goes_on_from_where_it_was_and_is_a_gap() -> None:
    stamps = [n / 10 for n in range(20)] + [n / 10 for n in range(20)]
    samples = run(list(stamps), 1.0)
    assert [s.seconds for s in samples] == [0, 1, 2, 3]
    assert [s.gap for s in samples].count(True) == 1


def test_a_stamp_beyond_belief_moves_nothing() -> None:
    timeline = Timeline(step=0.04, longest_step=3600)
    assert [timeline.place(raw).seconds for raw in (0.0, 0.04, 95443.7, 95443.74)] == pytest.approx(
        [0, 0.04, 0.08, 0.12]
    )


def test_small_steps_backward_are_held() -> None:
    timeline = Timeline()
    assert [timeline.place(raw) for raw in (1.0, 0.9, 1.1)] == [Stamp(1.0), Stamp(1.0), Stamp(1.1)]


def test_a_live_silence_is_a_gap_and_jitter_is_not() -> None:
    sampler = LiveSampler(1.0)
    times = [0.0, 1.02, 1.97, 3.05, 3.96, 9.0, 10.01]
    assert [sampler.take(Stamp(t)) for t in times] == [(True, False)] * 5 + [(True, True), (True, False)]


def test_a_reconnect_is_a_gap_however_short() -> None:
    sampler = LiveSampler(1.0)
    sampler.take(Stamp(5.0))
    sampler.mark_gap()
    assert sampler.take(Stamp(5.5)) == (True, True)


@pytest.mark.parametrize("fps", [0, -1, math.nan, math.inf])
def test_impossible_rates_are_refused(fps: float) -> None:
    with pytest.raises(ValueError, match="fps"):
        LiveSampler(fps)
    with pytest.raises(ValueError, match="fps"):
        ShownSampler[int](fps)
