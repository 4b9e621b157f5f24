"""Forgetting in a running camera: memory, pictures, timeline, KV cache and what comes late, on the real bundle."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from llama_vid.errors import QuestionError
from llama_vid.llm.answer import Answer
from llama_vid.llm.speech.words import Line
from llama_vid.memory.journal import Journal
from llama_vid.stream.frame import Frame
from tests.bundles import film
from tests.model.test_session import BEGIN, Reel
from tests.peers.waiting import until

if TYPE_CHECKING:
    from llama_vid.model import LLaMAVID
    from llama_vid.session import Session

pytestmark = [pytest.mark.model]


@pytest.fixture(scope="module")
def street() -> list[Frame]:
    """Ten seconds of a street, then ten of a red wall, on the live clock."""
    from llama_vid.stream.file import FileSource

    seen = [Frame(BEGIN + frame.seconds, frame.image) for frame in FileSource(film())][:10]
    wall = np.full((240, 320, 3), (200, 30, 20), np.uint8)
    return [*seen, *(Frame(BEGIN + 10 + second, wall, second == 0) for second in range(10))]


async def asked(session: Session, question: str) -> Answer:
    answer = None
    async for piece in session.ask(question):
        answer = piece.answer or answer
    assert answer is not None
    return answer


async def forget(session: Session, journal: Journal, start: float, end: float) -> None:
    async def erase() -> None:
        await asyncio.wrap_future(journal.camera("front").forget(start, end))

    await session.forget(start, end, erase)


def overlaps(start: float, end: float, first: float, last: float) -> bool:
    return start < last and end > first


async def test_answers_know_nothing_of_it(model: LLaMAVID, journal: Journal, street: list[Frame]) -> None:
    async with model.watch(Reel(street, ends=False), name="front") as session, asyncio.timeout(90):
        await session.wait_watched(19.5)
        watching = session._watching
        before = await asked(session, "Is there a bicycle?")
        assert any(seconds < BEGIN + 10 for seconds in before.timestamps)
        await until(lambda: watching.context.length > 0)
        anchor = watching.entries[0].pair

        await forget(session, journal, BEGIN - 5, BEGIN + 10)
        entries = watching.entries
        assert entries
        assert all(entry.start >= BEGIN + 10 for entry in entries)
        assert all(entry.pair.context is not anchor.context for entry in entries)
        assert watching.context.length == 0
        for question in ("Is there a bicycle?", "What has happened so far?"):
            answer = await asked(session, question)
            assert all(seconds >= BEGIN + 10 for seconds in answer.timestamps), question
            assert all(item.start >= BEGIN + 10 for item in answer.evidence), question
        assert all(span.start >= BEGIN + 10 for span in await session.timeline())
        jpeg = await session.snapshot(BEGIN + 3)
        assert jpeg is not None
        red, green, _ = np.asarray(Image.open(io.BytesIO(jpeg))).reshape(-1, 3).mean(0)
        assert red > green + 100  # the wall: nothing of the street is kept
        assert journal.flush()
        assert journal.camera("front").bounds is not None
        assert journal.camera("front").bounds[0] >= BEGIN + 10  # type: ignore[index]


async def test_frames_that_waited_and_what_comes_next(model: LLaMAVID, journal: Journal, street: list[Frame]) -> None:
    async with model.watch(Reel(street[:10], ends=False), name="front") as session, asyncio.timeout(90):
        await session.wait_watched(9.5)
        await forget(session, journal, BEGIN, BEGIN + 15)
        recorder = session._watching.recorder
        assert session._watching.entries == ()
        assert await session.snapshot() is None
        assert await session.timeline() == []

        def add(frames: list[Frame]) -> None:
            recorder.add(frames)

        # Frames of that time that were on their way are turned away; those after it are seen as if for the first time.
        await session._thread.run(1, lambda: add(street[8:]))
        session._said(Line(BEGIN + 14, BEGIN + 16, "It was said in the dark.", ()))
        session._said(Line(BEGIN + 16, BEGIN + 17, "It was said in the light.", ()))
        assert [line.text for line in session._transcript.lines(0, 1e12)] == ["It was said in the light."]
        entries = session._watching.entries
        assert entries[0].start == BEGIN + 15
        assert not entries[0].pair.held
        assert recorder.end == BEGIN + 20


async def test_an_answer_under_way_fails(model: LLaMAVID, journal: Journal, street: list[Frame]) -> None:
    async with model.watch(Reel(street, ends=False), name="front") as session, asyncio.timeout(90):
        await session.wait_watched(9.5)
        pieces = session.ask("What has happened so far?")
        await anext(pieces)
        await forget(session, journal, BEGIN, BEGIN + 5)
        with pytest.raises(QuestionError, match="forgotten meanwhile"):
            async for _ in pieces:
                pass
        assert (await asked(session, "What has happened so far?")).answer


async def test_a_scene_under_way_keeps_its_time_outside(model: LLaMAVID, journal: Journal, street: list[Frame]) -> None:
    async with model.watch(Reel(street, ends=False), name="front") as session, asyncio.timeout(90):
        await session.wait_watched(19.5)
        first, last = BEGIN + 3, BEGIN + 6
        await forget(session, journal, first, last)
        left = session._watching.entries
        assert not any(overlaps(entry.start, entry.end, first, last) for entry in left)
        assert left[0].start == BEGIN
        assert {entry.scene for entry in left if entry.end <= first}.isdisjoint(
            {entry.scene for entry in left if entry.start >= last}
        )
        spans = await session.timeline()
        assert spans
        assert not any(overlaps(span.start, span.end, first, last) for span in spans)
        # A restart brings back the same.
        assert journal.flush()
        restored = journal.camera("front").restore()
        assert [(entry.start, entry.end) for entry in restored] == [(entry.start, entry.end) for entry in left]
