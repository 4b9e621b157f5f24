"""`kill -9` at any moment loses at most the last second, and never a whole file."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from llama_vid.errors import LlamaVidError
from llama_vid.memory.journal import Journal
from tests.conftest import ROOT
from tests.memory.journal_child import picture

KILLS = 20


class Watcher:
    """Begins watching processes one after another and kills them; `said` is (second, monotonic time) of this one."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out, self._folder = process.stdin, process.stdout, folder
        self.said: list[tuple[float, float]] = []
        self.pid = 0

    def begin(self, seed: int) -> None:
        """Let a new process open the journal and watch."""
        self.said = []
        self._in.write(f"{self._folder} {seed}\n")
        self._in.flush()
        word, pid = self._out.readline().split()
        assert word == "watching"
        self.pid = int(pid)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def kill(self) -> float:
        """End the process at once; gives the monotonic time before."""
        at = time.monotonic()
        os.kill(self.pid, signal.SIGKILL)
        self._reader.join()
        self.pid = 0
        return at

    def _read(self) -> None:
        for line in self._out:
            if line == "gone\n":
                return
            second, at = line.split()
            self.said.append((float(second), float(at)))


@pytest.fixture
def watcher(tmp_path: Path) -> Iterator[Watcher]:
    """Processes that watch into `tmp_path`; none outlives the test."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.memory.journal_child"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        watching = Watcher(process, tmp_path)
        try:
            yield watching
        finally:
            if watching.pid:
                with suppress(ProcessLookupError):
                    os.kill(watching.pid, signal.SIGKILL)
            process.kill()


@pytest.mark.slow
def test_kill_at_any_moment_loses_at_most_the_last_second(tmp_path: Path, watcher: Watcher) -> None:
    luck = random.Random(2311)
    acknowledged: set[float] = set()
    for attempt in range(KILLS):
        watcher.begin(attempt)
        threading.Event().wait(luck.uniform(0.05, 1.6))  # the moment is random: there is nothing to wait for
        killed = watcher.kill()
        safe = {second for second, at in watcher.said if at <= killed - 1.0}
        acknowledged |= safe

        with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        with Journal(tmp_path) as journal:
            assert journal.state.ok
            assert journal.state.reason == ""
            camera = journal.camera("front")
            bank = camera.restore()
            detailed = camera.entries(float("-inf"), float("inf"), limit=100_000)
        for entries in (bank, detailed):
            assert all(a.start < a.end <= b.start for a, b in pairwise(entries))
        assert len(bank) <= 40
        assert {entry.start for entry in bank} <= {entry.start for entry in detailed}
        assert sum(entry.frames for entry in bank) == sum(entry.frames for entry in detailed)
        seen = iter(detailed)
        entry = next(seen, None)
        for second in sorted(acknowledged):
            while entry is not None and entry.end <= second:
                entry = next(seen, None)
            assert entry is not None, f"kill {attempt}: second {second} was acknowledged and is gone"
            assert entry.start <= second, f"kill {attempt}: second {second} was acknowledged and is gone"

        with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
            kept = dict(db.execute("SELECT seconds, bytes FROM pictures").fetchall())
        files = {float(path.stem): path for path in (tmp_path / "frames/front").rglob("*.jpg")}
        assert kept.keys() <= files.keys()
        assert acknowledged <= kept.keys()
        assert all(files[seconds].read_bytes() == picture(seconds) for seconds in kept)
        assert all(files[seconds].stat().st_size == size for seconds, size in kept.items())
    assert len(acknowledged) > 100
    with Journal(tmp_path):
        limit = time.monotonic() + 10
        while list(tmp_path.rglob("*.part")) and time.monotonic() < limit:
            time.sleep(0.01)
        assert list(tmp_path.rglob("*.part")) == []


def test_two_processes_on_one_folder(tmp_path: Path, watcher: Watcher) -> None:
    watcher.begin(1)
    with pytest.raises(LlamaVidError, match=rf"{tmp_path} is in use by another process \({watcher.pid}\)"):
        Journal(tmp_path)
    watcher.kill()
    with Journal(tmp_path) as journal:  # a killed process holds nothing
        assert journal.state.ok
        with pytest.raises(LlamaVidError, match="in use"):
            Journal(tmp_path)


def test_a_write_ahead_log_that_was_removed_after_a_crash(tmp_path: Path, watcher: Watcher) -> None:
    watcher.begin(1)
    while len(watcher.said) < 300:
        threading.Event().wait(0.01)
    watcher.kill()
    (tmp_path / "journal.db-wal").unlink()
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        camera.picture(1.0, b"jpeg")
        assert journal.flush()
        assert journal.state.ok
        assert camera.jpeg(1.0) == b"jpeg"
        found = camera.entries(float("-inf"), float("inf"), limit=100_000)
        assert all(a.end <= b.start for a, b in pairwise(found))
