"""Retention by days and bytes: oldest first over all cameras, alerts last, no empty folders."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from llama_vid.memory.consolidation import merged
from llama_vid.memory.frames import FrameFiles
from llama_vid.memory.journal import Journal
from llama_vid.memory.journal_file import used_bytes
from llama_vid.memory.journal_writing import Rows
from llama_vid.memory.records import Append, Note, Picture, Record, ToldSpan
from llama_vid.memory.retention import STEP_ROWS, Limits, Retention
from llama_vid.memory.schema import open_for_writing
from tests.memory.conftest import MakeEntry

DAY = 86400.0
NOON = 1_700_000_000.0


class Clock:
    """The time that the test says it is."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def wait_until(done: Callable[[], bool]) -> None:
    """Look until something that another thread does is done."""
    limit = time.monotonic() + 30
    while not done():
        assert time.monotonic() < limit, "it did not happen within 30 s"
        time.sleep(0.005)


def orphans(folder: Path) -> int:
    """Vectors that no entry has."""
    with closing(sqlite3.connect(folder / "journal.db")) as db:
        used = "SELECT context FROM entries UNION SELECT motion FROM entries"
        return int(db.execute(f"SELECT count(*) FROM vectors WHERE id NOT IN ({used})").fetchone()[0])


def test_what_is_older_than_the_days_goes(tmp_path: Path, make_entry: MakeEntry) -> None:
    clock = Clock(NOON)
    entries = [make_entry(NOON + second) for second in range(100)]
    with Journal(tmp_path, retention_days=2, clock=clock) as journal:
        front, yard = journal.camera("front"), journal.camera("yard")
        for entry in entries:
            front.append(entry)
            front.picture(entry.start, b"jpeg")
        front.consolidate(entries[:50], [merged(entries[:50])])
        front.tell(ToldSpan(NOON, NOON + 100, "old", 0.0))
        yard.note(Record("alert", NOON, NOON + 1, "old"))
        assert journal.flush()
        clock.now += DAY
        front.append(make_entry(NOON + DAY))
        front.picture(NOON + DAY, b"new jpeg")
        yard.note(Record("alert", NOON + DAY, NOON + DAY + 1, "new"))
        assert journal.flush()
        assert journal.state.rows == 102
        clock.now = NOON + 2 * DAY + 3600
        wait_until(lambda: journal.state.rows == 1 and yard.bounds == (NOON + DAY, NOON + DAY + 1))
        wait_until(lambda: len(list((tmp_path / "frames/front").iterdir())) == 1)
        assert [entry.start for entry in front.restore()] == [NOON + DAY]
        assert front.told(0, 2 * NOON) == []
        assert [record.text for record in yard.records("alert", 0, 2 * NOON)] == ["new"]
        assert front.jpeg(NOON) == b"new jpeg"
        assert [path.name for path in (tmp_path / "frames").rglob("*.jpg")] == [f"{NOON + DAY:.3f}.jpg"]
    assert orphans(tmp_path) == 0


def test_a_stretch_that_goes_on_is_not_old(tmp_path: Path, make_entry: MakeEntry) -> None:
    clock = Clock(NOON)
    with Journal(tmp_path, retention_days=1, clock=clock) as journal:
        camera = journal.camera("front")
        still = make_entry(NOON)
        camera.append(still)
        camera.note(Record("old", NOON, NOON, ""))
        assert journal.flush()
        clock.now += 3 * DAY
        camera.extend(replace(still, end=NOON + 3 * DAY, frames=3))
        assert journal.flush()
        wait_until(lambda: not camera.records("old", NOON, NOON))
        assert [(entry.start, entry.end) for entry in camera.restore()] == [(NOON, NOON + 3 * DAY)]


@pytest.fixture
def parts(tmp_path: Path) -> tuple[sqlite3.Connection, Rows, FrameFiles]:
    """A database, its rows and its picture files, without a thread."""
    db = open_for_writing(tmp_path / "journal.db")
    return db, Rows(db, None), FrameFiles(tmp_path / "frames")


