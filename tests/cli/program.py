"""Runs `llama-vid` as a user does, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import ROOT


def llama_vid(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """`llama-vid ARGUMENTS…`, finished, with its output; `env` is laid over the environment."""
    return subprocess.run(
        [sys.executable, "-m", "llama_vid", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def one_clear_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error on stderr; fails where there is more, or something on stdout."""
    assert done.stdout == "", done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("llama-vid: ")
    return line
