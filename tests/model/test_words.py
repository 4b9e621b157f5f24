"""Times and lists in words."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone

import pytest

from llama_vid.llm.words import clock, duration, listed, sentence, stretch


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7.9, "0:07"), (60, "1:00"), (725, "12:05"), (3727, "1:02:07")]
)
def test_clock_of_a_recording(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_clock_of_a_camera() -> None:
    assert clock(0.0, UTC) == "00:00:00"
    assert clock(86_399.9, timezone(timedelta(hours=2))) == "01:59:59"


def test_a_stretch_within_a_second_is_one_time() -> None:
    assert stretch(7.1, 7.9) == "0:07"
    assert stretch(7.0, 12.0) == "0:07–0:12"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "1 second"), (5.4, "5 seconds"), (80, "1 minute 20 seconds"), (7380, "2 hours 3 minutes"), (3600, "1 hour")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_lists() -> None:
    assert [listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_sentences() -> None:
    assert sentence("  a dog \n runs ") == "A dog runs."
    assert sentence("Who is it?") == "Who is it?"
    assert sentence("") == ""
