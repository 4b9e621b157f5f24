"""Memory on disk as seen from outside: served before the model is there, one with what is watched now, never lost."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from llama_vid.history import MOST_SPANS
from llama_vid.memory.journal import Journal
from llama_vid.memory.records import ToldSpan
from llama_vid.model_loading import token_maker
from tests.server.running import RunningServer, running_server, until
from tests.server.scripted import SPANS, ScriptedModel
from tests.server.test_process import PROGRAM, ROOT


def jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 36), (shade, shade, shade)).save(file, "JPEG")
    return file.getvalue()


def shade(data: bytes) -> int:
    return int(round(Image.open(io.BytesIO(data)).convert("L").getpixel((9, 9)), -1))  # type: ignore[arg-type]


@contextmanager
def waiting_server(memory: Path) -> Iterator[tuple[RunningServer, Callable[[], None]]]:
    """A server whose model loads until the returned function is called."""
    model, go = ScriptedModel(), threading.Event()

    def load() -> ScriptedModel:
        assert go.wait(60)
        return model

    try:
        with running_server(memory=memory, load_model=load, ready=False) as server:
            yield server, go.set
    finally:
        go.set()


def spans(server: RunningServer, camera: str = "front", **query: float) -> list[dict[str, Any]]:
    answer = server.http.get(f"/api/cameras/{camera}/timeline", params={k.rstrip("_"): v for k, v in query.items()})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["spans"]
    return found


@pytest.fixture
def past(tmp_path: Path) -> Path:
    """The memory of a run before this one: a minute of `front`, and `gone`, a camera that is there no more."""
    folder = tmp_path / "memory"
    with closing(Journal(folder)) as journal:
        front = journal.camera("front")
        front.tell(ToldSpan(-60.0, -30.0, "an empty street", 0.0123))
        front.tell(ToldSpan(-30.0, -10.0, "a red car", 0.5))
        front.tell(ToldSpan(-10.0, 2.0, "rain", 0.2))
        for seconds, level in ((-55.0, 50), (-25.0, 100), (-5.0, 150)):
            front.picture(seconds, jpeg(level))
        journal.camera("gone").tell(ToldSpan(1.0, 2.0, "a hallway", 0.0))
        journal.camera("gone").picture(1.0, jpeg(200))
        assert journal.flush()
    return folder


def test_the_past_is_served_while_the_model_loads(past: Path) -> None:
    with waiting_server(past) as (server, load):
        assert server.http.get("/readyz").status_code == 503
        assert server.http.get("/readyz").json()["memory"] == {"state": "ok", "reason": ""}
        assert spans(server)[0] == {"start": -60.0, "end": -30.0, "caption": "an empty street", "motion": 0.0123}
        assert [s["caption"] for s in spans(server)] == ["an empty street", "a red car", "rain"]
        assert [s["caption"] for s in spans(server, from_=-20, to=-15)] == ["a red car"]
        for name, level in (("-54.2", 50), ("-26.5", 100), ("0", 150), ("latest", 150)):
            answer = server.http.get(f"/api/cameras/front/frames/{name}.jpg")
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg"), name
            assert shade(answer.content) == level, name
        assert shade(server.http.get("/api/cameras/front/snapshot.jpg").content) == 150
        # A camera without a past, one that is no more, and one that never was.
        assert spans(server, "back") == []
        assert server.http.get("/api/cameras/back/frames/1.jpg").status_code == 404
        assert [s["caption"] for s in spans(server, "gone")] == ["a hallway"]
        assert shade(server.http.get("/api/cameras/gone/frames/1.jpg").content) == 200
        assert server.http.get("/api/cameras/gone").status_code == 404
        for path in ("timeline", "frames/1.jpg", "snapshot.jpg"):
            answer = server.http.get(f"/api/cameras/never/{path}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_such_camera"), path
        load()
        until(lambda: server.http.get("/readyz").status_code == 200, "the model")


def test_past_and_present_are_one_timeline(past: Path) -> None:
    with running_server(memory=past) as server:
        now = [span.caption for span in SPANS]
        assert [s["caption"] for s in spans(server)] == ["an empty street", "a red car", "rain", *now]
        # What the session tells again is there once.
        assert [(s["start"], s["end"]) for s in spans(server, to=0)] == [(-60, -30), (-30, -10), (-10, 2)]
        assert [(s["start"], s["end"]) for s in spans(server)][2:4] == [(-10, 0), (0, 4)]
        assert [s["caption"] for s in spans(server, from_=10)] == ["a package at the door"]
        # The session has pictures of its own time, the journal those from before.
        assert shade(server.http.get("/api/cameras/front/frames/-25.jpg").content) == 100
        assert server.http.get("/api/cameras/front/frames/4.5.jpg").content != jpeg(150)


def test_a_long_timeline_comes_in_parts(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    count = MOST_SPANS + 700
    with closing(Journal(folder)) as journal:
        for number in range(count):
            journal.camera("front").tell(ToldSpan(number * 2.0, number * 2.0 + 2.0, f"scene {number}", 0.1))
        assert journal.flush(60)
    with waiting_server(folder) as (server, _):
        first = server.http.get("/api/cameras/front/timeline?from=100")
        assert [s["caption"] for s in first.json()["spans"]] == [f"scene {n}" for n in range(700, count)]
        assert first.links["prev"]["url"].startswith("/api/cameras/front/timeline?")
        rest = server.http.get(first.links["prev"]["url"])
        assert [s["caption"] for s in rest.json()["spans"]] == [f"scene {n}" for n in range(50, 700)]
        assert "prev" not in rest.links


def test_a_camera_that_is_taken_away_leaves_its_past(past: Path) -> None:
    with running_server(memory=past) as server:
        assert server.http.delete("/api/cameras/front").status_code == 204
        assert server.http.get("/api/cameras/front").status_code == 404
        assert [s["caption"] for s in spans(server)] == ["an empty street", "a red car", "rain"]
        new = {"id": "front", "url": "rtsp://127.0.0.1:9/other"}
        assert server.http.post("/api/cameras", json=new).status_code == 201
        until(lambda: len(server.model.sessions["front"]) == 2 and len(spans(server)) == 6, "the camera")


def test_a_disk_that_fails_is_said_and_nothing_stops(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    folder.write_text("a file is where the folder should be")
    with running_server(memory=folder) as server:
        failing = until(
            lambda: (answer := server.http.get("/readyz")).json()["memory"]["state"] == "failing" and answer,
            "the state",
        )
        assert failing.status_code == 200
        assert failing.json()["ready"] is True
        assert "memory" in failing.json()["memory"]["reason"]
        assert "llama_vid_journal_failing 1.0" in server.http.get("/metrics").text
        assert [s["caption"] for s in spans(server)] == [span.caption for span in SPANS]
        assert server.http.get("/api/cameras/front/frames/4.5.jpg").status_code == 200
        assert server.http.get("/api/cameras/never/timeline").status_code == 404
        assert folder.read_text() == "a file is where the folder should be"
        # Mended, it goes on by itself, with what came meanwhile.
        assert server.journal is not None
        server.journal.camera("front").tell(ToldSpan(-9.0, -5.0, "a cat", 0.1))
        folder.unlink()
        until(lambda: server.http.get("/readyz").json()["memory"]["state"] == "ok", "the disk", 90)
        until(lambda: spans(server, to=-6), "what came meanwhile")
        assert "llama_vid_journal_failing 0.0" in server.http.get("/metrics").text


def test_a_second_server_on_the_same_memory_is_refused(past: Path) -> None:
    with running_server(memory=past) as server:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, past], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode != 0
        line = done.stderr.splitlines()[-1]
        assert line.startswith(f"llama_vid.errors.LlamaVidError: the journal in {past} is in use by another process")
        assert "LLaMA-VID Live on" not in done.stderr  # its port never opened
        assert len(spans(server)) == 6


def test_a_changed_memory_section_needs_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "llama-vid.yaml"
    path.write_text("server: {port: 0}\nmemory: {retention_gb: 1}\n")
    with caplog.at_level(logging.WARNING), running_server(file=path):
        new = path.with_suffix(".new")
        new.write_text("server: {port: 0}\nmemory: {retention_gb: 2, path: elsewhere}\n")
        os.replace(new, path)
        until(
            lambda: any(
                "a change of 'memory' takes effect when the server is started again" in m for m in caplog.messages
            ),
            "the word",
        )


def test_the_maker_of_tokens_is_told_apart_by_what_they_depend_on(tmp_path: Path) -> None:
    manifest = json.loads((ROOT / "llama_vid/bundles/mini/bundle.json").read_text())

    def maker(**digests: str) -> str | None:
        folder = tmp_path / "mini"
        folder.mkdir(exist_ok=True)
        files = manifest["files"] | {name.replace("_", "."): digest for name, digest in digests.items()}
        (folder / "bundle.json").write_text(json.dumps(manifest | {"files": files}))
        return token_maker(str(folder))

    same = token_maker("mini")
    assert same is not None
    assert same.startswith("mini ")
    assert maker() == same
    assert maker(lora_safetensors="0" * 64) == same  # how tokens are read, not how they are made
    assert maker(compressor_safetensors="0" * 64) not in (same, None)
    (tmp_path / "mini" / "bundle.json").write_text("{")
    assert token_maker(str(tmp_path / "mini")) is None
    assert token_maker("no such model") is None
