"""A live camera's alert rules on the real bundle: told while it watches, verified, paused, ended when it goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llama_vid.llm.rules.rule import Rule
from llama_vid.memory.alerts import AlertChange
from llama_vid.memory.journal import Journal
from llama_vid.stream.frame import Frame
from llama_vid.stream.source import SourceState
from tests.bundles import film, mini
from tests.model.test_session import BEGIN, Reel

if TYPE_CHECKING:
    from llama_vid.model import LLaMAVID

pytestmark = [pytest.mark.model]

CAR = Rule("car", "a car on a road", hold=1.0, verify=False)
SNOW = Rule("snow", "a dog in deep snow", hold=1.0, verify=False)


class Leaving(Reel):
    """A source whose picture can be gone."""

    tell: Callable[[SourceState, str], None]

    def on_state(self, callback: Callable[[SourceState, str], None]) -> None:
        self.tell = callback


@pytest.fixture(scope="module")
def model() -> Iterator[LLaMAVID]:
    bundle = mini()
    from llama_vid.model import LLaMAVID

    made = LLaMAVID(bundle)
    yield made
    made.close()


@pytest.fixture(scope="module")
def street() -> list[Frame]:
    from llama_vid.stream.file import FileSource

    return [Frame(BEGIN + second, frame.image) for second, frame in enumerate(FileSource(film()))]


class Heard(list[AlertChange]):
    """What was told, and a way to wait for it."""

    def __init__(self) -> None:
        self.more = asyncio.Event()

    def __call__(self, change: AlertChange) -> None:
        self.append(change)
        self.more.set()

    async def until(self, kind: str) -> AlertChange:
        async with asyncio.timeout(60):
            while not (found := [change for change in self if change.type == kind]):
                self.more.clear()
                await self.more.wait()
        return found[0]


async def test_an_event_begins_while_the_camera_watches_and_memory_keeps_it(
    model: LLaMAVID, street: list[Frame]
) -> None:
    heard = Heard()
    async with model.watch(Reel(street, ends=False), name="street", rules=[CAR, SNOW], on_alert=heard) as session:
        new = await heard.until("new")
        await session.wait_watched(len(street))
        entries = session._watching.entries
        scores = session.rule_scores
    assert (new.event.camera, new.event.rule, new.event.end) == ("street", "car", None)
    assert BEGIN <= new.event.start < BEGIN + len(street)
    assert new.event.frames
    assert any(entry.pinned for entry in entries)
    end = await heard.until("end")  # leaving ends what is open
    assert end.event.id == new.event.id
    assert end.event.end is not None
    assert {change.event.rule for change in heard} == {"car"}
    assert len(scores) == len(street)
    assert scores[0].scores.keys() == {"car", "snow"}


async def test_what_is_open_ends_when_the_picture_is_gone_and_when_alerts_are_paused(
    model: LLaMAVID, street: list[Frame]
) -> None:
    heard, reel = Heard(), Leaving(street, ends=False)
    async with model.watch(reel, name="street", rules=[CAR], on_alert=heard) as session:
        await heard.until("new")
        reel.tell("reconnecting", "unplugged")
        end = await heard.until("end")
        assert end.event.end is not None
        await session.pause_alerts(True)
    heard = Heard()
    async with model.watch(Reel(street), name="street", rules=[CAR], on_alert=heard) as session:
        await session.pause_alerts(True)
        await session.wait_watched(len(street) - 1)
        assert heard == []


async def test_rules_change_while_the_camera_goes_on(model: LLaMAVID, street: list[Frame]) -> None:
    heard = Heard()
    async with model.watch(Reel(street, ends=False), name="street", rules=[], on_alert=heard) as session:
        await session.wait_watched(2)
        await session.apply_rules([CAR])
        assert (await heard.until("new")).event.rule == "car"


async def test_an_event_is_looked_at_again_while_the_camera_goes_on(model: LLaMAVID, street: list[Frame]) -> None:
    heard = Heard()
    rule = replace(CAR, verify=True)
    async with model.watch(Reel(street, ends=False), name="street", rules=[rule], on_alert=heard):
        new = await heard.until("new")
        assert new.event.verified is None, "the first alert does not wait for the second look"
        update = await heard.until("update")
    assert (update.event.id, update.event.verified) == (new.event.id, True)


async def test_rules_are_tried_on_what_the_journal_holds(model: LLaMAVID, street: list[Frame], tmp_path: Path) -> None:
    from llama_vid.model import LLaMAVID

    with Journal(tmp_path) as journal:
        kept = LLaMAVID(model.bundle, journal=journal)
        async with kept.watch(Reel(street), name="street") as session:
            await session.wait_watched(len(street))
        journal.flush()
        loose = replace(CAR, threshold=0.3, hold=0.0)
        found = await kept.try_rules("street", [loose, SNOW], BEGIN - 1, BEGIN + 100)
        nothing = await kept.try_rules("street", [loose], BEGIN + 100, BEGIN + 200)
        kept.close()
    assert found.moments > 0
    assert len(found.curve.times) == found.moments
    assert found.curve.scores.keys() == {"car", "snow"}
    best, worst = max(found.curve.scores["car"]), max(found.curve.scores["snow"])
    assert best > worst
    assert all(event.rule == "car" and event.end is not None for event in found.events)
    assert (nothing.moments, nothing.events) == (0, ())
