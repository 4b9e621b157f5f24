"""Rules tried on what the journal has kept: all moments by their embeddings, the promising ones from their pictures."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import torch

from llama_vid import rule_trial
from llama_vid.llm.rules.rule import Rule
from llama_vid.memory.alerts import AlertChange
from llama_vid.memory.journal import Journal
from llama_vid.rule_trial import AROUND, promising
from llama_vid.stream.frame import Frame
from tests.bundles import film
from tests.model.test_session import BEGIN, Reel

if TYPE_CHECKING:
    from llama_vid.model import LLaMAVID


def test_few_moments_are_all_looked_at() -> None:
    assert promising(torch.zeros(3, 2), 5) == {0, 1, 2}
    assert promising(torch.zeros(0), 5) == frozenset()


def test_the_best_of_every_rule_and_their_neighbours_are_looked_at() -> None:
    scores = torch.zeros(100, 2)
    scores[20, 0] = scores[70, 1] = 0.9
    assert promising(scores, 2 * (2 * AROUND + 1)) == {*range(18, 23), *range(68, 73)}


@pytest.mark.model
async def test_what_is_tried_is_what_was_raised_live(
    model: LLaMAVID, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llama_vid.stream.file import FileSource

    rules = tuple(Rule(name, text, hold=1.0) for name, text in (("car", "a car"), ("cake", "a birthday cake")))
    frames = [Frame(BEGIN + frame.seconds, frame.image) for frame in FileSource(film())]
    raised: list[AlertChange] = []
    watching = model.watch(Reel(frames, ends=False), name="front", rules=rules, on_alert=raised.append)
    async with watching as session, asyncio.timeout(60):
        await session.wait_watched(len(frames) - 0.5)
    assert journal.flush()
    live = {change.event.rule for change in raised}
    assert live == {"car"}
    tried = await model.try_rules("front", rules, BEGIN - 1, BEGIN + len(frames))
    assert {event.rule for event in tried.events} == live
    assert tried.looked_at == tried.moments > 1
    begun = next(change.event.start for change in raised)
    assert tried.events[0].start == pytest.approx(begun, abs=1.0)
    # Of many moments only some pictures are looked at.
    monkeypatch.setattr(rule_trial, "LOOKED_AT", 2)
    some = await model.try_rules("front", rules, BEGIN - 1, BEGIN + len(frames))
    assert some.looked_at == 2 < some.moments == tried.moments
