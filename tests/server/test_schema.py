"""`/openapi.json`: what it says of every address, and that schemathesis finds nothing that differs from it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llama_vid.server import open_port
from llama_vid.settings import ServerSettings
from tests.conftest import ROOT
from tests.server.running import RunningServer, running_server


@pytest.fixture
def description(server: RunningServer) -> dict[str, Any]:
    tree: dict[str, Any] = server.http.get("/openapi.json").json()
    return tree


def operations(tree: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, operation) for path, item in tree["paths"].items() for method, operation in item.items()]


def test_every_address_describes_itself(description: dict[str, Any]) -> None:
    assert len(operations(description)) > 20
    for path, method, operation in operations(description):
        where = f"{method} {path}"
        assert operation["description"], where
        assert operation["tags"], where
        for status, answer in operation["responses"].items():
            if status not in ("204",) and method != "delete" and not (status == "200" and method == "options"):
                assert answer["content"], f"{where}: {status}"
            for kind, content in answer.get("content", {}).items():
                assert kind != "application/json" or content["schema"], f"{where}: {status} has no model"
        assert {"403", "421", "429"} <= operation["responses"].keys(), where
        assert "401" in operation["responses"] or not operation["security"], where
        for parameter in operation.get("parameters", ()):
            bounds = parameter["schema"].keys() & {
                "pattern",
                "maxLength",
                "maximum",
                "exclusiveMaximum",
                "enum",
                "anyOf",
                "$ref",
            }
            assert bounds or parameter["schema"]["type"] == "boolean", f"{where}: {parameter['name']} has no bounds"


def test_errors_have_one_form(server: RunningServer, description: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in description["components"]["schemas"]
    paths = ("/api/cameras/nope", "/api/cameras/front/timeline?from=x", "/nothing", "/v1/models/nope", "/page/../x")
    for path in paths:
        answer = server.http.get(path)
        assert answer.status_code in (400, 404, 422), path
        assert {"code", "message", "param"} <= answer.json()["error"].keys(), path
    refused = server.http.request("PATCH", "/api/cameras")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, POST")
    assert refused.json()["error"]["message"]


def test_what_nobody_foresaw_has_that_form_too(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr(server.model.session("front"), "search", crash)
    answer = server.http.get("/api/cameras/front/search", params={"text": "cat"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert server.http.get("/healthz").status_code == 200


def test_small_answers_go_out_at_once() -> None:
    """asyncio turns Nagle's algorithm off where the listening socket names its protocol; else each waits 40 ms."""
    with closing(open_port(ServerSettings(port=0))) as port:
        assert port.proto == socket.IPPROTO_TCP


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    with running_server(memory=tmp_path / "memory") as server:
        run = subprocess.run(
            [
                Path(sys.executable).parent / "schemathesis",
                f"--config-file={ROOT / 'schemathesis.toml'}",
                "run",
                f"{server.url}/openapi.json",
                "--phases=examples,coverage,fuzzing,stateful",
                "--max-examples=5",
                "--generation-deterministic",
                "--no-color",
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
        assert server.http.get("/readyz").status_code == 200
        assert server.failures == []
