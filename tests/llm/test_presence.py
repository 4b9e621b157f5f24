"""Where a named thing most likely is: the stretch between two changes over which its score rises most."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from llama_vid.llm import computed
from llama_vid.llm.calibration import Calibration
from llama_vid.llm.evidence import Finder as RealFinder
from llama_vid.llm.inquiry import Inquiry
from llama_vid.llm.presence import Named, likeliest, named
from llama_vid.llm.questions import QuestionKind, sort_question
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair

#: Something moves at 4 and 5, something at 9; a cut at 12.
ENERGIES = (0, 0, 0, 0, 0.4, 0.3, 0, 0, 0, 0.4, 0, 0, 1, 0, 0)


def memory() -> tuple[MemoryEntry, ...]:
    pair = TokenPair(torch.zeros(2), torch.zeros(2), 0.0, held=False, cut=False)
    return tuple(
        MemoryEntry(float(t), t + 1.0, pair, torch.ones(1), 1, float(energy), int(t >= 12))
        for t, energy in enumerate(ENERGIES)
    )


def scores(first: int, last: int, rise: float = 0.8, length: int = len(ENERGIES)) -> torch.Tensor:
    """A score that is higher from `first` to `last`, over a little unrest."""
    z = 0.1 * torch.sin(torch.arange(float(length)) * 2)
    z[first : last + 1] += rise
    return z


@pytest.mark.parametrize(
    ("subject", "thing"),
    [
        ("the red ball come into view", Named("the red ball", comes=True)),
        ("a car appear", Named("a car", comes=True)),
        ("the man enter the room", Named("the man", comes=True)),
        ("the blue dog leave", Named("the blue dog", goes=True)),
        ("the cat go out of sight", Named("the cat", goes=True)),
        ("the purple car in view", Named("the purple car")),
        ("the dog jump", Named("the dog jump")),
    ],
)
def test_coming_and_going_are_taken_off_the_thing(subject: str, thing: Named) -> None:
    assert named(subject) == thing


def test_a_stretch_begins_and_ends_where_the_picture_changed() -> None:
    entries = memory()
    assert likeliest(entries, scores(4, 8), Named("it", comes=True)) == (4, 8)
    assert likeliest(entries, scores(0, 8), Named("it", goes=True)) == (0, 8)
    assert likeliest(entries, scores(12, 14), Named("it")) == (12, 14)
    # What is there from its scene's start does not come, and a rise across no change is noise.
    assert likeliest(entries, scores(0, 8), Named("it", comes=True)) != (0, 8)
    assert likeliest(entries, scores(4, 8, rise=0.2), Named("it", comes=True)) is None
    assert likeliest(entries[:4], scores(2, 3, length=4), Named("it", comes=True)) is None


class Finder:
    """Scores things by name; the tokens say no."""

    calibration = Calibration(present=2.0)
    events = staticmethod(RealFinder.events)

    def __init__(self, things: dict[str, torch.Tensor]) -> None:
        self.things = things

    def scores(self, entries: tuple[MemoryEntry, ...], text: str) -> torch.Tensor:
        return self.things.get(text, torch.zeros(len(entries)))

    def score(self, embeddings: torch.Tensor, text: str) -> torch.Tensor:
        return self.things.get(text, torch.zeros(len(embeddings)))

    def weighed(self, entries: Any, z: torch.Tensor, question: str) -> tuple[float, float, float]:
        return float(z.max()), float(z.mean()), -5.0

    def ground(self, inquiry: Inquiry, runs: Any, z: torch.Tensor) -> Iterator[str]:
        yield ""


class Captioning(Finder):
    """Shows where the evidence is captioned, and which runs of entries are."""

    def ground(self, inquiry: Inquiry, runs: Any, z: torch.Tensor) -> Iterator[str]:
        yield f" {runs}"


def answer(question: str, **things: torch.Tensor) -> str:
    return answered(Finder({name.replace("_", " "): z for name, z in things.items()}), question)


def answered(find: Any, question: str) -> str:
    entries = memory()
    sorted_ = sort_question(question, 0.0, entries[-1].end)
    watched: Any = SimpleNamespace(zone=None)
    inquiry = Inquiry(sorted_, watched, entries, lambda: False, now=entries[-1].end)
    tell = {
        QuestionKind.WHEN: computed.when,
        QuestionKind.HOW_LONG: computed.how_long,
        QuestionKind.HOW_MANY: computed.how_often,
        QuestionKind.ORDER: computed.order,
    }[sorted_.kind]
    return "".join(tell(find, inquiry))


def test_what_is_clearly_seen_is_told_as_such() -> None:
    clear = scores(4, 8, rise=3.0)
    assert answer("When does the ball come into view?", the_ball=clear) == "At 0:04–0:09."
    assert answer("When does the ball leave?", the_ball=clear) == "At 0:09."
    assert answer("How long is the ball in view?", the_ball=clear) == "About 5 seconds: 0:04–0:09."


def test_what_is_not_clearly_seen_is_a_guess_or_was_not_seen() -> None:
    faint = scores(4, 8)
    begin = "I have not clearly seen the ball: if it was there, then most likely"
    assert answer("When does the ball come into view?", the_ball=faint) == f"{begin} at 0:04–0:09."
    assert answer("When does the ball leave?", the_ball=faint) == f"{begin} at 0:09."
    assert answer("How long is the ball in view?", the_ball=faint) == f"{begin} about 5 seconds: 0:04–0:09."
    assert answer("When does the ball come into view?") == "I have not seen the ball."


def test_order_weighs_things_against_movement_and_cuts() -> None:
    assert answer("Does something move before the scene changes?").startswith("Yes. First something move at 0:04")
    assert answer("Does the scene change after something moves?").startswith("Yes.")
    seen = {"the_ball": scores(4, 8, rise=3.0), "the_box": scores(0, 2, rise=3.0)}
    assert answer("What is seen first, the ball or the box?", **seen) == (
        "First the box at 0:00, then the ball at 0:04."
    )
    assert answer("Is the ball seen before the box?", **seen).startswith("No. First the box")
    assert answer("Is the ball seen before the cat?", **seen) == ("First the ball at 0:04. I have not seen the cat.")


def test_what_is_computed_is_said_before_its_evidence_is_captioned() -> None:
    clear = Captioning({"the ball": scores(4, 8, rise=3.0), "the box": scores(0, 2, rise=3.0)})

    def told(question: str) -> str:
        return answered(clear, question)

    assert told("When is the ball in view?") == "At 0:04–0:09. [(4, 8)]"
    assert told("How long is the ball in view?") == "About 5 seconds: 0:04–0:09. [(4, 8)]"
    assert told("How often is the ball seen?") == "Once, at 0:04. [(4, 8)]"
    order = told("What is seen first, the ball or the box?")
    assert order == "First the box at 0:00, then the ball at 0:04. [(4, 8)] [(0, 2)]"
    faint = answered(Captioning({"the ball": scores(4, 8)}), "How long is the ball in view?")
    assert faint.endswith("about 5 seconds: 0:04–0:09. []"), "a guess is no evidence"
