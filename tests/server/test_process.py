"""`serve` as a process: what it says, how it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedOK

from llama_vid.memory.journal import Journal
from tests.server.running import until

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from pathlib import Path
from llama_vid.server import serve
from llama_vid.settings import Config, MemorySettings, ServerSettings
from tests.server.scripted import ScriptedModel
config = Config(server=ServerSettings(port=0), memory=MemorySettings(path=Path(sys.argv[1])))
serve(config, load_model=ScriptedModel)
print("ended in peace")
"""


ANSWERING = """
import asyncio, sys
from pathlib import Path
from llama_vid.server import serve
from llama_vid.settings import Config
from tests.server.scripted import ScriptedModel
config = Config.model_validate({
    "server": {"port": 0}, "memory": {"path": sys.argv[1]}, "cameras": {"front": {"url": "rtsp://127.0.0.1:9/front"}},
})
serve(config, load_model=ScriptedModel)
print("ended in peace")
"""


async def cut_short(url: str, stop: Callable[[], None]) -> tuple[list[dict[str, Any]], int, str]:
    """Three questions that never end, over both ways, then `stop`: how the two over the websocket ended, its close
    code, and the events of the other.
    """
    chat = {"model": "camera:front", "messages": [{"role": "user", "content": "wait"}], "stream": True}
    async with (
        asyncio.timeout(60),
        connect(url.replace("http", "ws") + "/ws", proxy=None) as socket,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http,
        http.stream("POST", "/v1/chat/completions", json=chat) as events,
    ):
        for _ in range(2):
            await socket.send(json.dumps({"type": "response.create", "camera": "front", "question": "wait"}))
        begun = 0
        while begun < 2:
            begun += "output_text.delta" in str(await socket.recv())
        lines = events.aiter_lines()
        assert "Well, " in await anext(lines)
        # The last thing before the end, and kept all the same.
        assert (await http.put("/api/cameras/front/alerts", json={"paused": True})).status_code == 200
        stop()
        said = [json.loads(await socket.recv()) for _ in range(2)]
        with pytest.raises(ConnectionClosedOK) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        return said, closed.value.rcvd.code, "".join([line async for line in lines])


def test_open_answers_end_as_failed_and_all_is_written(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ANSWERING, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stderr is not None
        try:
            url = process.stderr.readline().split()[3]
            camera = f"{url}/api/cameras/front"
            until(lambda: httpx.get(camera, trust_env=False).json()["state"] == "live", "the camera", 60)
            began: list[float] = []

            def stop() -> None:
                began.append(time.monotonic())
                process.send_signal(signal.SIGTERM)

            said, code, streamed = asyncio.run(cut_short(url, stop))
            out, err = process.communicate(timeout=20)
            took = time.monotonic() - began[0]
        finally:
            process.kill()
    for done in said:
        assert (done["type"], done["status"], done["answer"]) == ("response.done", "failed", "Well, ")
        assert done["error"]["code"] == "shutdown"
    assert code == 1001
    assert '"code": "shutdown"' in streamed
    assert (process.returncode, out, err) == (0, "ended in peace\n", "")
    assert took < 5
    with Journal(tmp_path) as journal:
        assert [record.text for record in journal.camera("front").records("pause", 0, float("inf"))] == ["paused"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_peace(number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stderr is not None
        line = process.stderr.readline()
        try:
            assert line.startswith("LLaMA-VID Live on http://127.0.0.1:"), line + process.stderr.read()
            url = line.split()[3]
            assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (0, "ended in peace\n", "")
