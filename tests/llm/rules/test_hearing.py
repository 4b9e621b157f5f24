"""Words in a transcript: whole words, whatever the case and punctuation, across two lines."""

from __future__ import annotations

import pytest

from llama_vid.llm.rules.hearing import Heard, heard_in


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("fire", "Fire! Everybody out.", True),
        ("fire", "Sit by the fireplace.", False),
        ("help me", "Please HELP, me first", True),
        ("help me", "help them and me", False),
        ("don't move", "Don’t move!", True),
        ("2 o'clock", "at 2 o'clock", True),
        ("…", "anything", False),
    ],
)
def test_one_line(phrase: str, text: str, found: bool) -> None:
    assert bool(heard_in([phrase], [(1.0, 2.0, text)])) is found


def test_a_phrase_may_run_over_two_lines_but_not_over_a_pause() -> None:
    lines = [(0.0, 1.0, "somebody call the"), (1.5, 3.0, "police please")]
    assert heard_in(["call the police"], lines) == [
        Heard("call the police", 0.0, 3.0, "somebody call the police please")
    ]
    assert heard_in(["call the police"], [lines[0], (3.5, 5.0, "police please")]) == []
    assert heard_in(["police please"], lines) == [Heard("police please", 1.5, 3.0, "police please")]


def test_each_line_and_phrase_once() -> None:
    lines = [(0.0, 1.0, "fire fire"), (1.0, 2.0, "fire and help"), (2.0, 3.0, "nothing")]
    assert [(each.phrase, each.start) for each in heard_in(["fire", "help"], lines)] == [
        ("fire", 0.0), ("fire", 1.0), ("help", 1.0),
    ]  # fmt: skip
