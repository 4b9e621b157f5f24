"""Schedules by the wall clock: across midnight, over the days on which clocks change, and what is refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from llama_vid.llm.rules.schedule import parse_schedule

BERLIN = ZoneInfo("Europe/Berlin")


def on(texts: list[str], moment: str) -> bool:
    when = datetime.fromisoformat(moment)
    when = when if when.tzinfo else when.replace(tzinfo=BERLIN)
    return parse_schedule(texts).holds(when.timestamp(), BERLIN)


@pytest.mark.parametrize(
    ("texts", "moment", "expected"),
    [
        ([], "2026-11-25T03:00", True),
        (["22:00-06:00"], "2026-11-25T22:00", True),
        (["22:00-06:00"], "2026-11-25T05:59:59", True),
        (["22:00-06:00"], "2026-11-25T06:00", False),
        (["22:00-06:00"], "2026-11-25T21:59:59", False),
        (["mon-fri 08:00-18:00"], "2026-11-27T17:59", True),  # a Friday
        (["mon-fri 08:00-18:00"], "2026-11-28T12:00", False),
        (["fri 22:00-06:00"], "2026-11-28T05:00", True),  # the night of Friday reaches into Saturday
        (["fri 22:00-06:00"], "2026-11-27T05:00", False),
        (["sun 22:00-02:00"], "2026-11-30T01:00", True),  # and of Sunday into Monday
        (["sat,sun"], "2026-11-29T00:00", True),
        (["sat,sun"], "2026-11-30T00:00", False),
        (["fri-mon 10:00-11:00"], "2026-11-29T10:30", True),
        (["fri-mon 10:00-11:00"], "2026-11-26T10:30", False),
        (["Monday 00:00-24:00"], "2026-11-30T23:59:59", True),
        (["mon 08:00-09:00", "tue 10:00-11:00"], "2026-12-01T10:00", True),
        (["mon 08:00-09:00", "tue 10:00-11:00"], "2026-12-01T08:30", False),
    ],
)
def test_when_a_rule_is_on(texts: list[str], moment: str, expected: bool) -> None:
    assert on(texts, moment) is expected


def test_days_on_which_clocks_change() -> None:
    # On 29 March 2026 there is no 02:30; on 25 October it is 02:30 twice, an hour apart.
    assert on(["02:00-03:00"], "2026-10-25T02:30+02:00")
    assert on(["02:00-03:00"], "2026-10-25T02:30+01:00")
    begin = datetime(2026, 3, 29, 0, 0, tzinfo=BERLIN).timestamp()
    night = parse_schedule(["02:00-03:00"])
    assert not any(night.holds(begin + 60 * minute, BERLIN) for minute in range(23 * 60))
    autumn = datetime(2026, 10, 25, 0, 0, tzinfo=BERLIN).timestamp()
    assert sum(night.holds(autumn + 60 * minute, BERLIN) for minute in range(25 * 60)) == 120


def test_a_week_is_covered_once() -> None:
    halves = parse_schedule(["mon-thu"]), parse_schedule(["fri-sun 00:00-24:00"])
    begin = datetime(2026, 6, 1, tzinfo=BERLIN)
    for hour in range(7 * 24):
        at = (begin + timedelta(hours=hour)).timestamp()
        assert sum(half.holds(at, BERLIN) for half in halves) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("25:00-26:00", "no clock shows"),
        ("08:60-09:00", "no clock shows"),
        ("08:00-08:00", "begins and ends at the same time"),
        ("24:00-06:00", "write 00:00"),
        ("funday 08:00-09:00", "'funday', which is no day"),
        ("mo 08:00-09:00", "no day"),
        ("08:00", "not a schedule"),
        ("08:00-09:00 mon", "not a schedule"),
        ("", "is empty"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_schedule([text])
