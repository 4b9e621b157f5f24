"""Questions about movement: which ones they are, and answers that follow from energies and scenes alone."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from llama_vid.llm import movement
from llama_vid.llm.calibration import Calibration
from llama_vid.llm.inquiry import Inquiry
from llama_vid.llm.movement_words import About, Form, asked
from llama_vid.llm.questions import sort_question
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair

#: (energy, scene) second by second: still, a thing moves at 3 and 4, a cut at 7, the camera moves at 9.
FILM = ((0, 0), (0, 0), (0, 0), (0.4, 0), (0.5, 0), (0, 0), (0, 0), (1, 1), (0, 1), (0.95, 1), (0, 1), (0, 1))


def memory(rows: tuple[tuple[float, int], ...] = FILM) -> tuple[MemoryEntry, ...]:
    found = []
    for second, (energy, scene) in enumerate(rows):
        cut = second > 0 and scene != rows[second - 1][1]
        pair = TokenPair(torch.zeros(2), torch.zeros(2), float(energy), held=False, cut=cut)
        found.append(MemoryEntry(float(second), second + 1.0, pair, torch.ones(1), 1, float(energy), scene))
    return tuple(found)


class Finder:
    """Scores a text by what is seen second by second; captions say the second."""

    calibration = Calibration(present=1.0)

    def __init__(self, seen: Collection[int] = (), margins: Sequence[float] = ()) -> None:
        self.seen, self.margins = seen, iter(margins)

    def margin(self, pairs: Sequence[TokenPair], question: str) -> float:
        assert 0 < len(pairs) <= movement.PAIRS
        return next(self.margins)

    def scores(self, entries: tuple[MemoryEntry, ...], text: str) -> torch.Tensor:
        return torch.tensor([3.0 if int(entry.start) in self.seen else -1.0 for entry in entries])

    def plain(self, entry: MemoryEntry) -> str:
        return f"Second {entry.start:.0f}."

    def told(self, entry: MemoryEntry) -> Generator[str, None, str]:
        yield ""
        return self.plain(entry)


def answer(
    question: str,
    entries: tuple[MemoryEntry, ...] | None = None,
    *,
    seen: Collection[int] = (),
    margins: Sequence[float] = (),
) -> Any:
    """The answer's text and the times of its evidence."""
    entries = memory() if entries is None else entries
    sorted_ = sort_question(question, entries[0].start, entries[-1].end)
    watched: Any = SimpleNamespace(zone=None)
    inquiry = Inquiry(sorted_, watched, entries, lambda: False, now=entries[-1].end)
    if sorted_.span:
        inquiry.entries = tuple(e for e in entries if e.end > sorted_.span.start and e.start < sorted_.span.end)
    told = movement.about(sorted_)
    assert told is not None, question
    find: Any = Finder(seen, margins)
    text = "".join(movement.tell(told, find, inquiry))
    return text, [evidence.start for evidence in inquiry.evidence]


@pytest.mark.parametrize(
    ("question", "about", "form"),
    [
        ("When does something move?", About.MOVEMENT, Form.WHEN),
        ("Is anything moving in the video?", About.MOVEMENT, Form.WHETHER),
        ("Is there any movement?", About.MOVEMENT, Form.WHETHER),
        ("How long is something moving?", About.MOVEMENT, Form.HOW_LONG),
        ("When did the camera move?", About.CAMERA, Form.WHEN),
        ("Does the camera shake?", About.CAMERA, Form.WHETHER),
        ("Does an object move?", About.OBJECTS, Form.WHETHER),
        ("When does the scene change?", About.CUTS, Form.WHEN),
        ("How many times did the scene cut?", About.CUTS, Form.HOW_OFTEN),
        ("Is there a cut to another scene?", About.CUTS, Form.WHETHER),
        ("How long was it still?", About.STILLNESS, Form.HOW_LONG),
        ("Does everything stay still?", About.STILLNESS, Form.WHETHER),
        ("What moved first?", About.FIRST, Form.WHETHER),
        ("What moves, the camera or an object?", About.WHICH, Form.WHETHER),
        ("When does the red ball move?", About.THING, Form.WHEN),
    ],
)
def test_questions_about_movement_are_known(question: str, about: About, form: Form) -> None:
    found = asked(question)
    assert found is not None
    assert (found.about, found.form) == (about, form)


@pytest.mark.parametrize(
    "question",
    [
        "Is the dog still there?", "Is there a camera?", "What changed?", "Is someone holding a camera?",
        "Is there a cut on his hand?", "Is the man moving a couch?", "What scene is shown?", "Is it a moving car?",
        "When does the man cut the cake?", "How has the scene changed?", "What happens when the scene changes?",
        "Is the water still?", "Is there a view of the sea?", "How many people are there?", "What is happening?",
    ],
)  # fmt: skip
def test_other_questions_are_left_alone(question: str) -> None:
    assert asked(question) is None


