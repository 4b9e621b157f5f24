"""What sort of thing questions want, and the statement that the right candidate makes true."""

from __future__ import annotations

import pytest

from llama_vid.llm.candidates import bases, candidates, read
from llama_vid.llm.questions import sort_question
from llama_vid.llm.wanted import wanted

KNOWN = read(
    {
        "colours": "red, blue",
        "people": "a man, two girls",
        "places": "in the snow, on a bench",
        "doings": "running, riding a bike",
        "things": "a hat, a box",
        "met": "dog, hat",
        "kinds": {"animal": "a dog, a cat", "musical instrument": "a guitar, a drum", "room": "a kitchen, a bar"},
        "objects": {"wear": "a hat, a red shirt", "ride": "a bike, a horse", "look at": "the sea, a map"},
    }
)


@pytest.mark.parametrize(
    ("question", "sort", "statement"),
    [
        ("What colour is the van?", "colour", "a {} van"),
        ("What color are the girl's shoes?", "colour", "a girl with a {} shoes"),
        ("What is the colour of the sea?", "colour", "a {} sea"),
        ("What colour hat is the boy wearing?", "colour", "a boy wearing {} hat"),
        ("What animal is it?", "kind", "{}"),
        ("Which animals run?", "kind", "{} run"),
        ("What kind of animal is on the sofa?", "kind", "{} on a sofa"),
        ("What musical instrument does she play?", "kind", "a woman play {}"),
        ("Which instrument does she play?", "kind", "a woman play {}"),
        ("In what room are they?", "kind", "people in {}"),
        ("Where is the boat?", "place", "a boat {}"),
        ("Who is singing in the video?", "person", "{} singing"),
        ("Who is there?", "person", "{}"),
        ("Who can be seen?", "person", "{}"),
        ("What is the girl wearing?", "worn", "a girl wearing {}"),
        ("How is the girl dressed?", "worn", "a girl wearing {}"),
        ("What are the boys doing?", "doing", "a boys {}"),
        ("What does the girl do at the end?", "doing", "a girl {}"),
        ("What is the girl riding?", "object", "a girl riding {}"),
        ("What does the man look at?", "object", "a man look at {}"),
        ("What is under the bed?", "thing", "{} under a bed"),
        ("What hangs from the roof?", "thing", "{} hangs from a roof"),
        ("Is the road wet or dry?", "choice", "a road {}"),
    ],
)
def test_the_sort_and_its_statement(question: str, sort: str, statement: str) -> None:
    found = wanted(sort_question(question), KNOWN)
    assert found is not None
    assert (found.sort, found.stated("{}")) == (sort, statement)
    assert found.stated("x") == statement.replace("{}", "x")


@pytest.mark.parametrize(
    "question", ["Is there a dog?", "How many dogs are there?", "When does it rain?", "Why is she sad?", "Describe it."]
)
def test_other_questions_want_nothing_in_particular(question: str) -> None:
    assert wanted(sort_question(question), KNOWN) is None


def test_candidates_follow_the_sort() -> None:
    def of(question: str) -> tuple[str, ...]:
        found = wanted(sort_question(question), KNOWN)
        return found.candidates if found else ()

    assert of("What animal is it?") == ("a dog", "a cat")
    assert of("What is the girl wearing?") == ("a hat", "a red shirt")
    assert of("What is the girl riding?")[:2] == ("a bike", "a horse")
    assert of("What does the man look at?")[:2] == ("the sea", "a map")
    assert of("Is the road wet or dry?") == ("wet", "dry")


def test_the_forms_of_verbs() -> None:
    assert "run" in bases("running")
    assert "ride" in bases("riding")
    assert "wear" in bases("wears")
    assert bases("held") == ("held",)


def test_the_shipped_words() -> None:
    known = candidates()
    assert "a dog" in known.of_kind("animal")
    assert "a kitchen" in known.of_kind("room")
    assert "a bike" in known.objects("riding")
    assert "red" in known.colours
    assert min(map(len, (known.people, known.places, known.doings, known.things))) >= 60
    everything = [*known.people, *known.places, *known.doings, *known.things, *known.colours]
    assert all(text == text.strip() and text for text in everything)
