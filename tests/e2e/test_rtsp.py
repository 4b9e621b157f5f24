"""A live camera over RTSP, watched by the real model: questions while frames keep coming, clients, an outage."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import time

import pytest
from PIL import Image

from llama_vid.clients import Client
from llama_vid.clients.client import RequestRefused
from llama_vid.clients.protocol import ResponseCreated, ResponseDone, TextDelta
from tests.e2e.conftest import Live, Statuses

pytestmark = [pytest.mark.model, pytest.mark.peer, pytest.mark.slow]


async def test_a_question_is_streamed_and_answered_with_times_and_pictures(live: Live) -> None:
    await live.watched(4)
    async with Client.connect(live.url) as client:
        assert client.session.cameras == ["front", "gone", "locked", "web"]
        assert client.session.model == "mini"
        events = [event async for event in client.events("front", "Is there a car?")]
    created, *deltas, done = events
    assert isinstance(created, ResponseCreated)
    assert isinstance(done, ResponseDone)
    texts = [event.delta for event in deltas if isinstance(event, TextDelta)]
    assert len(texts) == len(deltas) > 0
    assert "".join(texts).strip() == done.answer
    assert done.status == "completed"
    assert done.answer.startswith(("Yes", "No"))
    assert done.usage.per_frame == 2
    assert done.usage.video == 2 * done.usage.frames
    assert done.evidence
    assert done.timestamps == sorted(done.timestamps)
    now = time.time()
    for item in done.evidence:
        assert now - 300 < item.start <= item.end < now + 2
        picture = await asyncio.to_thread(live.server.http.get, item.frame_url)
        assert picture.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(picture.content)) as image:
            assert image.size == (320, 180)
            assert len(image.getcolors(1 << 20) or []) > 1000, "a real picture, not a flat one"


async def test_clients_ask_at_once_while_frames_keep_coming(live: Live) -> None:
    await live.watched(4)
    before = live.camera()["tokens"]["frames"]
    began = time.monotonic()
    async with Client.connect(live.url) as one, Client.connect(live.url) as other:
        answers = await asyncio.gather(
            one.answer("front", "What is in the picture?"),
            other.answer("front", "Is there a car?"),
            one.answer("front", "When was a bicycle seen?"),
            other.answer("front", "How long is the video?"),
        )
        await live.more_frames(1)
    passed = time.monotonic() - began
    assert [answer.status for answer in answers] == ["completed"] * 4
    assert all(answer.answer for answer in answers)
    assert answers[3].answer.startswith("I have watched ")
    # A frame a second was taken in beside the answers; one or two may still be on their way.
    assert live.camera()["tokens"]["frames"] - before >= 0.6 * passed - 2
    assert live.camera()["dropped"] <= 2


async def test_cancelled_in_the_middle_of_an_answer(live: Live) -> None:
    await live.watched(4)
    async with Client.connect(live.url) as client:
        done = None
        async with contextlib.aclosing(client.events("front", "What is in the picture?")) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    await client.cancel(event.response_id)
                if isinstance(event, ResponseDone):
                    done = event
        assert done is not None
        # The answer may have come to its end before the server heard of it.
        assert done.status in ("cancelled", "completed")
        async for _ in client.ask("front", "What has happened so far?"):
            break  # leaving the loop cancels, too
        again = await client.answer("front", "How long is the video?")
        assert again.answer.startswith("I have watched ")


async def test_the_timeline_covers_what_was_watched(live: Live) -> None:
    await live.watched(6)
    began = time.monotonic()
    reply = await asyncio.to_thread(live.server.http.get, "/api/cameras/front/timeline")
    assert time.monotonic() - began < 5
    spans = reply.json()["spans"]
    assert spans
    for span in spans:
        assert set(span) == {"start", "end", "caption", "motion"}
        assert span["start"] < span["end"]
        assert span["caption"].endswith(".")
        assert 0 <= span["motion"] <= 1
    for before, after in itertools.pairwise(spans):
        assert before["end"] <= after["start"] + 0.001
    assert spans[-1]["end"] - spans[0]["start"] >= 6
    middle = (spans[0]["start"] + spans[-1]["end"]) / 2
    later = (await asyncio.to_thread(live.server.http.get, f"/api/cameras/front/timeline?from={middle}")).json()
    assert later["spans"] == [span for span in spans if span["end"] > middle][: len(later["spans"])] or later["spans"]
    assert all(span["end"] > middle for span in later["spans"])


async def test_an_outage_leaves_memory_and_heals_by_itself(live: Live) -> None:
    await live.watched(4)
    async with Client.connect(live.url) as client, asyncio.TaskGroup() as group:
        statuses = Statuses()

        async def listen() -> None:
            await client.choose(["front"])
            async for status in client.statuses():
                if status.camera == "front":
                    statuses.take(status)

        listener = group.create_task(listen(), name="statuses")
        await statuses.until("live")
        first = (await asyncio.to_thread(live.server.http.get, "/api/cameras/front/timeline")).json()["spans"][0]
        died = time.time()
        await asyncio.to_thread(live.front.stop)
        known = len(statuses.seen)
        lost = await statuses.until("reconnecting")
        assert lost.reason
        during = await client.answer("front", "Is there a bicycle?")
        assert during.status == "completed"
        assert during.timestamps
        assert max(during.timestamps) <= died + 1
        await asyncio.to_thread(until_after, died + 6)
        frames = live.camera()["frames"]
        await asyncio.to_thread(live.front.start)
        back = time.monotonic()
        while live.camera()["frames"] <= frames:
            assert time.monotonic() - back < 5, "frames flow within five seconds of the camera's return"
            await asyncio.sleep(0.05)
        await statuses.until("live", known)
        await live.more_frames(2)
        after = await client.answer("front", "When was a bicycle seen?")
        assert min(after.timestamps, default=died) <= died, "the time before the outage is still known"
        spans = (await asyncio.to_thread(live.server.http.get, "/api/cameras/front/timeline")).json()["spans"]
        assert spans[0]["start"] == first["start"]
        starts = [span["start"] for span in spans]
        assert starts == sorted(starts)
        gaps = [b["start"] - a["end"] for a, b in itertools.pairwise(spans)]
        assert max(gaps) > 3, "the time of the outage is nobody's"
        assert live.camera()["reconnects"] >= 1
        listener.cancel()


def until_after(moment: float) -> None:
    """Waits until a time of the epoch: the outage itself is what is waited for."""
    time.sleep(max(0.0, moment - time.time()))


async def test_cameras_that_cannot_be_seen(live: Live) -> None:
    async with Client.connect(live.url) as client, asyncio.timeout(40):
        reasons: dict[str, str] = {}
        async for status in client.statuses():
            if status.state == "reconnecting":
                reasons[status.camera] = status.reason
            if reasons.keys() >= {"locked", "gone"}:
                break
        assert "refused the user name or password" in reasons["locked"]
        assert "refused the connection" in reasons["gone"]
        assert "hunter22" not in str(reasons)
        answer = await client.answer("gone", "What has happened so far?")
        assert answer.answer == "I have not seen anything yet."
    assert "hunter22" not in live.server.http.get("/api/cameras").text


@pytest.mark.parametrize(
    ("camera", "question", "code"),
    [
        ("front", "", "question_empty"),
        ("front", " \n\t<|im_end|> ", "question_empty"),
        ("front", "a" * 100_000, "question_too_long"),
        ("nowhere", "What is there?", "no_such_camera"),
    ],
)
async def test_questions_that_cannot_be_taken(live: Live, camera: str, question: str, code: str) -> None:
    async with Client.connect(live.url) as client:
        with pytest.raises(RequestRefused) as refused:
            await client.answer(camera, question)
        assert refused.value.code == code
        assert "\n" not in str(refused.value)
    assert (await asyncio.to_thread(live.server.http.get, "/healthz")).status_code == 200
