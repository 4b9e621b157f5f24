"""Lists of options are found as people and benchmarks write them, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from llama_vid.llm.options import Choices, listed_options


@pytest.mark.parametrize(
    "text",
    [
        "What does he do?\nA. He runs.\nB. He sits.",
        "What does he do?\n(A) He runs.\n(B) He sits.",
        "What does he do?\na) He runs.\nb) He sits.\nAnswer with the option's letter.",
        "What does he do?\nOptions:\n[A] He runs.\n\n[B] He sits.\n",
        "What does he do?\nA: He runs.\nB: He sits.\nThe best answer is:",
    ],
)
def test_options_one_on_a_line(text: str) -> None:
    assert listed_options(text) == Choices("What does he do?", ("He runs.", "He sits."))


@pytest.mark.parametrize(
    "text",
    [
        "Which is it: a) a cat, b) a dog or c) a bird?",
        "Which is it: (A) a cat (B) a dog (C) a bird",
        "Which is it, A) a cat; B) a dog, or C) a bird?",
    ],
)
def test_options_in_running_text(text: str) -> None:
    assert listed_options(text) == Choices("Which is it", ("a cat", "a dog", "a bird"))


def test_letters_are_capitals_in_order() -> None:
    assert Choices("", ("x",) * 5).letters == ("A", "B", "C", "D", "E")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "What does he do?",
        "A. He runs.",
        "B. He runs.\nC. He sits.",
        "A. He runs.\nC. He sits.",
        "Is it a dog (a poodle) or a cat?",
        "Who is the man: Mr. A. Smith or Mr. B. Jones?",
        "What is the plan B) for?",
    ],
)
def test_no_list(text: str) -> None:
    assert listed_options(text) is None


def test_the_last_list_counts_and_what_stands_before_it_is_the_question() -> None:
    text = "Notes:\nA. Rain.\nB. Sun.\nSo:\nWhat is it like?\nA. Wet.\nB. Dry.\nC. Neither."
    found = listed_options(text)
    assert found is not None
    assert found.options == ("Wet.", "Dry.", "Neither.")
    assert found.question.endswith("What is it like?")