@pytest.mark.parametrize(
    ("question", "text", "times"),
    [
        ("When does something move?", "At 0:03–0:05 and 0:09–0:10.", [3.0, 9.0]),
        ("Is anything moving?", "Yes, at 0:03–0:05 and 0:09–0:10.", [3.0, 9.0]),
        ("When does the camera move?", "At 0:09–0:10.", [9.0]),
        ("Does an object move?", "Yes, it seems, at 0:03–0:05.", [3.0]),
        ("When does the scene change?", "At 0:07.", [7.0]),
        ("How many times does the scene change?", "Once, at 0:07.", [7.0]),
        ("How many scenes are there?", "2: they change at 0:07.", [7.0]),
        ("How long is something moving?", "About 3 seconds: 0:03–0:05 and 0:09–0:10.", [3.0, 9.0]),
        ("Is everything still?", "No, something moves at 0:03–0:05 and 0:09–0:10.", [3.0, 9.0]),
        ("Is anything moving now?", "No, nothing moves.", []),
        ("Does the scene change in the first 5 seconds?", "No, the scene does not change.", []),
        ("What moves, the camera or an object?",
         "Both: the camera, it seems, at 0:09–0:10, an object at 0:03–0:05.", [3.0, 9.0]),
        ("What moves first?", "Movement begins at 0:03: Second 3.", [3.0]),
    ],
)  # fmt: skip
def test_answers_follow_from_energies_and_scenes(question: str, text: str, times: list[float]) -> None:
    assert answer(question) == (text, times)


def test_which_of_two_events_came_first_is_another_question() -> None:
    assert movement.about(sort_question("Does something move before the scene changes?")) is None
    which = movement.about(sort_question("What moves, the camera or an object?"))
    assert which is not None
    assert which.about is About.WHICH


@pytest.mark.parametrize(
    ("margins", "question", "text"),
    [
        ((2.0, -2.0), "Does something come into view?", "Yes, it seems, at 0:03–0:05."),
        ((-2.0, -2.0), "Does something leave?", "No, it does not seem so."),
        ((-2.0, 2.0), "When does something leave?", "It seems, at 0:09–0:10."),
        ((2.0, 2.0), "How often does something enter?", "2, it seems, at 0:03–0:05 and 0:09–0:10."),
        ((-2.0,), "Does the light change?", "No, it does not seem so."),
        ((2.0,), "Does it get darker?", "Yes."),
    ],
)
def test_what_energies_cannot_tell_is_read_from_the_tokens(margins: Sequence[float], question: str, text: str) -> None:
    assert answer(question, margins=margins)[0] == text


def test_a_change_is_told_by_cuts_then_the_camera_then_the_tokens() -> None:
    def changes(rows: tuple[tuple[float, int], ...], *margins: float) -> str:
        watched: Any = SimpleNamespace(zone=None)
        find: Any = Finder(margins=margins)
        return movement.changes(find, Inquiry(sort_question("What changed?"), watched, memory(rows), lambda: False))

    assert changes(FILM) == "The scene changes at 0:07."
    assert changes(((0, 0), (0.9, 0), (0, 0))) == "The camera moves, it seems, at 0:01–0:02."
    thing = ((0, 0), (0.4, 0), (0, 0))
    assert changes(thing, 3.0, 1.0, 2.0) == "Something came in, it seems, at 0:01–0:02."
    assert changes(thing, 1.0, 3.0, 2.0) == "Something left, it seems, at 0:01–0:02."
    assert changes(thing, 1.0, 1.5, 2.0) == "Something moves, it seems, at 0:01–0:02."
    assert changes(((0, 0), (0, 0))) == ""


def test_a_still_film_says_so() -> None:
    quiet = memory(((0.0, 0),) * 5)
    assert answer("Is anything moving?", quiet)[0] == "No, nothing moves."
    assert answer("How often does the camera move?", quiet)[0] == "Never: the camera does not seem to move."
    assert answer("What moves first?", quiet)[0] == "Nothing moves."
    assert answer("How long is it still?", quiet)[0] == "About 5 seconds: 0:00–0:05."
    assert answer("Does the camera or an object move?", quiet)[0] == "Neither: nothing moves."


def test_a_named_thing_moves_where_it_is_seen() -> None:
    assert answer("When does the red ball move?", seen={9, 10}) == ("At 0:09–0:10.", [9.0])
    assert answer("Does the red ball move?", seen={0, 1})[0] == "No, I have not seen the red ball move."
    assert answer("Does the red ball move?")[0] == "No, I have not seen the red ball."


def test_a_folded_stretch_counts_with_its_whole_length() -> None:
    first, *rest = memory()
    long = replace(first, end=100.0, frames=100)
    later = [replace(entry, start=entry.start + 99, end=entry.end + 99) for entry in rest]
    assert answer("How long is it still?", (long, *later))[0].startswith("About 1 minute 48 seconds")
