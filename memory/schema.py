"""The journal's database: its tables, its versions, and how a file is recognised before anything is written to it.

A file of this program carries APPLICATION_ID in its header and the number of migrations it has seen as its
`user_version` (https://www.sqlite.org/pragma.html). Migrations only go forward, each in one transaction.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from llama_vid.errors import ConfigError

#: "LVLJ" in the database header's application id.
APPLICATION_ID: Final = 0x4C564C4A
#: Seconds to wait for another program (a backup, a person with a shell) that holds the database's lock.
BUSY_SECONDS: Final = 2.0

_FIRST: Final = """
CREATE TABLE cameras (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
-- Tokens in fp16, little-endian. One that entries share (a held context, the still motion token) is here once.
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);
-- merged: made by consolidation, beside the detailed rows of the same time. banked: part of the bank now.
-- written: epoch seconds when it came in, by which it ages (the times of recordings begin at 0).
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    camera INTEGER NOT NULL REFERENCES cameras (id),
    start REAL NOT NULL,
    end REAL NOT NULL,
    frames INTEGER NOT NULL,
    energy REAL NOT NULL,
    scene INTEGER NOT NULL,
    pinned INTEGER NOT NULL,
    context INTEGER NOT NULL REFERENCES vectors (id),
    motion INTEGER NOT NULL REFERENCES vectors (id),
    pair_energy REAL NOT NULL,
    held INTEGER NOT NULL,
    cut INTEGER NOT NULL,
    merged INTEGER NOT NULL,
    banked INTEGER NOT NULL,
    written REAL NOT NULL
);
CREATE INDEX entries_time ON entries (camera, merged, start);
CREATE INDEX entries_bank ON entries (camera, start) WHERE banked;
CREATE INDEX entries_age ON entries (pinned, written);
CREATE INDEX entries_context ON entries (context);
CREATE INDEX entries_motion ON entries (motion);
-- Apart from their entries, so that an entry that grows every second stays a small row.
CREATE TABLE embeddings (
    entry INTEGER PRIMARY KEY REFERENCES entries (id) ON DELETE CASCADE,
    data BLOB NOT NULL
);
CREATE TABLE told (
    id INTEGER PRIMARY KEY,
    camera INTEGER NOT NULL REFERENCES cameras (id),
    start REAL NOT NULL,
    end REAL NOT NULL,
    caption TEXT NOT NULL,
    motion REAL NOT NULL,
    written REAL NOT NULL,
    UNIQUE (camera, start)
);
CREATE INDEX told_age ON told (written);
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    camera INTEGER NOT NULL REFERENCES cameras (id),
    kind TEXT NOT NULL,
    start REAL NOT NULL,
    end REAL NOT NULL,
    text TEXT NOT NULL,
    data TEXT NOT NULL,
    pinned INTEGER NOT NULL,
    written REAL NOT NULL
);
CREATE INDEX records_time ON records (camera, kind, start);
CREATE INDEX records_age ON records (pinned, written);
-- The file's path follows from camera and seconds (whole milliseconds).
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY,
    camera INTEGER NOT NULL REFERENCES cameras (id),
    seconds REAL NOT NULL,
    bytes INTEGER NOT NULL,
    written REAL NOT NULL,
    UNIQUE (camera, seconds)
);
CREATE INDEX pictures_age ON pictures (written);
"""

# Which model's tokens an entry holds (NULL: unknown): those of another one mean nothing to this one.
_SECOND: Final = """
CREATE TABLE models (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
ALTER TABLE entries ADD COLUMN model INTEGER REFERENCES models (id);
"""

# Alerts: `event` is the id that travels, `seen` the last second that was told of it. The outbox holds their changes as
# they were, until every channel has them; its numbers are never used again.
_THIRD: Final = """
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    event TEXT NOT NULL UNIQUE,
    camera INTEGER NOT NULL REFERENCES cameras (id),
    rule TEXT NOT NULL,
    text TEXT NOT NULL,
    start REAL NOT NULL,
    end REAL,
    score REAL NOT NULL,
    verified INTEGER,
    frames TEXT NOT NULL,
    before REAL,
    seen REAL NOT NULL,
    written REAL NOT NULL
);
CREATE INDEX events_time ON events (camera, start);
CREATE INDEX events_rule ON events (camera, rule, start);
CREATE INDEX events_open ON events (camera) WHERE end IS NULL;
CREATE INDEX events_age ON events (written);
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    camera INTEGER NOT NULL REFERENCES cameras (id),
    change TEXT NOT NULL,
    written REAL NOT NULL
);
CREATE INDEX outbox_age ON outbox (written);
CREATE TABLE channels (
    name TEXT PRIMARY KEY,
    delivered INTEGER NOT NULL
);
"""

#: MIGRATIONS[n] brings a database of version n to n + 1.
MIGRATIONS: Final[tuple[str, ...]] = (_FIRST, _SECOND, _THIRD)


def open_for_writing(path: Path) -> sqlite3.Connection:
    """The one writing connection, of the newest schema, usable from any one thread at a time.

    Raises ConfigError if the file belongs to another program or a newer version of this one (it is left alone), and
    sqlite3.Error if it cannot be opened, created or brought up to date.
    """
    new = not path.exists() or path.stat().st_size == 0 or _is_ours_to_begin(path)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        if new:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(MIGRATIONS):
            raise ConfigError(
                f"the journal {path} has version {version}, this program knows versions up to {len(MIGRATIONS)}; "
                "update the program, or set memory.path to another folder"
            )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        # What is deleted or replaced is overwritten where that costs no extra write; forgetting overwrites the rest.
        connection.execute("PRAGMA secure_delete = FAST").fetchall()
        connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            _migrate(connection, number, script)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, usable from any one thread at a time. Raises sqlite3.Error.

    On a read-only disk there can be no log beside the file and no locks; then the file is read as it lies there.
    """
    try:
        return _reading(path, "mode=rw")
    except sqlite3.OperationalError:
        if os.access(path.parent, os.W_OK) or not path.exists():
            raise
    return _reading(path, "mode=ro&immutable=1")


def _reading(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _is_ours_to_begin(path: Path) -> bool:
    """Whether a database is empty. False for one of ours; ConfigError for one of another program.

    Read without locks and without its write-ahead log, so that nothing beside a foreign file changes.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        if int(connection.execute("PRAGMA application_id").fetchone()[0]) == APPLICATION_ID:
            return False
        tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    log = path.with_name(path.name + "-wal")
    if tables or (log.exists() and log.stat().st_size):
        raise ConfigError(
            f"{path} is a database of another program and is left alone; set memory.path to another folder"
        )
    return True


def _migrate(connection: sqlite3.Connection, number: int, script: str) -> None:
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
