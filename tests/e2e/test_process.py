"""The program as a process: quiet in normal use, and gone in peace whatever it was doing."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.bundles import film, skip_without_mini
from tests.cli.program import llama_vid
from tests.conftest import ROOT
from tests.peers.rtsp import RtspCamera, missing
from tests.server.running import until

pytestmark = [pytest.mark.model, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _mini() -> None:
    skip_without_mini()


@contextmanager
def serving(config: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`llama-vid serve` with its address, once its port is open."""
    process = subprocess.Popen(
        [sys.executable, "-m", "llama_vid", "serve", "--config", str(config)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stderr is not None
            said = ""
            while " is open; " not in said:
                # From the pipe itself: a line that a reader has in its buffer would not wake the select.
                assert select.select([process.stderr], [], [], 60)[0], "the port did not open"
                more = os.read(process.stderr.fileno(), 65_536).decode()
                assert more, f"serve ended by itself: {said}"
                said += more
            (line,) = [line for line in said.splitlines() if " is open; " in line]
            yield process, line.split()[1]
        finally:
            process.kill()


def ended(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """Sends the signal and gives what came on stderr; fails unless the process then ends well, and soon."""
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert time.monotonic() - began < 15  # 5 on an idle machine: docs/operations.md
    assert out == ""
    for bad in ("Traceback", "terminate called", "Aborted", "never awaited", "Warning"):
        assert bad not in err
    return err


def test_sigterm_while_a_camera_is_watched_and_an_answer_is_made(tmp_path: Path) -> None:
    why = missing()
    if why:
        pytest.skip(why)
    with RtspCamera(film()) as camera:
        config = tmp_path / "llama-vid.yaml"
        config.write_text(f"server: {{port: 0}}\ncameras: {{front: {{url: '{camera.url}'}}}}\n")
        with serving(config) as (process, url), httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
            until(lambda: http.get("/api/cameras/front").json()["watched_s"] >= 3, "the camera", 90)
            asking = subprocess.Popen(
                [sys.executable, "-c", ASK, url],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            with asking:
                assert asking.stdout is not None
                assert asking.stdout.readline() == "asked\n"
                err = ended(process, signal.SIGTERM)
                assert "The server is stopping" in asking.communicate(timeout=20)[0]
        assert "Camera front: live" in err


#: A client that asks and goes on listening until the server says goodbye.
ASK = """
import asyncio, sys
from llama_vid.clients import Client
from llama_vid.errors import LlamaVidError
async def main():
    async with Client.connect(sys.argv[1]) as client:
        try:
            while True:
                async for event in client.events("front", "What has happened so far?"):
                    if event.type == "response.created":
                        print("asked", flush=True)
        except LlamaVidError as problem:
            print(problem, flush=True)
asyncio.run(main())
"""


def test_sigint_while_the_model_loads(tmp_path: Path) -> None:
    config = tmp_path / "llama-vid.yaml"
    config.write_text("server: {port: 0}\n")
    with serving(config) as (process, url):
        assert httpx.get(f"{url}/readyz", trust_env=False, timeout=30).status_code == 503
        ended(process, signal.SIGINT)


def test_ask_says_nothing_but_the_answer() -> None:
    done = llama_vid("ask", str(film()), "What is in the video?")
    assert done.returncode == 0
    assert done.stdout.strip()
    (line,) = done.stderr.splitlines()
    assert line.startswith("10 frames as 20 tokens; watched in ")


def test_the_demo_asks_prints_and_leaves() -> None:
    done = llama_vid("demo", env={"DEMO_EXIT": "1"})
    assert done.returncode == 0, done.stderr
    assert "Question: What has happened so far?" in done.stdout
    answers = [line for line in done.stdout.splitlines() if line.startswith("Answer:   ")]
    assert all(len(line) > 15 for line in answers)
    assert done.stdout.count("Times:    ") == len(answers) == 2
    for bad in ("Traceback", "terminate called", "Aborted", "Loading weights", "LOAD REPORT", "Warning"):
        assert bad not in done.stderr
