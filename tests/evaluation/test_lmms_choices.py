"""Multiple-choice questions over clips: rivals are of the right sort, weights are fitted on even clips only."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evaluation.clips import Clip
from evaluation.lmms.choices import OPTIONS, Item, fitted, items, measure
from llama_vid.llm.choosing import Parts, Weights
from llama_vid.llm.options import Choices

COLOURS = ("Red.", "Blue.", "Green.", "Red and white.", "Black.")


def clip(index: int) -> Clip:
    asked = (("What colour is the car?", COLOURS[index % 5]), ("Is there a car?", "Yes."), (f"Why {index}?", "So."))
    return Clip(index, Path(f"{index}.mp4"), 1.0, f"Caption {index}.", asked=asked)


CLIPS = [clip(index) for index in range(5)]


def test_questions_and_their_rivals() -> None:
    found = items(CLIPS)
    assert found == items(CLIPS)
    assert found != items(CLIPS, seed=1)
    captions = [item for item in found if item.kind == "caption"]
    answers = [item for item in found if item.kind == "answer"]
    assert [item.clip for item in captions] == CLIPS
    assert {item.choices.question for item in answers} == {"What colour is the car?"}, (
        "no yes or no, and no rivals: left"
    )
    for item in found:
        assert len(set(item.choices.options)) == OPTIONS
        right = item.choices.options[item.right]
        assert right == (item.clip.caption if item.kind == "caption" else item.clip.asked[0][1])
        if right == "Red.":
            assert "Red and white." not in item.choices.options, "a rival shares no word with the right answer"
    assert len({item.right for item in found}) > 1, "the right one has no place of its own"


def test_too_few_clips_give_no_questions() -> None:
    assert items(CLIPS[:3]) == []


def parts(right: int, *, by: str) -> tuple[Item, Parts]:
    """A question whose right option one part knows; the others say another one, by less."""
    wrong = torch.eye(OPTIONS)[(right + 1) % OPTIONS]
    known = dict.fromkeys(("tokens", "image"), 0.3 * wrong) | {by: torch.eye(OPTIONS)[right]}
    item = Item("caption", CLIPS[0], Choices("?", ("a", "b", "c", "d")), right)
    return item, Parts(known["tokens"], torch.zeros(OPTIONS), known["image"])


def test_measures_and_fits() -> None:
    seen = [parts(number, by="image") for number in range(OPTIONS)]
    assert measure(seen, Weights(1.0, 1.0, 0.0)) == {"all": 0.0, "caption": 0.0}
    assert measure(seen, Weights(0.0, 0.0, 1.0)) == {"all": 1.0, "caption": 1.0}
    best = fitted(seen)
    assert best.image > 0
    assert measure(seen, best)["all"] == 1.0


def test_blind_knows_the_words_alone() -> None:
    item, part = parts(2, by="tokens")
    words = Parts(part.tokens, torch.eye(OPTIONS)[1], part.image)
    assert int(Weights(0.0, -1.0, 0.0).worth(words).argmax()) == 1
    assert measure([(item, Parts(None, torch.eye(OPTIONS)[2], None))], Weights()) == pytest.approx(
        {"all": 1.0, "caption": 1.0}
    )
