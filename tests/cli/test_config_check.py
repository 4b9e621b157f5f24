"""`config check` says what is wrong, where, and what to do."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.program import llama_vid, one_clear_line


def test_a_right_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("cameras:\n  front: {url: 'rtsp://user:secret@10.0.0.5/stream'}\n")
    done = llama_vid("config", "check", "a.yaml", cwd=tmp_path, env={"LLAMA_VID_DEBUG": "0"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "a.yaml is right: port 8710, model mini, cameras: front" in done.stdout
    done = llama_vid("config", "check", "a.yaml", "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == {"file": "a.yaml", "ok": True, "cameras": ["front"], "warnings": []}


def test_an_unknown_key_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("server:\n  prot: 9000\n")
    done = llama_vid("config", "check", "a.yaml", cwd=tmp_path)
    assert done.returncode == 2
    line = one_clear_line(done)
    assert "a.yaml:2" in line
    assert "prot" in line
    done = llama_vid("config", "check", "a.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 2
    said = json.loads(done.stdout)
    assert said["ok"] is False
    assert "prot" in said["error"]


def test_a_memory_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("memory: {path: a.yaml/kept, retention_gb: 5}\n")
    done = llama_vid("config", "check", "a.yaml", cwd=tmp_path)
    assert done.returncode == 2
    line = one_clear_line(done)
    assert f"memory.path: {tmp_path}/a.yaml/kept cannot be written" in line
    assert "set memory.path to another folder" in line
