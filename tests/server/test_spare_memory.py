"""Memory that is free goes back to the system, and a loaded model is not looked through for garbage."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from pathlib import Path

import pytest

from llama_vid import spare_memory
from llama_vid.spare_memory import give_back, settled
from tests.server.running import running_server, until


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_what_is_free_goes_back() -> None:
    if not give_back():
        pytest.skip("the C library is not glibc")
    # Blocks too small to be mapped by themselves, each before one that stays: nothing at the heap's end is free.
    pairs = [(bytearray(100_000), bytearray(600)) for _ in range(800)]
    kept = [small for _, small in pairs]
    full = resident_mb()
    del pairs
    assert full - resident_mb() < 40, "the library gave it back by itself: this shows nothing"
    give_back()
    assert full - resident_mb() > 60
    assert len(kept) == 800


class Ring:
    """Garbage that holds itself."""

    def __init__(self) -> None:
        self.me = self


def test_what_was_loaded_is_set_apart() -> None:
    before = gc.get_freeze_count()
    try:
        ring = Ring()
        gone = weakref.ref(ring)
        loaded = settled(lambda: [Ring() for _ in range(1000)])()
        assert len(loaded) == 1000
        assert gc.get_freeze_count() > before + 1000
        # Garbage that comes later is found without looking through that.
        later = Ring()
        lost = weakref.ref(later)
        del later
        gc.collect()
        assert lost() is None
        assert gone() is ring
    finally:
        gc.unfreeze()


def test_a_running_server_gives_back(monkeypatch: pytest.MonkeyPatch) -> None:
    given = threading.Semaphore(0)

    def counted() -> bool:
        given.release()
        return True

    monkeypatch.setattr(spare_memory, "give_back", counted)
    monkeypatch.setattr(spare_memory.keep_giving_back, "__defaults__", (0.01,))
    with running_server() as server:
        assert given.acquire(timeout=10)
        assert given.acquire(timeout=10)
        assert server.http.get("/healthz").status_code == 200


def test_it_ends_where_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[bool]()

    def impossible() -> bool:
        calls.append(False)
        return False

    monkeypatch.setattr(spare_memory, "give_back", impossible)
    monkeypatch.setattr(spare_memory.keep_giving_back, "__defaults__", (0.001,))
    with running_server() as server:
        until(lambda: calls, "the attempt")
        for _ in range(5):
            assert server.http.get("/healthz").status_code == 200
    assert calls == [False]
