"""Runs the program as a user does, in a process of its own, and takes its time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llama_vid.errors import LlamaVidError


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: wall time in seconds from start to exit, and what it wrote to stdout."""

    wall_s: float
    stdout: str

    def json(self) -> dict[str, Any]:
        """Its one JSON object."""
        value = json.loads(self.stdout)
        if not isinstance(value, dict):
            raise LlamaVidError(f"expected one JSON object, got {self.stdout[:80]!r}")
        return value


def run_python(arguments: Sequence[str], *, limit_s: float) -> Run:
    """Run this Python with the arguments. Raises LlamaVidError with its last line if it fails or takes too long."""
    started = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LlamaVidError(f"{' '.join(arguments[:4])} took longer than {limit_s:.0f} s") from None
    wall_s = time.perf_counter() - started
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise LlamaVidError(f"{' '.join(arguments[:4])} ended with status {done.returncode}: {lines[-1]}")
    return Run(wall_s, done.stdout)


def ask(video: str, question: str, *, limit_s: float) -> Run:
    """`llama-vid ask VIDEO QUESTION --json`."""
    return run_python(["-m", "llama_vid", "ask", video, question, "--json"], limit_s=limit_s)
