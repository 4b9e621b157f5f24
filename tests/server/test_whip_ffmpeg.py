"""ffmpeg's WHIP muxer as a publisher: taken in, watched, and let go when its process is killed."""

from __future__ import annotations

import logging
from pathlib import Path

import av
import pytest

from llama_vid.access_tokens import create_token
from llama_vid.live_types import Ingest
from llama_vid.stream.whip import WhipIngest
from tests.peers.ffmpeg_publisher import FfmpegPublisher
from tests.server.running import running_server, until

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif("whip" not in av.formats_available, reason="PyAV's ffmpeg has no WHIP muxer"),
]


def ingest(name: str, fps: float) -> Ingest:
    return WhipIngest(name, fps=fps, silence=1.5)


def test_it_stays_though_it_answers_no_questions_and_comes_again_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("aioice.ice.CONSENT_INTERVAL", 0.05)
    monkeypatch.setattr("aioice.ice.CONSENT_FAILURES", 1)
    caplog.set_level(logging.INFO, "llama_vid.stream.status")
    with running_server({"web": {"url": "webrtc:", "fps": 10}}, make_ingest=ingest, ready=False) as server:
        until(lambda: "web" in server.model.sessions, "the camera")
        source = server.model.session("web").source
        assert isinstance(source, WhipIngest)
        with FfmpegPublisher(f"{server.url}/whip/web") as publisher:
            until(lambda: source.state == "live", "its pictures")
            session, seen = source.resource_id, source.stats.dropped
            until(lambda: source.stats.dropped >= seen + 20, "2 s of its pictures")
            assert source.resource_id == session
            assert server.http.delete("/whip/web").status_code == 200
            assert "refused" in publisher.ended()  # it does not connect again by itself
            with FfmpegPublisher(f"{server.url}/whip/web") as killed:
                until(lambda: source.state == "live", "the pictures of the next")
                killed.kill()
                with FfmpegPublisher(f"{server.url}/whip/web"):
                    until(lambda: source.stats.reconnects == 2, "pictures before the killed one was missed")
                    told = [line for line in caplog.messages if "camera web: reconnecting" in line]
                    assert [line.split("(")[1].split(";")[0] for line in told] == [
                        "the publisher said goodbye",
                        "another publisher took over",
                    ]
        assert server.http.get("/healthz").status_code == 200


def test_it_is_a_camera_until_it_is_killed_and_may_come_again(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    token = create_token(file, "studio", scopes=("admin",), cameras=("web",)).secret
    settings = {"tokens_file": file}
    with running_server(
        {"web": {"url": "webrtc:"}}, make_ingest=ingest, server_settings=settings, ready=False
    ) as server:
        until(lambda: "web" in server.model.sessions, "the camera")
        source = server.model.session("web").source
        with pytest.raises(RuntimeError, match="did not publish"), FfmpegPublisher(f"{server.url}/whip/web", "wrong"):
            pass
        for attempt in (0, 1):
            with FfmpegPublisher(f"{server.url}/whip/web", token) as publisher:
                until(lambda: source.state == "live", "its pictures")
                assert source.resource_id is not None
                publisher.kill()
                until(lambda: source.state == "reconnecting", "its end to be noticed", 6)
            assert "silent" in source.reason
            assert source.resource_id is None
            assert source.stats.reconnects == attempt
