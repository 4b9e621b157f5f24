"""The recipes of docs/tools.md, run as they are written, but for the address."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from tests.conftest import ROOT
from tests.server.running import RunningServer

TEXT = (ROOT / "docs" / "tools.md").read_text()
ADDRESS = "http://127.0.0.1:8710"


def fenced(language: str, word: str) -> str:
    """The fenced block in a language that holds a word."""
    (found,) = [block for block in re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL) if word in block]
    return found


def test_the_openai_client(server: RunningServer) -> None:
    program = fenced("python", "from openai import").replace(ADDRESS, server.url)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    answer, cited = run.stdout.splitlines()
    assert answer == "You asked: What has happened so far?"
    assert cited.startswith("1970-01-01T")
    assert cited.endswith(f"a man puts a package down {server.url}/api/cameras/front/frames/4.jpg")


def test_the_lines_for_curl(server: RunningServer, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    section = TEXT.split("## curl\n")[1].split("\n## ")[0]
    lines = "\n".join(line[4:] for line in section.splitlines() if line.startswith("    "))
    script = "set -e\n" + lines.replace(ADDRESS, server.url).replace(
        "curl ", "curl -sS --fail-with-body --noproxy '*' "
    )
    run = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
    for word in ('"cameras"', '"matches"', '"spans"', "data: [DONE]"):
        assert word in run.stdout
    assert (tmp_path / "now.jpg").read_bytes()[:2] == b"\xff\xd8"


async def test_the_configuration_of_an_assistant(server: RunningServer) -> None:
    (entry,) = json.loads(fenced("json", "mcpServers"))["mcpServers"].values()
    program = StdioServerParameters(
        command=entry["command"].replace("/path/to/.venv/bin", str(Path(sys.executable).parent)),
        args=entry["args"],
        env={
            "LLAMA_VID_URL": entry["env"]["LLAMA_VID_URL"].replace(ADDRESS, server.url),
            "LLAMA_VID_TOKEN": "unused",
        },
    )
    async with Client(program, read_timeout_seconds=30) as client:
        result = await client.call_tool("ask", {"question": "What has happened so far?"})
        assert "You asked: What has happened so far?" in str(result.content)  # type: ignore[union-attr]


def test_every_tool_of_the_table_is_one() -> None:
    from llama_vid.clients.mcp_server import Toolbox

    section = TEXT.split("| tool | gives |")[1].split("\n\n")[0]
    tools = re.findall(r"^\| `(\w+)(?: \{([^}]*)\})?` \|", section, re.MULTILINE)
    for name, parameters in tools:
        code = getattr(Toolbox, name).__code__
        named = [parameter.strip().rstrip("?") for parameter in parameters.split(",") if parameter]
        assert list(code.co_varnames[1 : code.co_argcount]) == named, name
    assert len(tools) == 6
