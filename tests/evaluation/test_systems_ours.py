"""Ours and `full` as systems beside others, with the real bundle: tokens as the language model has them, and blind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evaluation.systems_ours import Full, Ours
from evaluation.systems_run import Seen
from llama_vid.errors import BundleError
from llama_vid.full_tokens import FRAMES
from llama_vid.model import LLaMAVID
from tests.bundles import mini, skip_without_mini

pytestmark = pytest.mark.model
QUESTION = "Is there a person in the video?"


@pytest.fixture(scope="module")
def model() -> LLaMAVID:
    skip_without_mini()
    return LLaMAVID(mini())


def test_ours_by_both_routes(model: LLaMAVID, counting_video: Path) -> None:
    whole, tokens = Ours(model), Ours(model, route="tokens")
    for system in (whole, tokens):
        system.take(counting_video)
    seen = whole.seen()
    assert seen.frames == 10
    assert 2 <= (seen.tokens or 0) <= 20  # frames of a still scene share theirs
    assert (tokens.seen().tokens or 0) == 2 * tokens.seen().frames <= 2 * 8
    assert whole.answer("yesno", QUESTION).text.split()[0].strip(",.") in ("Yes", "No")
    heard = tokens.answer("yesno", QUESTION)
    assert heard.probability is not None
    blind = tokens.blind("yesno", QUESTION)
    assert blind.probability != heard.probability
    assert whole.blind("yesno", QUESTION) == blind
    assert whole.identity != tokens.identity


def test_full_keeps_a_film_between_its_questions(model: LLaMAVID, counting_video: Path) -> None:
    try:
        full = model.full
    except BundleError as problem:
        pytest.skip(str(problem))
    system = Full(full, of="test")
    system.take(counting_video)
    assert 0 < system.seen().frames <= FRAMES
    assert system.seen() == Seen(system.seen().frames, system.seen().frames * full.per_frame)
    memory = full._film(str(counting_video)).memory
    before = full.yesno(str(counting_video), [QUESTION])
    assert system.answer("open", "What is shown?").text
    assert full._film(str(counting_video)).memory is memory
    torch.testing.assert_close(torch.tensor(full.yesno(str(counting_video), [QUESTION])), torch.tensor(before))
    assert system.blind("yesno", QUESTION) is None
