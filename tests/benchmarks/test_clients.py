"""The benchmark of many clients, against the real port with a scripted model behind it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from benchmarks import clients
from benchmarks.clients import Clients, Sample, Tally
from llama_vid.access_tokens import create_token, revoke_token
from tests.server.running import RunningServer, running_server


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that ask several times a second."""
    monkeypatch.setattr(clients, "ASK_S", 0.2)
    monkeypatch.setattr(clients, "PICTURE_S", 0.1)


def run(server: RunningServer, tokens: list[str], seconds: float) -> Clients:
    return asyncio.run(clients._run(server.url, os.getpid(), tokens, 6, seconds))


@pytest.mark.usefixtures("quick")
def test_clients_watch_and_ask(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    tokens = [create_token(file, name).secret for name in ("one", "two")]
    settings = {"tokens_file": file, "limits": {"questions_per_min": 6000}}
    with running_server({clients.CAMERA: {"url": "rtsp://127.0.0.1:9/x"}}, server_settings=settings) as server:
        found = run(server, tokens, 1.0).to_json()
        questions = server.model.session(clients.CAMERA).questions
    assert (found["clients"], found["errors"]) == (6, 0)
    assert found["n"] >= 12  # 6 clients, 5 times a second
    assert len({question for question, _ in questions}) == len(questions)  # each about something else
    assert 0 < found["first_token"]["median_s"] <= found["first_token"]["p95_s"] <= found["first_token"]["most_s"]
    assert found["pictures"] > 12
    assert min(found["server_mb"]["each_minute"]) > 0
    assert found["server_mb"]["begin"] > 0
    assert found["floor"]["one_client_alone"]["median_s"] > 0


@pytest.mark.usefixtures("quick")
def test_what_goes_wrong_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    eager, gone = (create_token(file, name).secret for name in ("eager", "gone"))
    revoke_token(file, "gone")
    tally = Tally()

    async def go(url: str, token: str, seconds: float) -> None:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            work = clients._client(http, url, token, 0.0, iter(["why?"] * 99), tally, asyncio.Semaphore(0))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(work, seconds)

    settings = {"tokens_file": file, "limits": {"questions_per_min": 6}}  # 8 at once, 12 asked
    with running_server({clients.CAMERA: {"url": "rtsp://127.0.0.1:9/x"}}, server_settings=settings) as server:
        asyncio.run(go(server.url, gone, 0.5))
        asyncio.run(go(server.url, eager, 2.2))
    assert any("refused (401)" in kind for kind in tally.wrong), tally.wrong
    assert tally.wrong["answer: rate_limited"] >= 1
    assert len(tally.first_s) == 8


def test_memory_is_flat_without_the_cameras_own() -> None:
    def grown(resident: float, cached: float) -> Clients:
        before, after = Sample(500.0, 10.0, 1.0), Sample(500.0 + resident, 10.0 + cached, 11.0)
        return Clients(2, 10.0, Tally([0.5, 1.5], [1.0, 2.0]), before, after, (700.0,), 0.3, (0.2,))

    assert grown(60, 50).to_json()["server_mb"]["flat"] is True
    assert grown(60, 20).to_json()["server_mb"]["flat"] is False
    assert grown(0, 0).to_json()["cores"] == {"server": 1.0, "clients": 0.3}
    assert grown(0, 0).to_json()["first_token"] == {"median_s": 1.0, "p95_s": 1.5, "most_s": 1.5}
