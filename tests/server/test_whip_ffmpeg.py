"""ffmpeg's WHIP muxer as a publisher: taken in, watched, and let go when its process is killed."""

from __future__ import annotations

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
