"""`GET /metrics`, read as Prometheus reads it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families

import llama_vid
from llama_vid.clients import Client
from llama_vid.clients.client import ResponseFailed
from llama_vid.memory.journal import Journal
from llama_vid.memory.records import ToldSpan
from tests.server.running import RunningServer, running_server, until

#: name, then its labels as they are written in the text
Samples = dict[tuple[str, str], float]


def scrape(server: RunningServer) -> Samples:
    answer = server.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found: Samples = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.name.startswith("llama_vid_")
        assert family.documentation.endswith(".")
        for sample in family.samples:
            key = sample.name, ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def test_what_is_counted(server: RunningServer) -> None:
    found = scrape(server)
    assert found["llama_vid_ready", ""] == 1
    assert 0 < found["llama_vid_model_loading_seconds", ""] < 60
    (build,) = [key for key in found if key[0] == "llama_vid_build_info"]
    assert f"version={llama_vid.__version__}" in build[1]
    states = {labels: value for (name, labels), value in found.items() if name == "llama_vid_cameras"}
    assert states.pop("state=live") == 2
    assert set(states.values()) == {0}
    for name, value in {
        "live": 1,
        "frames_total": 20,
        "dropped_frames_total": 1,
        "reconnects_total": 0,
        "watched_seconds": 20,
        "video_tokens": 40,
        "memory_entries": 20,
        "kv_cache_bytes": 921_600,
    }.items():
        for camera in ("front", "back"):
            assert found[f"llama_vid_camera_{name}", f"camera={camera}"] == value, name
    # Without memory on disk nothing is said of it.
    assert not any("journal" in name for name, _ in found)
    server.model.session("front").change("stalled", "no picture for 10 s")
    until(lambda: scrape(server)["llama_vid_cameras", "state=stalled"] == 1, "the state")
    assert scrape(server)["llama_vid_camera_live", "camera=front"] == 0


def test_no_secret_and_no_address(server: RunningServer) -> None:
    text = server.http.get("/metrics").text
    for secret in ("hunter22", "user:", "rtsp", "127.0.0.1", ":9"):
        assert secret not in text, secret


async def test_answers_and_first_tokens() -> None:
    with running_server() as server, running_server() as other:
        async with Client.connect(server.url) as client:
            await client.answer("front", "hello")
            await client.answer("back", "count 3")
            with pytest.raises(ResponseFailed):
                await client.answer("front", "fail")
            async for _ in client.ask("front", "wait"):
                break  # leaving early cancels
        found = until(lambda: (s := scrape(server))["llama_vid_answers_total", "status=cancelled"] and s, "the answers")
        assert found["llama_vid_answers_total", "status=completed"] == 2
        assert found["llama_vid_answers_total", "status=failed"] == 1
        assert found["llama_vid_first_token_seconds_count", ""] == 4
        assert found["llama_vid_first_token_seconds_bucket", "le=+Inf"] == 4
        assert 0 < found["llama_vid_first_token_seconds_sum", ""] < 30
        # Every server counts for itself.
        assert scrape(other)["llama_vid_answers_total", "status=completed"] == 0


def test_the_journal_is_counted(tmp_path: Path) -> None:
    with closing(Journal(tmp_path)) as journal:
        journal.camera("front").tell(ToldSpan(1.0, 2.0, "a cat", 0.1))
        assert journal.flush()
    with running_server(memory=tmp_path) as server:
        found = scrape(server)
        assert found["llama_vid_journal_failing", ""] == 0
        assert found["llama_vid_journal_bytes", ""] > 0
        assert found["llama_vid_journal_waiting_writes", ""] == 0
        assert found["llama_vid_journal_lost_writes_total", ""] == 0
        assert server.journal is not None
        assert found["llama_vid_journal_rows", ""] == server.journal.state.rows


def test_a_camera_that_failed_has_a_state_and_no_counts() -> None:
    with running_server({"bad": {"url": "rtsp://u:hunter22@broken/x"}}) as server:
        found = until(lambda: (s := scrape(server))["llama_vid_cameras", "state=failed"] and s, "the failure")
        assert found["llama_vid_camera_live", "camera=bad"] == 0
        assert ("llama_vid_camera_frames_total", "camera=bad") not in found
        assert "hunter22" not in server.http.get("/metrics").text


def test_the_formats_and_who_may_read_them(server: RunningServer) -> None:
    accept = "application/openmetrics-text; version=1.0.0"
    answer = server.http.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {family.name for family in read_openmetrics(answer.text)} >= {"llama_vid_build", "llama_vid_answers"}
    assert answer.headers["cache-control"] == "no-store"
    assert server.http.get("/metrics", headers={"Host": "evil.example"}).status_code == 421
    assert server.http.get("/metrics", headers={"Origin": "http://evil.example"}).status_code == 403
    assert "/metrics" in server.http.get("/openapi.json").json()["paths"]