def test_what_is_too_much_goes_oldest_first_and_alerts_last(
    parts: tuple[sqlite3.Connection, Rows, FrameFiles], make_entry: MakeEntry
) -> None:
    db, rows, files = parts
    size = 5000
    for hour in range(40):
        at = NOON + 3600.0 * hour
        for camera in ("front", "yard"):
            files.write(camera, at, b"x" * size)
            rows.picture(Picture(camera, at, b"x" * size, at))
            pinned = camera == "yard" and hour == 0
            rows.write(Append(camera, make_entry(at, width=500, pinned=pinned), at))
            rows.write(Note(camera, Record("alert", at, at, ""), "{}", at))
    full = used_bytes(db) + rows.picture_bytes
    assert rows.picture_bytes == 80 * size

    def left(table: str) -> list[float]:
        return [at for (at,) in db.execute(f"SELECT written FROM {table} ORDER BY written")]

    def kept(limit: float) -> None:
        retention = Retention(db, rows, files, Limits(1e6, limit), adopt_all=False)
        while retention.step(NOON + 40 * 3600.0):
            pass
        assert used_bytes(db) + rows.picture_bytes <= limit
        on_disk = sorted(float(path.stem) for path in files.folder.rglob("*.jpg"))
        assert on_disk == left("pictures")
        assert rows.picture_bytes == len(on_disk) * size
        assert rows.entries.count == len(left("entries"))
        assert all(any(folder.iterdir()) for folder in files.folder.rglob("*") if folder.is_dir())

    kept(full / 2)
    pictures = left("pictures")
    assert 0 < len(pictures) < 80
    assert pictures == [NOON + 3600.0 * hour for hour in range(40 - len(pictures) // 2, 40) for _ in range(2)]
    entries = left("entries")
    assert entries[0] == NOON, "the pinned entry stays"
    assert entries[1] == pytest.approx(pictures[0], abs=3600.0)
    assert len(left("records")) == 80, "alerts stay"

    kept(used_bytes(db) - 95_000)
    assert left("pictures") == []
    assert left("entries") == [NOON] or len(left("entries")) < len(entries)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_even_alerts_go_when_nothing_else_is_left(
    parts: tuple[sqlite3.Connection, Rows, FrameFiles], make_entry: MakeEntry
) -> None:
    db, rows, files = parts
    for second in range(200):
        rows.write(Append("front", make_entry(float(second), width=1000, pinned=True), NOON + 120 * second))
    limit = used_bytes(db) / 2
    retention = Retention(db, rows, files, Limits(1e6, limit), adopt_all=False)
    steps = 0
    while retention.step(NOON):
        steps += 1
    assert used_bytes(db) <= limit
    left = [start for (start,) in db.execute("SELECT start FROM entries ORDER BY start")]
    assert left == [float(second) for second in range(200 - len(left), 200)]
    assert 0 < len(left) < 200
    db.close()


def test_a_step_is_small_and_pages_go_back_to_the_disk(
    parts: tuple[sqlite3.Connection, Rows, FrameFiles], tmp_path: Path, make_entry: MakeEntry
) -> None:
    db, rows, files = parts
    db.execute("BEGIN")
    for second in range(2000):
        rows.write(Append("front", make_entry(float(second), width=1000), NOON))
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = (tmp_path / "journal.db").stat().st_size
    retention = Retention(db, rows, files, Limits(1, 1e12), adopt_all=False)
    before = rows.entries.count
    steps = 0
    while retention.step(NOON + 2 * DAY):
        assert before - rows.entries.count <= STEP_ROWS
        before = rows.entries.count
        steps += 1
    assert before == 0
    assert steps < 3 * 2000 / STEP_ROWS, "pages are given back many at a time"
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (tmp_path / "journal.db").stat().st_size < size / 2
    db.close()


def test_pictures_of_a_lost_index_are_found_again(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        for hour in range(50):
            journal.camera("front").picture(NOON + 3600 * hour + 0.125, b"jpeg")
    for file in tmp_path.glob("journal.db*"):
        file.unlink()
    (tmp_path / "frames/front/notes.txt").write_text("somebody's")
    odd = tmp_path / "frames/front/2020-01-01/05"
    odd.mkdir(parents=True)
    (odd / "cat.jpg").write_bytes(b"somebody's")
    (odd / "12.000.part").write_bytes(b"half a")
    with Journal(tmp_path) as journal:
        camera = journal.camera("front")
        wait_until(lambda: camera.bounds == (NOON + 0.125, NOON + 3600 * 49 + 0.125))
        wait_until(lambda: not (odd / "12.000.part").exists())
        assert camera.jpeg(NOON + 3600 * 20) == b"jpeg"
    assert (odd / "cat.jpg").exists()


def test_pictures_that_a_killed_process_had_not_indexed_are_found_again(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.camera("front").picture(NOON, b"jpeg")
    FrameFiles(tmp_path / "frames").write("front", NOON + 1, b"unindexed")
    with Journal(tmp_path) as journal:
        wait_until(lambda: journal.camera("front").jpeg(None) == b"unindexed")
