"""`serve` as a process: what it says, how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

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
