"""A killed server goes on where it was: what it had told is there at once, its memory a moment later."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from llama_vid.clients import Client, ResponseDone
from tests.bundles import film, skip_without_mini
from tests.e2e.test_process import serving
from tests.server.running import until

pytestmark = [pytest.mark.model, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _mini() -> None:
    skip_without_mini()


@contextmanager
def watching(config: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """The server as a process, with its port open."""
    with serving(config) as (process, url), httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
        yield process, http


def camera(http: httpx.Client) -> dict[str, Any]:
    answer = http.get("/api/cameras/front")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def spans(http: httpx.Client, **query: float) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get("/api/cameras/front/timeline", params=query).json()["spans"]
    return found


def kept(folder: Path, query: str) -> float:
    """A figure of the journal on disk, as another program sees it; 0 while it has none."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(folder / "journal.db")) as db:
        return float(db.execute(query).fetchone()[0] or 0)
    return 0.0


def ask(http: httpx.Client, question: str) -> ResponseDone:
    async def asked() -> ResponseDone:
        async with Client.connect(str(http.base_url)) as client:
            return await client.answer("front", question)

    return asyncio.run(asked())


def test_a_killed_server_goes_on_where_it_was(tmp_path: Path) -> None:
    config = tmp_path / "llama-vid.yaml"
    config.write_text(f"server: {{port: 0}}\nmemory: {{path: kept}}\ncameras: {{front: {{url: 'file:{film()}'}}}}\n")
    began = time.time()
    with watching(config) as (process, http):
        until(lambda: http.get("/readyz").status_code == 200, "the model", 120)
        until(lambda: camera(http)["watched_s"] >= 15, "15 s of the camera", 60)
        until(lambda: kept(tmp_path / "kept", "SELECT count(*) FROM told"), "a told scene", 60)
        assert http.get("/readyz").json()["memory"] == {"state": "ok", "reason": ""}
        before = camera(http)
        committed = kept(tmp_path / "kept", "SELECT max(end) FROM entries")
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        killed = time.time()
    with watching(config) as (process, http):
        told = spans(http)
        picture = http.get(f"/api/cameras/front/frames/{began:.3f}.jpg")
        ready = http.get("/readyz")
        # Asked before the model was there, and answered all the same.
        assert ready.status_code == 503
        assert ready.json()["memory"]["state"] == "ok"
        assert told
        assert all(began - 1 <= span["start"] < span["end"] <= killed for span in told)
        assert all(span["caption"] for span in told)
        assert (picture.status_code, picture.content[:2]) == (200, b"\xff\xd8")

        until(lambda: http.get("/readyz").status_code == 200, "the model", 120)
        now = until(lambda: (c := camera(http))["state"] == "live" and c["memory"]["restored"] and c, "the camera", 60)
        assert " entries (" in now["memory"]["restored"]
        # Seconds watched go on from before, the time that it was away included.
        away = time.time() - killed
        until(lambda: camera(http)["watched_s"] > before["watched_s"] + away, "more seconds", 60)
        # What was told stays as it was told, and what was seen up to the end, not told yet, is told now.
        whole = spans(http)
        assert [span for span in whole if span["end"] <= told[-1]["end"]] == told
        assert told[-1]["end"] <= committed <= killed + 1  # a frame stands for the second that it begins
        assert any(span["start"] <= committed - 0.01 <= span["end"] for span in whole)
        assert all(one["end"] <= next_one["start"] for one, next_one in pairwise(whole))

        done = ask(http, "What has happened so far?")
        assert done.status == "completed"
        assert done.answer
        first = min(done.evidence, key=lambda item: item.start)
        assert began - 1 <= first.start < killed
        assert http.get(first.frame_url).status_code == 200
        figures = {
            sample.name: sample.value
            for family in text_string_to_metric_families(http.get("/metrics").text)
            for sample in family.samples
        }
        assert figures["llama_vid_camera_kv_cache_bytes"] > 0
        assert figures["llama_vid_camera_memory_entries"] >= 15
        assert figures["llama_vid_journal_rows"] >= 15
        assert figures["llama_vid_first_token_seconds_count"] == 1
        process.send_signal(signal.SIGTERM)
        process.wait(30)
