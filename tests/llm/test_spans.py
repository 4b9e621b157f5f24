from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from llama_vid.llm.spans import CLOCK_INSTANT, INSTANT, PART, named_span

HOUR = 3600.0


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("what was covered in the first 30 minutes", 0, 1800),
        ("what happened in the first half", 0, 1800),
        ("what happens in the second half of the video", 1800, 3600),
        ("describe the last quarter", 2700, 3600),
        ("the middle third", 1200, 2400),
        ("summarize the last 10 minutes", 3000, 3600),
        ("the past hour", 0, 3600),
        ("the last two minutes", 3480, 3600),
        ("the last half an hour", 1800, 3600),
        ("during the first minute", 0, 60),
        ("in the last few seconds", 3597, 3600),
        ("the first 2 hours", 0, 3600),
        ("between 3 and 4", 180, 240),
        ("between minute 3 and 4", 180, 240),
        ("between minutes 3 and minute 4", 180, 240),
        ("between 3 and 4 minutes", 180, 240),
        ("between 10 and 20 seconds", 10, 20),
        ("between 1:20 and 2:05", 80, 125),
        ("from 1:00:00 to 1:02:03", 3600, 3723),
        ("from 10 s to 20 s", 10, 20),
        ("between 4 and 3", 180, 240),
        ("after 5 minutes", 300, 3600),
        ("since minute 50", 3000, 3600),
        ("before minute 10", 0, 600),
        ("until 2:00", 0, 120),
        ("in minute 3", 180, 240),
        ("what is he doing at 1:20", 80 - INSTANT / 2, 80 + INSTANT / 2),
        ("at 45 seconds", 45 - INSTANT / 2, 45 + INSTANT / 2),
        ("5 minutes ago", 3300 - INSTANT / 2, 3300 + INSTANT / 2),
        ("at the beginning of the video", 0, PART * HOUR),
        ("at the end", (1 - PART) * HOUR, HOUR),
        ("who sings in the middle of the clip", (0.5 - PART / 2) * HOUR, (0.5 + PART / 2) * HOUR),
        ("in the middle", (0.5 - PART / 2) * HOUR, (0.5 + PART / 2) * HOUR),
        ("what is happening right now", HOUR - INSTANT, HOUR),
        ("what has happened so far", 0, 3600),
    ],
)
def test_times_of_a_recording(text: str, start: float, end: float) -> None:
    span = named_span(text, 0.0, HOUR)
    assert span is not None
    assert (span.start, span.end) == pytest.approx((start, end))
    assert span.words in text


@pytest.mark.parametrize(
    "text",
    [
        "is there a dog",
        "how many people are there",
        "which came first, the dog or the cat",
        "does the dog jump before the cat",
        "are there two dogs at the door",
        "is the man sitting between two women",
        "what does the man do after drinking",
        "look at 3 people",
        "what did the man in the middle do",
        "what did they do yesterday",  # a recording knows no days
        "",
    ],
)
def test_no_time_is_named(text: str) -> None:
    assert named_span(text, 0.0, HOUR) is None


def at(zone: ZoneInfo, hour: float, day: int = 15) -> float:
    return datetime(2023, 11, day, tzinfo=zone).timestamp() + hour * 3600


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("between 3 and 4", 15, 16),  # asked in the evening
        ("between 3 and 4 pm", 15, 16),
        ("between 3 am and 4 am", 3, 4),
        ("between 15:04 and 15:30", 15 + 4 / 60, 15.5),
        ("since 14:30", 14.5, 20),
        ("before 9 am", 8, 9),
        ("the last 10 minutes", 20 - 1 / 6, 20),
        ("this morning", 5, 12),
        ("today", 0, 24),
        ("yesterday", -24, 0),
        ("yesterday evening", -6, -1),
        ("the day before yesterday", -48, -24),
        ("last night", -6, 6),
        ("what happened on monday", -48, -24),  # the day is a Wednesday
        ("on wednesday morning", 5, 12),
        ("last wednesday", -168, -144),
        ("since noon", 12, 20),
        ("what happened since 3 am yesterday", -21, 20),
        ("between noon and 2 pm yesterday", -12, -10),
        ("yesterday between 14:03:10 and 14:03:24", -10 + 190 / 3600, -10 + 204 / 3600),
        ("from 10 to 12", 10, 12),
        ("yesterday at 3 pm", -9 - 2 / 60, -9 + 2 / 60),
        ("at 21:30 yesterday", -2.5 - 2 / 60, -2.5 + 2 / 60),
        ("tonight", 18, 24),
        ("between 3 and 4 yesterday", -9, -8),
        ("so far", 8, 20),
    ],
)
def test_times_of_a_live_camera(text: str, start: float, end: float) -> None:
    zone = ZoneInfo("Europe/Berlin")
    span = named_span(text, at(zone, 8), at(zone, 20), zone=zone)
    assert span is not None
    midnight = at(zone, 0)
    assert ((span.start - midnight) / 3600, (span.end - midnight) / 3600) == pytest.approx((start, end))


def test_an_instant_of_a_live_camera() -> None:
    noon = datetime(2023, 11, 15, 12, tzinfo=UTC).timestamp()
    span = named_span("who was there at 3 pm?", noon, noon + 6 * HOUR, zone=UTC)
    assert span is not None
    assert (span.start, span.end) == (noon + 3 * HOUR - CLOCK_INSTANT / 2, noon + 3 * HOUR + CLOCK_INSTANT / 2)
    assert span.words == "at 3 pm"


def test_a_time_that_is_still_to_come_was_yesterdays() -> None:
    noon = datetime(2023, 11, 15, 12, tzinfo=UTC).timestamp()
    long = named_span("what happened at 3 pm", noon - 48 * HOUR, noon, zone=UTC)
    assert long is not None
    assert long.start == noon - 21 * HOUR - CLOCK_INSTANT / 2
    short = named_span("what happened at 3 pm", noon - HOUR, noon, zone=UTC)  # nothing of yesterday was watched
    assert short is not None
    assert short.start == noon + 3 * HOUR - CLOCK_INSTANT / 2


def test_shares_stay_inside_and_clock_times_may_not() -> None:
    first = named_span("the first 30 minutes", 0.0, 90.0)
    assert first is not None
    assert (first.start, first.end) == (0.0, 90.0)
    beyond = named_span("between 10 and 12", 0.0, 90.0)
    assert beyond is not None
    assert beyond.start == 600.0
