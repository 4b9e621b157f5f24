"""The journal's file on disk: whose it is, whether it is still the one that was opened, and what to do if it breaks."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from llama_vid.errors import LlamaVidError
from llama_vid.memory.schema import open_for_writing

logger = logging.getLogger(__name__)

DATABASE: Final = "journal.db"
LOCK: Final = "journal.lock"
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SIDES: Final = ("", "-wal", "-shm", "-journal")


class JournalFile:
    """One folder's database and its lock. Belongs to the writer thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / DATABASE
        self.notice = ""  # what became of an older file, in one line
        self.new = False  # the database was begun by the last `open`
        self._db: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._opened: tuple[tuple[int, int] | None, ...] = ()

    @property
    def db(self) -> sqlite3.Connection:
        """The open connection."""
        assert self._db is not None
        return self._db

    def open(self) -> sqlite3.Connection:
        """Take the folder and open its database; a damaged one is moved aside.

        Raises LlamaVidError if another process has the folder, ConfigError if the file is not ours or newer, OSError
        or sqlite3.Error if the disk does not let us.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._take()
        self.new = not self.path.exists()
        if self.new and self.path.with_name(f"{DATABASE}-wal").exists():
            self.move_aside()  # somebody took the database away; its log is of no use to a new one
        try:
            self._db = open_for_writing(self.path)
        except sqlite3.Error as problem:
            if not is_damage(problem):
                raise
            self.move_aside()
            self._db = open_for_writing(self.path)
        self._db.execute("SELECT count(*) FROM cameras").fetchone()  # opens the write-ahead log
        self._opened = self._identity()
        return self._db

    def intact(self) -> bool:
        """Whether the open files are still the ones at their paths. A log that was removed is brought in first."""
        if self._db is None:
            return False
        now = self._identity()
        if now == self._opened:
            return True
        if now[0] == self._opened[0] and now[0] is not None:
            logger.warning("the write-ahead log of %s was removed while it was in use; it is written anew", self.path)
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        else:
            self.notice = f"{self.path} was removed or replaced at {_stamp()} while it was in use; it was opened anew"
        return False

    def check(self) -> None:
        """Look through the whole database. Raises sqlite3.DatabaseError if it is damaged."""
        found = self.db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            problem = sqlite3.DatabaseError(found)
            problem.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise problem

    def move_aside(self) -> None:
        """Rename the database (the pictures stay where they are); nothing is deleted. Raises OSError."""
        self.close_database()
        target = self.path.with_name(f"{DATABASE}.damaged-{_stamp()}")
        for count in range(1, 1000):
            if not target.exists():
                break
            target = self.path.with_name(f"{DATABASE}.damaged-{_stamp()}-{count}")
        for side in _SIDES:
            source = self.path.with_name(self.path.name + side)
            if source.exists():
                os.replace(source, target.with_name(target.name + side))
        self.new = True
        self.notice = (
            f"{self.path} was damaged and was moved to {target.name} at {_stamp()}; a new one was begun; check the "
            "disk, and delete the old file when you do not need it"
        )

    def rollback(self) -> None:
        """End a transaction that failed."""
        try:
            if self._db is not None and self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            self.close_database()

    def relax(self) -> None:
        """Commits are synced with the next checkpoint again, not each."""
        try:
            self.rollback()
            if self._db is not None:
                self._db.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error:
            self.close_database()

    def close_database(self) -> None:
        """Close the connection and keep the folder."""
        db, self._db = self._db, None
        if db is not None:
            try:
                db.close()
            except sqlite3.Error as problem:
                logger.warning("closing %s: %s", self.path, problem)

    def close(self) -> None:
        """Close the connection and give the folder back."""
        self.close_database()
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _take(self) -> None:
        """Lock the folder for this process; the kernel lets go of it when the process ends, however it ends."""
        path = self.folder / LOCK
        if self._lock is not None:
            with suppress(OSError):
                if os.path.samestat(os.fstat(self._lock), os.stat(path)):
                    return
            os.close(self._lock)  # the folder was deleted
            self._lock = None
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            owner = os.pread(lock, 20, 0).decode(errors="replace").strip()
            os.close(lock)
            if problem.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise LlamaVidError(
                f"the journal in {self.folder} is in use by another process{f' ({owner})' if owner.isdigit() else ''}; "
                "stop that one, or set memory.path to another folder"
            ) from None
        self._lock = lock
        with suppress(OSError):  # for that message alone: a full disk must not matter
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)

    def _identity(self) -> tuple[tuple[int, int] | None, ...]:
        found: list[tuple[int, int] | None] = []
        for side in ("", "-wal"):
            try:
                stat = os.stat(self.path.with_name(self.path.name + side))
                found.append((stat.st_dev, stat.st_ino))
            except OSError:
                found.append(None)
        return tuple(found)


def is_damage(problem: Exception) -> bool:
    """Whether an error says that the file's content is broken (not that the disk is)."""
    return getattr(problem, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def advice(folder: Path, problem: Exception) -> str:
    """What to tell about a disk that fails: what, where, what to do."""
    code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
    number = getattr(problem, "errno", None)
    if code == sqlite3.SQLITE_FULL or number in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of the journal in {folder} is full; free space there or lower memory.retention_gb"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM) or number in (errno.EACCES, errno.EROFS, errno.EPERM):
        return f"the journal in {folder} cannot be written; let this program's user write there ({problem})"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another program holds the journal in {folder} locked; close it ({problem})"
    return f"the journal in {folder} cannot be written: {problem}; check the folder and its disk"


def used_bytes(db: sqlite3.Connection) -> int:
    """Bytes of a database's pages that are in use."""
    pages, free, size = (
        int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _stamp() -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
