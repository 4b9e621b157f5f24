"""The files in deploy/ fit the program: commands that exist, files that are there, units that systemd understands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from llama_vid.cli import app
from tests.conftest import ROOT

UNIT = ROOT / "deploy" / "systemd" / "llama-vid.service"
CONTAINER = ROOT / "deploy" / "container"


def program_runs(arguments: list[str]) -> bool:
    """Whether the command line knows these options and the command; it is asked for its help alone."""
    done = CliRunner().invoke(app, [*arguments, "--help"])
    return done.exit_code == 0 and "serve" in done.stdout.lower()


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd here")
    text = re.sub(r"/opt/llama-vid/.venv/bin/llama-vid", sys.executable, UNIT.read_text())
    (tmp_path / UNIT.name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Unknown" not in done.stderr
    assert done.returncode == 0, done.stderr


def test_what_the_unit_starts_is_a_command() -> None:
    start = re.search(r"^ExecStart=\S+ (.*)$", UNIT.read_text(), re.MULTILINE)
    assert start is not None
    assert program_runs(start[1].split()[:3])
    assert start[1].split()[:3] == ["--log-format", "json", "serve"]


def test_the_container_file_copies_what_there_is() -> None:
    text = (CONTAINER / "Containerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)
    sources = [source for line in copied for source in line.split()[:-1]]
    assert "requirements-models.txt" in sources
    assert all((ROOT / source).exists() for source in sources)
    command = re.search(r"^CMD \[(.*)\]$", text, re.MULTILINE)
    assert command is not None
    assert program_runs([re.findall(r'"([^"]*)"', command[1])[0]])
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not set(ignored) & set(sources)


def test_the_compose_file_names_what_there_is() -> None:
    tree = YAML(typ="safe").load((CONTAINER / "compose.yaml").read_text())
    build = tree["services"]["llama-vid"]["build"]
    assert (CONTAINER / build["context"] / build["dockerfile"]).resolve() == (CONTAINER / "Containerfile").resolve()
    volumes = [volume for service in tree["services"].values() for volume in service["volumes"]]
    named = {volume.split(":")[0] for volume in volumes if not volume.startswith(".")}
    assert named == set(tree["volumes"])
    assert (CONTAINER / "mosquitto.conf").exists()
