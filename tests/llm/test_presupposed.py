"""What open questions take for granted, and that they are denied where it is not there."""

from __future__ import annotations

import pytest

from llama_vid.llm.presupposed import presupposed, singular


@pytest.mark.parametrize(
    ("question", "thing"),
    [
        ("What colour is the dog?", "a dog"),
        ("What is the man doing with his hand?", "a man"),
        ("Where does the man sit?", "a man"),
        ("What does the woman wear on her legs?", "a woman"),
        ("What colour are the seats outside?", "a seat"),
        ("Where are the two old men?", "an old man"),
        ("How many women are there?", "a woman"),
        ("How many people sit at the tables?", "a table"),
        ("Who is dancing?", "dancing"),
        ("Who sits on the sofa?", "a sofa"),
        ("Who is there?", "a person"),
        ("Who is in the video?", "a person"),
        ("Where is the snow?", "snow"),
        ("What is the spatula made of?", "a spatula"),
        # Nothing is taken for granted, or only the recording itself.
        ("What is happening?", ""),
        ("What colour is the background?", ""),
        ("What happens at the end of the video?", ""),
        ("Is there a dog?", ""),
        ("Does the dog bark?", ""),
        ("How many are there?", ""),
        ("What is he holding?", ""),
        ("", ""),
    ],
)
def test_what_a_question_takes_for_granted(question: str, thing: str) -> None:
    assert presupposed(question) == thing


def test_one_of_many() -> None:
    many = ["dogs", "babies", "buses", "people", "old men", "glass", "apples"]
    one = ["a dog", "a baby", "a bus", "a person", "an old man", "a glass", "an apple"]
    assert [singular(noun) for noun in many] == one
