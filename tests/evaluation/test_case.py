"""Cases keep what they hold through JSON, and are counted by kind."""

from __future__ import annotations

import json
from pathlib import Path

from evaluation.case import Case, by_kind

CASES = [
    Case("sport", Path("a.mp4"), "Is there a ball?", "yes", "Yes, a ball.", True, (1.0, 2.5)),
    Case("sport", Path("a.mp4"), "Is there a dog?", "no", "Yes.", False),
    Case("film", Path("b.mp4"), "Is there a dog?", "no", "No.", True),
    Case("film", Path("b.mp4"), "Is there a dog?", "no", "Yes.", False, system="blind"),
]


def test_through_json() -> None:
    assert [Case.from_json(json.loads(json.dumps(case.to_json()))) for case in CASES] == CASES


def test_by_kind_and_system() -> None:
    assert by_kind(CASES) == {"film": 1.0, "sport": 0.5}
    assert by_kind(CASES, "blind") == {"film": 0.0}
    assert by_kind(CASES, "full") == {}
