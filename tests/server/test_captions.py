"""Captions through the running server: on the websocket while somebody speaks, and as WebVTT from the journal."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
from datetime import datetime
from pathlib import Path

import webvtt

from llama_vid.caption_desk import record_of
from llama_vid.clients import Client
from llama_vid.clients.outbox import STATUS_LIMIT, Outbox
from llama_vid.clients.protocol import CaptionFinal, CaptionPartial, StreamStatus
from llama_vid.llm.speech.caption_stream import CaptionStats
from llama_vid.llm.speech.words import CaptionEvent, Line, Word
from llama_vid.memory.journal import Journal
from tests.server.running import RunningServer, running_server, until

FFMPEG = shutil.which("ffmpeg")
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


def test_chapters_of_a_span(server: RunningServer) -> None:
    reply = server.http.get("/api/cameras/front/chapters?from=5&to=30")
    assert reply.json() == {
        "chapters": [{"start": 4.0, "end": 20.0, "title": "Packages", "text": "A package was put down."}]
    }
    assert server.model.session("front").divided == (5.0, 30.0)
    assert server.http.get("/api/cameras/front/chapters?from=5&to=1").json()["error"]["param"] == "to"
    assert server.http.get("/api/cameras/nobody/chapters").status_code == 404


def say(server: RunningServer, name: str, *lines: Line) -> None:
    """Somebody says lines in front of a camera; returns when they have been taken."""
    session = server.model.session(name)
    assert session.loop is not None
    taken = threading.Event()
    for each in lines:
        session.loop.call_soon_threadsafe(session.say, CaptionEvent("final", each))
    session.loop.call_soon_threadsafe(taken.set)
    assert taken.wait(10)


HALL = {"hall": {"url": "rtsp://127.0.0.1:9/hall", "captions": True}, "yard": {"url": "rtsp://127.0.0.1:9/yard"}}


def test_a_live_hls_rendition(tmp_path: Path) -> None:
    begin = 6.0 * 283_333_000
    with running_server(HALL) as server:
        until(lambda: server.model.sessions.get("hall"), "the camera")
        base = "/api/cameras/hall/captions"
        assert "#EXTINF" not in server.http.get(f"{base}.m3u8").text
        say(server, "hall", line("Four score and seven years ago.", begin + 1), line("Our fathers.", begin + 15))
        session = server.model.session("hall")
        session.heard_to = begin + 15.5  # the words after 15 s are not settled yet
        reply = server.http.get(f"{base}.m3u8")
        assert reply.headers["content-type"] == "application/vnd.apple.mpegurl"
        lines = reply.text.splitlines()
        first = 283_333_000
        listed = [f"captions/{first}.vtt", f"captions/{first + 1}.vtt"]
        assert [text for text in lines if text.startswith("captions/")] == listed
        assert "#EXT-X-ENDLIST" not in lines
        stamp = lines[lines.index(f"captions/{first}.vtt") - 2]
        assert stamp.startswith("#EXT-X-PROGRAM-DATE-TIME:")
        assert datetime.fromisoformat(stamp.partition(":")[2]).timestamp() == begin
        segment = server.http.get(f"{base}/{first}.vtt")
        assert segment.headers["content-type"].startswith("text/vtt")
        zero = round(begin * 90_000) % 2**33
        assert f"X-TIMESTAMP-MAP=MPEGTS:{zero},LOCAL:00:00:00.000" in segment.text
        assert "00:00:01.000 -->" in segment.text
        assert "Four score" in segment.text
        assert server.http.get(f"{base}/{first + 2}.vtt").status_code == 404
        session.heard_to = begin + 30.0
        assert f"captions/{first + 2}.vtt" in server.http.get(f"{base}.m3u8").text
        assert "Our fathers." in server.http.get(f"{base}/{first + 2}.vtt").text
        assert server.http.get(f"{base}/{first + 99}.vtt").status_code == 404
        if FFMPEG is not None:  # a player that we did not write reads all that is listed
            saved = server.http.get(f"{base}.m3u8").text.replace("captions/", f"{server.url}{base}/")
            (tmp_path / "saved.m3u8").write_text(f"{saved}#EXT-X-ENDLIST\n")
            command = [FFMPEG, "-v", "error", "-protocol_whitelist", "file,http,tcp", "-i", tmp_path / "saved.m3u8"]
            read = subprocess.run([*command, "-f", "srt", "-"], capture_output=True, text=True, timeout=30, check=True)
            assert "00:00:01,000 --> 00:00:04,700\nFour score and seven years ago." in read.stdout
            assert "00:00:15,000 --> " in read.stdout
            assert "Our fathers." in read.stdout
        assert server.http.get("/api/cameras/yard/captions.m3u8").status_code == 404
        assert server.http.get("/api/cameras/nobody/captions.m3u8").status_code == 404


def test_how_captions_fare_is_measured() -> None:
    with running_server(HALL) as server:
        until(lambda: server.model.sessions.get("hall"), "the camera")
        session = server.model.session("hall")
        session.hearing = CaptionStats("speaking", words=120, lag_s=0.75, delay_s=1.9, load=0.3, rung=1, dropped_s=2.5)
        fare = server.http.get("/api/cameras/hall").json()["captions"]
        assert fare == {
            "state": "speaking", "reason": "", "words": 120, "lag_s": 0.75, "delay_s": 1.9, "effort": "full",
        }  # fmt: skip
        assert server.http.get("/api/cameras/yard").json()["captions"] is None
        text = server.http.get("/metrics").text
        assert 'llama_vid_caption_words_total{camera="hall"} 120.0' in text
        assert 'llama_vid_caption_lag_seconds{camera="hall"} 0.75' in text
        assert 'llama_vid_caption_delay_seconds{camera="hall"} 1.9' in text
        assert 'llama_vid_caption_effort_rung{camera="hall"} 1.0' in text
        assert 'llama_vid_caption_dropped_seconds_total{camera="hall"} 2.5' in text
        assert 'llama_vid_caption_state{camera="hall",state="speaking"} 1.0' in text
        assert 'llama_vid_caption_state{camera="hall",state="silent"} 0.0' in text
        assert 'camera="yard"' not in "\n".join(row for row in text.splitlines() if "caption" in row)


def test_the_settings_reach_the_camera(tmp_path: Path) -> None:
    cameras = {"hall": {"url": "rtsp://127.0.0.1:9/hall", "captions": {"glossary": ["LLaMA-VID"]}}}
    with running_server(cameras) as server:
        session = until(lambda: server.model.session("hall"), "the camera")
        assert session.captions.hotwords == "LLaMA-VID"
