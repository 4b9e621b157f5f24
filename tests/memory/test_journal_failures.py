"""A disk that is full, read-only, gone or broken: the camera goes on, the state says so, nothing old is destroyed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import torch

from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.journal import CameraJournal, Journal
from llama_vid.memory.records import ToldSpan
from tests.memory.conftest import MakeEntry


def wait_until(done: Callable[[], bool]) -> None:
    """Look until something that another thread does is done."""
    limit = time.monotonic() + 30
    while not done():
        assert time.monotonic() < limit, "it did not happen within 30 s"
        time.sleep(0.01)


def starts(camera: CameraJournal) -> list[float]:
    """The starts of the bank's entries."""
    return [entry.start for entry in camera.restore()]


def fill(journal: Journal, make_entry: MakeEntry, count: int = 100, first: int = 0) -> list[float]:
    """Seconds of one camera, written; gives their starts."""
    camera = journal.camera("front")
    for second in range(first, first + count):
        camera.append(make_entry(float(second), width=300))
        camera.tell(ToldSpan(float(second), second + 1.0, "a scene " * 20, 0.0))
    assert journal.flush()
    return [float(second) for second in range(first + count)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill_disk(disk: Path) -> Path:
    """A file that takes all the room that is left."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    assert shutil.disk_usage(disk).free == 0
    return filler


def test_a_full_disk_is_waited_for(small_disk: Path, make_entry: MakeEntry) -> None:
    folder = small_disk / "journal"
    with Journal(folder, flush_s=0.01) as journal:
        camera = journal.camera("front")
        kept = fill(journal, make_entry)
        camera.picture(0.0, b"old" * 1000)
        assert journal.flush()
        filler = fill_disk(small_disk)
        second = len(kept)
        while journal.state.ok:  # what lies in the log's free pages can still be written
            camera.append(make_entry(float(second), width=300))
            camera.picture(float(second), b"new" * 5000)
            kept.append(float(second))
            second += 1
            journal.flush(0.05)
        state = journal.state
        assert str(folder) in state.reason
        assert "full" in state.reason
        assert "memory.retention_gb" in state.reason
        assert state.waiting > 0
        assert not journal.flush(0.2)
        assert starts(camera) == kept[: len(starts(camera))], "what is there can be read"
        assert len(starts(camera)) >= 100
        assert camera.jpeg(0.0) == b"old" * 1000

        filler.unlink()
        assert journal.flush()
        wait_until(lambda: journal.state.ok)
        assert journal.state.reason == ""
        assert journal.state.lost == 0
        assert starts(camera) == kept
        assert camera.jpeg(None) == b"new" * 5000
    with closing(sqlite3.connect(folder / "journal.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_disk_that_is_full_from_the_start(small_disk: Path, make_entry: MakeEntry) -> None:
    filler = fill_disk(small_disk)
    with Journal(small_disk / "journal", flush_s=0.01) as journal:
        camera = journal.camera("front")
        assert not journal.state.ok
        assert camera.restore() == []
        assert camera.bounds is None
        camera.append(make_entry(0.0))
        filler.unlink()
        assert journal.flush()
        assert starts(camera) == [0.0]
        wait_until(lambda: journal.state.ok)


def test_a_read_only_disk_can_be_read(small_disk: Path, make_entry: MakeEntry) -> None:
    with Journal(small_disk) as journal:
        kept = fill(journal, make_entry)
        journal.camera("front").picture(3.0, b"jpeg")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with Journal(small_disk, flush_s=0.01) as journal:
        camera = journal.camera("front")
        assert not journal.state.ok
        assert str(small_disk) in journal.state.reason
        assert "let this program's user write there" in journal.state.reason
        camera.append(make_entry(100.0))
        camera.picture(100.0, b"new jpeg")
        assert not journal.flush(0.2)
        assert starts(camera) == kept
        assert camera.jpeg(None) == b"jpeg"
        assert len(camera.told(0.0, 1000.0)) == 100
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        assert journal.flush()
        assert starts(camera) == [*kept, 100.0]
        assert camera.jpeg(None) == b"new jpeg"
        wait_until(lambda: journal.state.ok)


def test_a_folder_that_is_a_file(tmp_path: Path, make_entry: MakeEntry) -> None:
    (tmp_path / "data").write_text("not a folder")
    with Journal(tmp_path / "data", flush_s=0.01) as journal:
        journal.camera("front").append(make_entry(0.0))
        assert not journal.flush(0.1)
        assert str(tmp_path / "data") in journal.state.reason
        (tmp_path / "data").rename(tmp_path / "note")
        assert journal.flush()
        assert starts(journal.camera("front")) == [0.0]


def test_a_folder_that_is_deleted_is_begun_anew(tmp_path: Path, make_entry: MakeEntry) -> None:
    folder = tmp_path / "journal"
    with Journal(folder, flush_s=0.01) as journal:
        camera = journal.camera("front")
        fill(journal, make_entry)
        shutil.rmtree(folder)
        camera.append(make_entry(100.0))
        camera.picture(100.0, b"jpeg")
        assert journal.flush()
        assert journal.state.ok
        assert "removed or replaced" in journal.state.reason
        assert starts(camera) == [100.0]
        assert camera.jpeg(None) == b"jpeg"
    assert (folder / "journal.db").exists()
    with Journal(folder) as journal:
        assert starts(journal.camera("front")) == [100.0]


def test_a_log_that_is_removed_while_in_use_loses_nothing(tmp_path: Path, make_entry: MakeEntry) -> None:
    with Journal(tmp_path, flush_s=0.01) as journal:
        kept = fill(journal, make_entry)
        (tmp_path / "journal.db-wal").unlink()
        journal.camera("front").append(make_entry(100.0))
        assert journal.flush()
        assert starts(journal.camera("front")) == [*kept, 100.0]
        (tmp_path / "journal.db-wal").unlink()
        journal.camera("front").restore()  # a new reader sees no log at all
        assert fill(journal, make_entry, first=101)[-1] == 200.0
        assert starts(journal.camera("front")) == [float(second) for second in range(201)]
        assert journal.state.ok
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def aside(folder: Path) -> list[Path]:
    """The damaged databases that were moved aside."""
    return [path for path in folder.glob("journal.db.damaged-*") if not path.name.endswith(("-wal", "-shm"))]


def spoil(path: Path, at: int, length: int) -> bytes:
    """Overwrite bytes with garbage; gives the file as it is then."""
    generator = torch.Generator().manual_seed(at)
    garbage = bytes(torch.randint(0, 256, (length,), generator=generator).tolist())
    with path.open("r+b") as file:
        file.seek(at)
        file.write(garbage)
        os.fsync(file.fileno())
    return path.read_bytes()


def test_a_damaged_header_is_moved_aside(tmp_path: Path, make_entry: MakeEntry) -> None:
    with Journal(tmp_path) as journal:
        fill(journal, make_entry)
        journal.camera("front").picture(5.0, b"jpeg")
    damaged = spoil(tmp_path / "journal.db", 0, 100)
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        assert journal.state.ok
        assert "damaged" in journal.state.reason
        assert aside(tmp_path)[0].name in journal.state.reason
        assert camera.restore() == []
        camera.append(make_entry(100.0))
        assert journal.flush()
        assert starts(camera) == [100.0]
        wait_until(lambda: camera.jpeg(5.0) == b"jpeg")  # pictures are found again
    assert [path.read_bytes() for path in aside(tmp_path)] == [damaged]
    spoil(tmp_path / "journal.db", 0, 100)
    with Journal(tmp_path):
        pass
    assert len(aside(tmp_path)) == 2, "an older damaged file stays"


def recover(camera: CameraJournal, make_entry: MakeEntry, journal: Journal, first: int) -> list[MemoryEntry]:
    """Use everything until the damage is met; then what is written is kept."""
    second = first
    while "damaged" not in journal.state.reason:
        camera.append(make_entry(float(second), width=300))
        camera.restore()
        camera.entries(0.0, 1e9)
        camera.told(0.0, 1e9)
        list(camera.embeddings())
        journal.flush(0.1)
        second += 1
        assert second < first + 2000, "the damage was not noticed"
    camera.append(make_entry(float(second), width=300))
    assert journal.flush()
    return camera.restore()


@pytest.mark.parametrize("running", [False, True])
def test_garbage_in_the_middle_is_noticed_and_moved_aside(tmp_path: Path, make_entry: MakeEntry, running: bool) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(tmp_path, flush_s=0.01)
    fill(journal, make_entry, count=1000)
    journal.close()
    size = path.stat().st_size
    if running:
        journal = Journal(tmp_path, flush_s=0.01)
    damaged = spoil(path, 8192, size - 16384)
    if not running:
        journal = Journal(tmp_path, flush_s=0.01)
    with journal:
        after = recover(journal.camera("front"), make_entry, journal, 1000)
        assert journal.state.ok
        assert after[-1].start >= 1000.0
        assert journal.camera("front").entries(0.0, 900.0) == []
    (moved,) = aside(tmp_path)
    content = moved.read_bytes()
    assert len(content) >= size - 4096
    assert content[8192 : size - 8192] == damaged[8192 : size - 8192], "the damaged file is kept as it is"
    with Journal(tmp_path) as journal:
        assert journal.state.reason == ""
        assert [entry.start for entry in journal.camera("front").restore()] == [entry.start for entry in after]


def test_another_program_that_locks_the_database(tmp_path: Path, make_entry: MakeEntry) -> None:
    with Journal(tmp_path, flush_s=0.01) as journal:
        kept = fill(journal, make_entry)
        camera = journal.camera("front")
        with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            camera.append(make_entry(100.0))
            assert not journal.flush(0.1)
            assert starts(camera) == kept, "reading goes on"
            wait_until(lambda: not journal.state.ok)
            assert "another program holds" in journal.state.reason
            other.execute("ROLLBACK")
        assert journal.flush()
        assert starts(camera) == [*kept, 100.0]


def test_a_row_that_cannot_be_kept_does_not_stop_the_others(
    tmp_path: Path, make_entry: MakeEntry, caplog: pytest.LogCaptureFixture
) -> None:
    with Journal(tmp_path, flush_s=3600.0) as journal:
        camera = journal.camera("front")
        camera.append(make_entry(0.0))
        camera.append(make_entry(1.0, float("nan")))
        camera.picture(1e300, b"beyond the calendar")
        camera.tell(ToldSpan(0.0, 1.0, "caption \ud800", 0.0))  # half a character
        camera.append(make_entry(2.0))
        assert not journal.flush()  # not all of it
        assert journal.state.lost == 3
        assert journal.state.ok
        assert starts(camera) == [0.0, 2.0]
        assert journal.state.rows == 2
    assert "cannot take a row" in caplog.text
