"""Whose a database file is, and how an older one is brought up to date."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from llama_vid.errors import ConfigError
from llama_vid.memory.journal import Journal
from llama_vid.memory.records import Record, ToldSpan
from llama_vid.memory.schema import APPLICATION_ID, MIGRATIONS
from tests.memory.conftest import MakeEntry

FIRST_VERSION = Path(__file__).with_name("version1.sql").read_text()


def one(path: Path, query: str) -> object:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchone()[0]


def shape(path: Path) -> list[tuple[str, str, list[tuple[object, ...]]]]:
    """Tables and indexes with their columns."""
    with closing(sqlite3.connect(path)) as db:
        names = db.execute("SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY 2").fetchall()
        return [(kind, name, db.execute(f"PRAGMA {kind}_info({name})").fetchall()) for kind, name in names]


def test_a_journal_of_the_first_version_is_brought_up_to_date(tmp_path: Path, make_entry: MakeEntry) -> None:
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(FIRST_VERSION)
    picture = tmp_path / "frames/front/1970-01-01/00/105.500.jpg"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"abc")

    with Journal(tmp_path, retention_days=1e6) as journal:
        assert journal.state.ok
        camera = journal.camera("front")
        bank = camera.restore()
        assert [(entry.start, entry.end, entry.frames, entry.pinned) for entry in bank] == [
            *((100.0, 105.0, 5, False), (105.0, 106.0, 1, True)),
        ]
        assert bank[0].pair.context.tolist() == [1.0, 2.0]
        assert bank[0].pair.motion is bank[1].pair.context
        assert bank[1].embedding.tolist() == [0.5, -2.0]
        assert [entry.start for entry in camera.entries(0.0, 1000.0)] == [100.0, 101.0, 105.0]
        assert camera.told(0.0, 1000.0) == [ToldSpan(100.0, 105.0, "a man at the door", 0.25)]
        assert journal.camera("yard").records("alert", 0.0, 100.0) == [
            Record("alert", 50.0, 51.0, "a fox", {"rule": "animals"})
        ]
        assert camera.jpeg(None) == b"abc"
        camera.append(make_entry(107.0))
        assert journal.flush()
        assert [entry.start for entry in camera.restore()] == [100.0, 105.0, 107.0]
    assert one(path, "PRAGMA user_version") == len(MIGRATIONS) > 1
    with Journal(tmp_path / "new"):
        pass
    assert shape(path) == shape(tmp_path / "new" / "journal.db")


def test_a_new_journal_says_whose_it_is(tmp_path: Path) -> None:
    with Journal(tmp_path / "deep" / "below"):
        pass
    path = tmp_path / "deep/below/journal.db"
    assert one(path, "PRAGMA application_id") == APPLICATION_ID
    assert one(path, "PRAGMA journal_mode") == "wal"
    assert one(path, "PRAGMA auto_vacuum") == 2


def test_a_journal_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    with Journal(tmp_path):
        pass
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"journal\.db has version 99.*update the program"):
        Journal(tmp_path)
    with pytest.raises(ConfigError, match="99"):  # the folder was let go of
        Journal(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_database_of_another_program_is_left_alone(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA journal_mode = {mode}")
        db.execute("CREATE TABLE recipes (name TEXT)")
        db.execute("INSERT INTO recipes VALUES ('soup')")
        db.commit()
        if mode == "WAL":  # still in its log, as a killed program leaves it
            log = (tmp_path / "journal.db-wal").read_bytes()
            main = path.read_bytes()
    if mode == "WAL":
        path.write_bytes(main)
        (tmp_path / "journal.db-wal").write_bytes(log)
    before = {file.name: file.read_bytes() for file in tmp_path.glob("journal.db*")}
    with pytest.raises(ConfigError, match="another program"):
        Journal(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.glob("journal.db*")} == before
    assert one(path, "SELECT name FROM recipes") == "soup"


def test_an_empty_file_is_begun(tmp_path: Path, make_entry: MakeEntry) -> None:
    (tmp_path / "journal.db").touch()
    with Journal(tmp_path) as journal:
        journal.camera("front").append(make_entry(0.0))
        assert journal.flush()
        assert journal.state.ok
        assert journal.state.reason == ""
