"""A live session on the real bundle: its end, its errors, questions that are cancelled, and its recorder."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import pytest

from llama_vid.errors import EndOfStream, QuestionError, SourceError
from llama_vid.stream.frame import Frame
from llama_vid.stream.source import SourceState, SourceStats
from tests.bundles import film, mini

if TYPE_CHECKING:
    from llama_vid.model import LLaMAVID

pytestmark = [pytest.mark.model]

BEGIN = 1_700_000_000.0


class Reel:
    """A source that gives these frames as fast as they are taken, then ends, or goes on for ever with none."""

    def __init__(self, frames: list[Frame], *, ends: bool = True) -> None:
        self._frames, self._ends = iter(frames), ends
        self.closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = True

    async def recv(self) -> Frame:
        await asyncio.sleep(0.05)  # a camera's pace, somewhat faster
        for frame in self._frames:
            return frame
        if not self._ends:
            await asyncio.Event().wait()
        raise EndOfStream("the reel is over")

    @property
    def state(self) -> SourceState:
        return "live"

    @property
    def stats(self) -> SourceStats:
        return SourceStats(0, 0, 0, [])

    def on_state(self, callback: Callable[[SourceState, str], None]) -> None:
        """Its state never changes."""


@pytest.fixture(scope="module")
def model() -> Iterator[LLaMAVID]:
    """The real model; its thread ends with the module."""
    bundle = mini()
    from llama_vid.model import LLaMAVID

    made = LLaMAVID(bundle)
    yield made
    if made._thread is not None:
        made._thread.close()


@pytest.fixture(scope="module")
def street(model: LLaMAVID) -> list[Frame]:
    """Ten frames of a street, a second apart, on the live clock."""
    from llama_vid.stream.file import FileSource
    from llama_vid.stream.opening import open_source

    source = open_source(str(film()), live=False)
    assert isinstance(source, FileSource)
    return [Frame(BEGIN + frame.seconds, frame.image, frame.gap) for frame in source]


async def whole(pieces: AsyncIterator[object]) -> str:
    return "".join([str(piece) async for piece in pieces])


async def test_every_frame_of_a_source_that_ends_is_in_memory(model: LLaMAVID, street: list[Frame]) -> None:
    reel = Reel(street)
    async with model.watch(reel) as session, asyncio.timeout(60):
        await session.wait_watched(9.5)
        assert session.tokens.frames == len(street)
        with pytest.raises(SourceError, match=r"ended after 1[01] s"):
            await session.wait_watched(60)
        assert (await whole(session.ask("Is there a bicycle?"))).startswith(("Yes", "No"))
        assert (await session.snapshot() or b"").startswith(b"\xff\xd8")
        spans = await session.timeline()
        assert spans[0].start == BEGIN
        assert spans[-1].end == pytest.approx(BEGIN + 10, abs=1)
        assert await session.timeline(BEGIN + 100, BEGIN + 200) == []
    assert reel.closed


async def test_one_failed_question_ends_nothing(
    model: LLaMAVID, street: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with model.watch(Reel(street, ends=False)) as session, asyncio.timeout(60):
        await session.wait_watched(5)
        with monkeypatch.context() as broken:
            broken.setattr(model.responder.find, "scores", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await whole(session.ask("Is there a bicycle?"))
        with pytest.raises(QuestionError):
            await whole(session.ask("   "))
        await session.wait_watched(9.5)
        assert (await whole(session.ask("Is there a bicycle?"))).startswith(("Yes", "No"))


async def test_one_bad_frame_ends_nothing(model: LLaMAVID, street: list[Frame]) -> None:
    bad = Frame(BEGIN + 3.5, np.zeros((0, 0, 3), np.uint8))
    async with model.watch(Reel([*street[:4], bad, *street[4:]], ends=False)) as session, asyncio.timeout(60):
        await session.wait_watched(9.5)


async def test_cancelled_questions_leave_the_next_one_alone(model: LLaMAVID, street: list[Frame]) -> None:
    async with model.watch(Reel(street, ends=False)) as session, asyncio.timeout(60):
        await session.wait_watched(9.5)
        async with contextlib.aclosing(session.ask("What is in the picture?")) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                if str(piece):
                    break
        task = asyncio.create_task(whole(session.ask("What has happened so far?")), name="question")
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await whole(session.ask("When was a bicycle seen?"))


async def test_the_callers_error_is_its_own(model: LLaMAVID, street: list[Frame]) -> None:
    reel = Reel(street, ends=False)
    with pytest.raises(KeyError):
        async with model.watch(reel):
            raise KeyError("mine")
    assert reel.closed


async def test_pronouns_follow_the_conversation(model: LLaMAVID, street: list[Frame]) -> None:
    async with model.watch(Reel(street)) as session, asyncio.timeout(60):
        await session.wait_watched(9.5)
        await whole(session.ask("Is there a bicycle?", conversation="one"))
        alone = await whole(session.ask("When was it seen?"))
        followed = await whole(session.ask("When was it seen?", conversation="one"))
        assert followed == await whole(session.ask("When was a bicycle seen?"))
        # A caller that keeps the conversation itself hands its questions over, whatever they are.
        kept = ["Is there a bicycle?", "", "?!"]
        assert followed == await whole(session.ask("When was it seen?", earlier=kept))
        assert followed != alone or "bicycle" in alone


async def test_moments_of_a_live_memory_are_found(model: LLaMAVID, street: list[Frame]) -> None:
    async with model.watch(Reel(street)) as session, asyncio.timeout(60):
        await session.wait_watched(9.5)
        everywhere = await session.search("a street with bicycles", limit=5)
        assert everywhere
        assert [moment.score for moment in everywhere] == sorted((m.score for m in everywhere), reverse=True)
        assert all(BEGIN <= moment.start < moment.end <= BEGIN + 10.5 for moment in everywhere)
        late = await session.search("a street with bicycles", BEGIN + 6, BEGIN + 8)
        assert late
        assert all(moment.end > BEGIN + 6 and moment.start <= BEGIN + 8 for moment in late)
        assert await session.search("a street", BEGIN + 100) == []
        assert await model.count_tokens(["a street", ""]) == [len(model.bundle.language.tokenize("a street")), 0]
