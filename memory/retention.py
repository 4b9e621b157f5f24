"""Retention: what is too old or too much goes, oldest first over all cameras, a few rows at a time."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from llama_vid.memory.frames import FoundPicture, FrameFiles
from llama_vid.memory.journal_file import used_bytes
from llama_vid.memory.journal_writing import Rows

#: Rows a step: a few milliseconds on a slow disk, so that writing never waits for long.
STEP_ROWS: Final = 32
#: What goes together when there is too much: a minute.
STEP_SECONDS: Final = 60.0
#: Free pages (4 KB) that stay for new rows; more are given back to the file system, this many a step.
FREE_PAGES, VACUUM_PAGES = 512, 64
#: What ages, in the order in which it goes: (table, condition).
_KINDS: Final = (
    ("pictures", ""),
    ("entries", "pinned = 0 AND "),
    ("told", ""),
    ("records", "pinned = 0 AND "),
)
#: Alerts go last, and what is still to be delivered of them.
_PINNED: Final = (("entries", "pinned = 1 AND "), ("records", "pinned = 1 AND "), ("events", ""), ("outbox", ""))


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much is kept: days, and bytes of database pages and pictures together."""

    days: float
    bytes: float


class Retention:
    """Deletes on the writer's connection, between its transactions. `step` does little at a time."""

    def __init__(
        self, db: sqlite3.Connection, rows: Rows, frames: FrameFiles, limits: Limits, *, adopt_all: bool
    ) -> None:
        """`adopt_all`: the database is new, so look through all pictures that lie there already."""
        self._db, self._rows, self._frames, self._limits = db, rows, frames, limits
        self._found: Iterator[FoundPicture] | None = frames.found(ends_only=not adopt_all)

    def step(self, now: float) -> bool:
        """One small piece of work; whether there may be more. Raises sqlite3.Error and OSError."""
        return self._adopt() or self._too_old(now) or self._too_much() or self._vacuum()

    def _adopt(self) -> bool:
        """Index picture files that the index does not know: their rows were lost with a crash or the database."""
        if self._found is None:
            return False
        some = list(itertools.islice(self._found, STEP_ROWS))
        if not some:
            self._found = None
            return True
        with self._transaction():
            for picture in some:
                known = self._db.execute(
                    "SELECT bytes FROM pictures WHERE camera = ? AND seconds = ?",
                    (self._rows.camera(picture.camera), picture.seconds),
                ).fetchone()
                if known is None or known[0] != picture.bytes:
                    self._rows.index(picture.camera, picture.seconds, picture.bytes, picture.written)
        return True

    def _too_old(self, now: float) -> bool:
        limit = now - self._limits.days * 86400
        return any(self._delete(table, where, limit) for table, where in (*_KINDS, *_PINNED))

    def _too_much(self) -> bool:
        if self._used() <= self._limits.bytes:
            return False
        for kinds in (_KINDS, _PINNED):
            heads = []
            for table, where in kinds:
                head = self._db.execute(f"SELECT min(written) FROM {table} WHERE {where} 1").fetchone()[0]
                if head is not None:
                    heads.append((head, table, where))
            if heads:
                head, table, where = min(heads)
                return self._delete(table, where, head + STEP_SECONDS)
        return False

    def _delete(self, table: str, where: str, before: float) -> bool:
        """Delete the oldest rows of a table that were written before a time; whether there were any."""
        columns = "t.id, c.name, t.seconds" if table == "pictures" else "t.id"
        found = self._db.execute(
            f"SELECT {columns} FROM {table} AS t JOIN cameras AS c ON c.id = t.camera "
            f"WHERE {where} written < ? ORDER BY written LIMIT {STEP_ROWS}",
            (before,),
        ).fetchall()
        if not found:
            return False
        ids = [row[0] for row in found]
        with self._transaction():
            if table == "entries":
                self._rows.entries.delete(ids)
            elif table == "pictures":
                self._rows.delete_pictures(ids)
            else:
                self._db.executemany(f"DELETE FROM {table} WHERE id = ?", [(row,) for row in ids])
        if table == "pictures":
            self._delete_files([(name, seconds) for _, name, seconds in found])
        return True

    def _delete_files(self, pictures: list[tuple[str, float]]) -> None:
        for name, seconds in pictures:
            self._frames.delete(name, seconds)
        for name, (start, end) in {(name, self._frames.hour(seconds)) for name, seconds in pictures}:
            left = self._db.execute(
                "SELECT 1 FROM pictures WHERE camera = ? AND seconds >= ? AND seconds < ? LIMIT 1",
                (self._rows.camera(name), start, end),
            ).fetchone()
            if left is None:
                self._frames.prune(name, start)

    def _used(self) -> int:
        return used_bytes(self._db) + self._rows.picture_bytes

    def _vacuum(self) -> bool:
        free = int(self._db.execute("PRAGMA freelist_count").fetchone()[0])
        if free <= FREE_PAGES:
            return False
        # As a script: `execute` would stop after one page, since this statement yields rows without columns.
        self._db.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
        return int(self._db.execute("PRAGMA freelist_count").fetchone()[0]) < free

    def _transaction(self) -> Transaction:
        return Transaction(self._db)


class Transaction:
    """`with Transaction(db):` commits at the end, or rolls back."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, problem: object, trace: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
