"""An option is chosen by what the tokens say beyond the words alone, and by what the frames show."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from llama_vid.llm.choosing import Chooser, Weights
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.layout import mark_text
from llama_vid.llm.likelihood import likelihoods
from llama_vid.llm.options import Choices
from llama_vid.llm.prompts import question_suffix
from llama_vid.llm.session import embed_segments
from llama_vid.memory.entry import MemoryEntry

CHOICES = Choices("What is there?", ("a dog", "a red bus", "snow"))
YES_NO = Choices("Is there a dog?", ("no", "Yes.", "not sure"))
MakeEntries = Callable[..., list[MemoryEntry]]


class Shown:
    """Scores an option by the number given for it, on every frame."""

    def __init__(self, scores: dict[str, float]) -> None:
        self.scores = scores

    def plain(self, text: str) -> str:
        return text

    def score(self, text: str, images: torch.Tensor) -> torch.Tensor:
        return torch.full((len(images),), self.scores[text])


def finder(language: LanguageModel, scores: dict[str, float] | None = None, *, margin: float = 0.0) -> Any:
    calibration = SimpleNamespace(tokens_bias=1.0, probability=lambda best, mean, said: best)
    return SimpleNamespace(
        language=language,
        scorer=Shown(scores or {}),
        calibration=calibration,
        margin=lambda _pairs, _question: margin,
        scores=lambda entries, _text: torch.zeros(len(entries)),
        weighed=lambda _entries, _z, _question: (margin, 0.0, 0.0),
    )


def test_worth_is_likelihood_less_what_is_likely_anyway(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    pairs = [entry.pair for entry in make_entries(3)]
    texts = [f" {option}" for option in CHOICES.options]
    suffix = question_suffix(CHOICES.question)
    seen = torch.cat([embed_segments(tiny, [mark_text(0.0), *pairs]), tiny.embed_text(suffix)])
    with_film = torch.tensor([one.mean for one in likelihoods(tiny, seen, texts)])
    without = torch.tensor([one.mean for one in likelihoods(tiny, tiny.embed_text(suffix.lstrip("\n")), texts)])
    wanted = 2 * (with_film - with_film.mean()) - 0.5 * (without - without.mean())
    chooser = Chooser(finder(tiny), Weights(tokens=2.0, blind=0.5))
    assert chooser.weigh(CHOICES, pairs) == pytest.approx(wanted.tolist(), abs=1e-4)
    assert chooser.choose(CHOICES, pairs) == int(wanted.argmax())
    assert chooser.weigh(CHOICES, []) == pytest.approx((2 * (without - without.mean())).tolist(), abs=1e-4)


@pytest.mark.parametrize("best", [0, 1, 2])
def test_what_the_frames_show_wins(tiny: LanguageModel, make_entries: MakeEntries, best: int) -> None:
    entries = make_entries(5)
    scores = {option: 100.0 * (number == best) for number, option in enumerate(CHOICES.options)}
    chooser = Chooser(finder(tiny, scores))
    assert chooser.choose(CHOICES, [entry.pair for entry in entries], entries) == best


def test_numbers_are_not_looked_for_in_pictures(tiny: LanguageModel, make_entries: MakeEntries) -> None:
    entries = make_entries(2)
    pairs = [entry.pair for entry in entries]
    numbers = Choices("How many dogs?", ("1", "2", "three dogs"))
    chooser = Chooser(finder(tiny))  # a score that is asked for fails: there is none
    assert chooser.weigh(numbers, pairs, entries) == chooser.weigh(numbers, pairs)


@pytest.mark.parametrize(("margin", "wanted"), [(1.5, 1), (0.5, 0)])
def test_yes_and_no_are_decided_as_a_question_is(
    tiny: LanguageModel, make_entries: MakeEntries, margin: float, wanted: int
) -> None:
    pairs = [entry.pair for entry in make_entries(2)]
    chooser = Chooser(finder(tiny, margin=margin))  # the tokens' threshold is 1
    assert chooser.choose(YES_NO, pairs) == wanted
    assert chooser.choose(YES_NO, []) == 1, "without tokens there is no threshold"


@pytest.mark.parametrize(("probability", "wanted"), [(0.9, 1), (0.1, 0)])
def test_yes_and_no_with_frames_go_by_the_calibration(
    tiny: LanguageModel, make_entries: MakeEntries, probability: float, wanted: int
) -> None:
    entries = make_entries(2)
    chooser = Chooser(finder(tiny, margin=probability))
    assert chooser.choose(YES_NO, [entry.pair for entry in entries], entries) == wanted
