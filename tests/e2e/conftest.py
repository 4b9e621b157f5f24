"""One server with the real model for all tests of this folder: a camera over RTSP, one for WebRTC, and bad ones."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from llama_vid.cli import main
from llama_vid.clients.protocol import StreamStatus
from tests.bundles import film, mini, skip_without_mini
from tests.peers.rtsp import RtspCamera, free_port, missing
from tests.server.running import RunningServer, running_server, until

Ran = Callable[..., tuple[int, str, str]]


@dataclass(slots=True)
class Live:
    """The server and the camera `front` behind it, which can be killed and brought back."""

    server: RunningServer
    front: RtspCamera

    @property
    def url(self) -> str:
        """The server's address."""
        return self.server.url

    def camera(self, name: str = "front") -> dict[str, Any]:
        """What the server says of a camera."""
        answer = self.server.http.get(f"/api/cameras/{name}", timeout=30)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def watched(self, seconds: float, name: str = "front") -> None:
        """Waits until the camera's memory holds that many seconds."""
        await asyncio.to_thread(
            until, lambda: self.camera(name)["watched_s"] >= seconds, f"{seconds:g} s of {name}", 60
        )

    async def more_frames(self, count: int, timeout_s: float = 60.0) -> None:
        """Waits until that many more frames of `front` have come."""
        goal = self.camera()["tokens"]["frames"] + count
        await asyncio.to_thread(until, lambda: self.camera()["tokens"]["frames"] >= goal, "more frames", timeout_s)


@pytest.fixture(scope="package")
def live() -> Iterator[Live]:
    """`front` plays cyclists, `web` waits for a publisher, `locked` has a wrong password, `gone` is dead."""
    skip_without_mini()
    why = missing()
    if why:
        pytest.skip(why)
    from llama_vid.model import LLaMAVID

    with RtspCamera(film()) as front, RtspCamera(user="bob", password="open-sesame") as locked:
        cameras = {
            "front": {"url": front.url},
            "web": {"url": "webrtc:"},
            "locked": {"url": locked.address("bob", "hunter22")},
            "gone": {"url": f"rtsp://bob:hunter22@127.0.0.1:{free_port()}/live"},
        }
        with running_server(cameras, load_model=lambda: LLaMAVID(mini()), ready=False) as server:
            until(lambda: server.http.get("/readyz").status_code == 200 or server.failures, "the model", 120)
            assert server.failures == []
            yield Live(server, front)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
    """Runs the command line in this process: (status, stdout, stderr). `mini` is loaded once for all of them."""
    skip_without_mini()
    from llama_vid import model

    load = model.load_bundle
    monkeypatch.setattr(model, "load_bundle", lambda name, **how: mini() if name == "mini" else load(name, **how))

    def run_main(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["llama-vid", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return run_main


class Statuses:
    """The states that a client was told of one camera, in order."""

    def __init__(self) -> None:
        self.seen: list[StreamStatus] = []
        self._came = asyncio.Event()

    def take(self, status: StreamStatus) -> None:
        """Notes a state."""
        self.seen.append(status)
        self._came.set()

    async def until(self, state: str, after: int = 0, timeout_s: float = 30.0) -> StreamStatus:
        """Waits for a state among those from number `after` on."""
        async with asyncio.timeout(timeout_s):
            while True:
                for status in self.seen[after:]:
                    if status.state == state:
                        return status
                self._came.clear()
                await self._came.wait()
