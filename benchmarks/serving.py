"""`llama-vid serve` in a process of its own, for benchmarks that measure it from outside."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from llama_vid.errors import LlamaVidError

START_S: Final = 300.0  # a first start converts the language model


@contextlib.contextmanager
def running_server(settings: Path, log: Path) -> Iterator[tuple[str, int]]:
    """The server with these settings, its log in `log`; gives its address and process id.

    Raises LlamaVidError for one that does not start.
    """
    line = [sys.executable, "-m", "llama_vid", "serve", "--config", str(settings)]
    with log.open("w") as out:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=out)
    try:
        limit = time.monotonic() + START_S
        while not (found := re.search(r"(http://[^ /]+)", log.read_text())):
            if process.poll() is not None or time.monotonic() > limit:
                last = (log.read_text().strip().splitlines() or ["no message"])[-1]
                raise LlamaVidError(f"the server did not start: {last}")
            time.sleep(0.1)
        yield found[1], process.pid
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cache_mb(metrics: str) -> float:
    """The cameras' KV caches by what `GET /metrics` says, in 10^6 bytes."""
    lines = [line for line in metrics.splitlines() if line.startswith("llama_vid_camera_kv_cache")]
    return sum(float(line.split()[-1]) for line in lines) / 1e6
