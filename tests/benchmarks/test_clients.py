"""The benchmark of many clients, against the real port with a scripted model behind it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from benchmarks import clients
from benchmarks.clients import FLAT_MB, LEVEL_MB, Clients, Memory, Sample, Tally
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
    (minute,) = found["server_mb"]["each_minute"]
    assert 0 < minute["least"] <= minute["most"]
    assert found["server_mb"]["begin"] > 0
    assert found["server_mb"]["verdict"] == "too short"
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


def went(grown: Callable[[float], float], *, cached: float = 0.0, minutes: int = 5) -> Memory:
    """A server's memory over time, which between two times of giving back is a little more than it needs."""
    return Memory(
        [
            Sample(at, 500.0 + grown(at) + cached * at / 60 + 2.0 * (at % 30), cached * at / 60, at)
            for at in range(0, 60 * minutes + 1, 5)
        ]
    )


def test_memory_that_grows_only_by_the_cameras_own_cache_is_flat() -> None:
    flat = went(lambda _: 0.0, cached=12.0)
    assert flat.verdict == "flat"
    assert flat.growth_mb == pytest.approx(0.0)
    assert flat.to_json()["of_it_the_cameras_cache_grew"] == pytest.approx(60.0)
    slowly = went(lambda at: 6.5 * at / 60)  # which is not much in all, yet
    assert (slowly.growth_mb < FLAT_MB, slowly.verdict) == (True, "growing")
    assert went(lambda _: 0.0, minutes=3).verdict == "too short"


def test_caches_that_are_full_are_told_from_memory_that_still_grows() -> None:
    def filling(at: float) -> float:
        return min(80.0, 80.0 * at / 120)  # full after two minutes

    filled = went(filling)
    assert filled.growth_mb == pytest.approx(80.0)
    assert filled.growth_mb > FLAT_MB
    assert filled.late_mb_per_min == pytest.approx(0.0, abs=0.1)
    assert filled.verdict == "filled"
    late = went(lambda at: max(0.0, 10.0 * (at - 150) / 60))  # the other way round: it begins to grow
    assert (late.growth_mb < FLAT_MB, late.verdict) == (True, "growing")
    assert went(lambda at: 0.9 * LEVEL_MB * at / 60).verdict == "flat"


def test_a_minute_says_its_least_and_its_most() -> None:
    minutes = went(lambda at: at / 60).to_json()["each_minute"]
    assert len(minutes) == 6  # and the moment after the fifth
    assert minutes[0] == {"least": 500.0, "most": pytest.approx(550.0 + 55 / 60), "cache": 0.0}


def test_cores_are_shares_of_the_time() -> None:
    memory = Memory([Sample(0.0, 500.0, 10.0, 1.0), Sample(10.0, 510.0, 10.0, 11.0)])
    found = Clients(2, 10.0, Tally([0.5, 1.5], [1.0, 2.0]), memory, 0.3, (0.2,)).to_json()
    assert found["cores"] == {"server": 1.0, "clients": 0.3}
    assert found["first_token"] == {"median_s": 1.0, "p95_s": 1.5, "most_s": 1.5}
