from __future__ import annotations

import subprocess
import sys
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from llama_vid.llm.layout import layout, mark_count
from tests.llm.conftest import MakeEntries


def marks(segments: list[object]) -> list[str]:
    return [segment for segment in segments if isinstance(segment, str)]


def test_a_mark_stands_before_the_first_entry_of_each_minute(make_entries: MakeEntries) -> None:
    entries = make_entries(121)
    segments = layout(entries)
    assert [index for index, segment in enumerate(segments) if isinstance(segment, str)] == [0, 61, 122]
    assert marks(list(segments)) == ["[0 min]", "[1 min]", "[2 min]"]
    assert [segment for segment in segments if not isinstance(segment, str)] == [entry.pair for entry in entries]
    assert layout([]) == []


def test_minutes_in_which_nothing_starts_have_no_mark(make_entries: MakeEntries) -> None:
    entries = [*make_entries(1), *make_entries(1, start=200.0)]
    assert marks(list(layout(entries))) == ["[0 min]", "[3 min]"]


def test_live_marks_are_clock_times(make_entries: MakeEntries) -> None:
    entries = make_entries(2, start=1_700_000_000.0, step=60.0)
    assert marks(list(layout(entries, zone=UTC))) == ["[22:13]", "[22:14]"]
    assert marks(list(layout(entries, zone=ZoneInfo("Asia/Kolkata")))) == ["[03:43]", "[03:44]"]


@pytest.mark.parametrize("minutes", [1, 59, 60, 61, 120, 121, 600, 1440, 10_000])
def test_marks_stay_few_however_long_it_lasts(make_entries: MakeEntries, minutes: int) -> None:
    segments = layout(make_entries(minutes, step=60.0))
    assert mark_count(segments) == min(minutes, mark_count(segments)) <= 60
    assert mark_count(segments) >= min(minutes, 20)


def test_coarse_marks_fall_on_even_times_of_the_zone(make_entries: MakeEntries) -> None:
    found = marks(list(layout(make_entries(90, start=1_700_000_000.0, step=60.0), zone=ZoneInfo("Asia/Kathmandu"))))
    assert found[0] == "[03:58]"
    assert all(int(mark[4:6]) % 2 == 0 for mark in found[1:])


def test_appending_changes_nothing_before(make_entries: MakeEntries) -> None:
    entries = make_entries(60, step=30.0)
    whole = layout(entries)
    for count in range(len(entries)):
        part = layout(entries[:count])
        assert part == whole[: len(part)]


def test_it_loads_no_model_code() -> None:
    check = (
        "import sys, llama_vid.llm.layout, llama_vid.llm.prompts, llama_vid.llm.questions, llama_vid.llm.answer; "
        "assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)
