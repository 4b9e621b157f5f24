"""Captions through the running server: on the websocket while somebody speaks, and as WebVTT from the journal."""

from __future__ import annotations

import asyncio
from pathlib import Path

import webvtt

from llama_vid.caption_desk import record_of
from llama_vid.clients import Client
from llama_vid.clients.outbox import STATUS_LIMIT, Outbox
from llama_vid.clients.protocol import CaptionFinal, CaptionPartial, StreamStatus
from llama_vid.llm.speech.words import CaptionEvent, Line, Word
from llama_vid.memory.journal import Journal
from tests.server.running import RunningServer, running_server, until

BEGIN = 1_700_000_000.0


def line(text: str, start: float) -> Line:
    words = [Word(start + 0.5 * at, start + 0.5 * at + 0.4, word, 0.9) for at, word in enumerate(text.split())]
    return Line.of(words)


async def test_what_is_said_is_told_while_it_is_said(server: RunningServer) -> None:
    async with Client.connect(server.url) as client:
        session = server.model.session("front")
        assert session.loop is not None
        for event in (
            CaptionEvent("partial", line("Ask not", 10.0)),
            CaptionEvent("final", line("Ask not what", 10.0)),
            CaptionEvent("partial", None),
        ):
            session.loop.call_soon_threadsafe(session.say, event)
        found: list[CaptionPartial | CaptionFinal] = []
        async with asyncio.timeout(10):
            async for caption in client.captions():
                found.append(caption)
                if len(found) == 3:
                    break
    assert [(each.type, each.text) for each in found] == [
        ("caption.partial", "Ask not"),
        ("caption.final", "Ask not what"),
        ("caption.partial", ""),
    ]
    assert (found[1].camera, found[1].start, found[1].end) == ("front", 10.0, 11.4)
    assert found[2].start is None


async def test_a_slow_client_loses_partials_never_finals() -> None:
    outbox = Outbox()
    for _ in range(STATUS_LIMIT):
        outbox.put(CaptionFinal(camera="front", text="said"))
    outbox.put(CaptionPartial(camera="front", text="lost"))
    outbox.put(StreamStatus(camera="front", state="live"))
    outbox.put(CaptionFinal(camera="front", text="last"))
    assert len(outbox) == STATUS_LIMIT + 1


def test_what_was_said_is_a_webvtt_file(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        front = journal.camera("front")
        front.note(record_of(line("Four score and seven years ago our fathers brought forth a nation.", BEGIN)))
        front.note(record_of(line("Now we are engaged in a great civil war.", BEGIN + 60)))
        front.flush()
    with running_server(memory=tmp_path) as server:
        reply = server.http.get("/api/cameras/front/captions.vtt")
        assert reply.headers["content-type"].startswith("text/vtt")
        (tmp_path / "all.vtt").write_text(reply.text)
        cues = webvtt.read(str(tmp_path / "all.vtt")).captions
        said = " ".join(" ".join(cue.text.split()) for cue in cues)
        assert said.startswith("Four score and seven")
        assert said.endswith("great civil war.")
        assert cues[0].start_in_seconds == 0
        later = server.http.get(f"/api/cameras/front/captions.vtt?from={BEGIN + 50}&to={BEGIN + 90}").text
        assert "Four score" not in later
        assert "00:00:10.000 -->" in later
        assert server.http.get("/api/cameras/front/captions.vtt?from=5&to=1").json()["error"]["param"] == "to"
        assert server.http.get("/api/cameras/nobody/captions.vtt").status_code == 404
        assert server.http.get("/api/cameras/back/captions.vtt").text.startswith("WEBVTT")


def test_the_settings_reach_the_camera(tmp_path: Path) -> None:
    cameras = {"hall": {"url": "rtsp://127.0.0.1:9/hall", "captions": {"glossary": ["LLaMA-VID"]}}}
    with running_server(cameras) as server:
        session = until(lambda: server.model.session("hall"), "the camera")
        assert session.captions.hotwords == "LLaMA-VID"
