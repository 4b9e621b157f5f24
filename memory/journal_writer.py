"""The journal's writer: one thread, one connection, one transaction for everything that was queued.

While the disk fails nothing is thrown away until the queue is full: what could not be written waits, `problem` says
why, and writing is tried again.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Final

from llama_vid.errors import LlamaVidError
from llama_vid.memory.frames import FrameFiles
from llama_vid.memory.journal_file import JournalFile, advice
from llama_vid.memory.journal_queue import Batch, Waiting
from llama_vid.memory.journal_reading import Connections
from llama_vid.memory.journal_writing import Rows
from llama_vid.memory.records import JournalState
from llama_vid.memory.retention import Limits, Retention

logger = logging.getLogger(__name__)

RETRY_SECONDS: Final = 2.0  # between attempts while the disk fails
CHORES_SECONDS: Final = 10.0  # between looks at what is too old or too much
CHORE_SHARE: Final = 0.02  # seconds of deleting at a time; then new rows have their turn
JOIN_SECONDS: Final = 10.0


class Writer:
    """The thread that writes. `state` and the queue may be used from any thread."""

    def __init__(
        self, file: JournalFile, readers: Connections, frames: FrameFiles, limits: Limits, flush_s: float,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self.waiting = Waiting()
        self._file, self._readers, self._frames = file, readers, frames
        self._limits, self._flush_s, self._clock = limits, flush_s, clock
        self._rows: Rows | None = None
        self._retention: Retention | None = None
        self._problem, self._notice = "", ""
        self._suspect: str | None = None
        self._size, self._count = 0, 0
        self._written_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="journal writer", daemon=True)

    def start(self) -> None:
        """Open the database, if the disk lets us, and begin. Raises LlamaVidError where the folder is not ours."""
        try:
            self._ready()
        except (sqlite3.Error, OSError) as problem:
            self._failed(problem)
        self._thread.start()

    @property
    def state(self) -> JournalState:
        """How the journal fares."""
        problem = self._problem
        return JournalState(
            not problem,
            problem or self._notice,
            len(self.waiting),
            self.waiting.lost,
            self._size,
            self._count,
            self._written_at,
        )

    def suspect(self, problem: Exception) -> None:
        """A reader found something wrong with the database: look at it."""
        self._suspect = str(problem)
        self.waiting.wake()

    def close(self) -> None:
        """Write what waits, end the thread and close the database."""
        self.waiting.close()
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        try:
            self._work()
        except Exception:  # the thread's edge: the camera goes on
            logger.exception("the journal's writer has failed")
            self._problem = f"{self._file.folder}: the journal's writer has failed; see the log and start again"
        finally:
            self._rows = None
            self._file.close()
            self._readers.renew()

    def _work(self) -> None:
        more = True  # there are chores
        next_chores = time.monotonic()
        while True:
            timeout = 0.0 if more else max(0.0, next_chores - time.monotonic())
            due = self.waiting.wait(RETRY_SECONDS if self._problem else self._flush_s, timeout)
            if self._suspect is not None:
                self._look()
            if due or self._problem:
                self._write()
            if self.waiting.closed:
                self._write()
                return
            more = False
            if not self._problem:
                more = self._chores()
            if not more:
                next_chores = time.monotonic() + (RETRY_SECONDS if self._problem else CHORES_SECONDS)

    def _ready(self) -> Rows:
        """The rows of the open database; (re)opened where it is closed, gone or was replaced."""
        if self._rows is not None and self._file.intact():
            return self._rows
        self._reopen()
        assert self._rows is not None
        return self._rows

    def _reopen(self) -> None:
        self._rows = self._retention = None
        self._readers.renew()
        self._file.close()
        db = self._file.open()
        if self._file.notice:
            self._notice = self._file.notice
            logger.warning("%s", self._notice)
        self._readers.renew()
        self._rows = Rows(db)
        self._retention = Retention(db, self._rows, self._frames, self._limits, adopt_all=self._file.new)
        self._measure()

    def _write(self) -> None:
        batch = self.waiting.take()
        try:
            rows = self._ready()
            back = self._commit(rows, batch)
        except (sqlite3.Error, OSError, LlamaVidError) as problem:
            self.waiting.settle(batch)
            self._failed(problem)
            return
        self.waiting.settle(back)
        if not back:
            self._worked()

    def _commit(self, rows: Rows, batch: Batch) -> Batch:
        """Write a batch in one transaction. What comes back are pictures whose files could not be written."""
        back, saved = Batch(), []
        trouble: OSError | None = None
        for number, item in batch.pictures:
            if trouble is None:
                try:
                    self._frames.write(item.camera, item.seconds, item.jpeg)
                    saved.append(item)
                    continue
                except OSError as problem:
                    trouble = problem
            back.pictures.append((number, item))
        if batch.rows or saved:
            db = self._file.db
            db.execute("BEGIN IMMEDIATE")
            for _, row in batch.rows:
                self._one(db, lambda row=row: rows.write(row))  # type: ignore[misc]
            for item in saved:
                self._one(db, lambda item=item: rows.picture(item))  # type: ignore[misc]
            db.execute("COMMIT")
            self._written_at = self._clock()
            self._measure()
        if trouble is not None:
            self._problem_is(advice(self._file.folder, trouble))
        return back

    def _one(self, db: sqlite3.Connection, write: Callable[[], None]) -> None:
        """One write; one that the database refuses for what it is (not for the disk) is left out and counted."""
        db.execute("SAVEPOINT one")
        try:
            write()
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, OverflowError, ValueError):
            logger.exception("the journal in %s could not take a row", self._file.folder)
            db.execute("ROLLBACK TO one")
            self.waiting.drop()
        db.execute("RELEASE one")

    def _chores(self) -> bool:
        """A few steps of keeping the journal small; whether there is more to do."""
        until = time.monotonic() + CHORE_SHARE
        try:
            self._ready()
            assert self._retention is not None
            while self._retention.step(self._clock()):
                if time.monotonic() >= until:
                    self._measure()
                    return True
            self._measure()
        except (sqlite3.Error, OSError, LlamaVidError) as problem:
            self._failed(problem)
        return False

    def _measure(self) -> None:
        assert self._rows is not None
        self._count = self._rows.count
        self._size = self._file.pages_bytes() + self._rows.picture_bytes

    def _failed(self, problem: Exception) -> None:
        self._rows = self._retention = None  # what they remember may have been rolled back
        self._file.rollback()
        if self._file.damaged(problem):
            try:
                self._file.move_aside()
                self._reopen()
                self._problem = ""
                self.waiting.wake()
                return
            except (sqlite3.Error, OSError, LlamaVidError) as again:
                problem = again
        self._problem_is(str(problem) if isinstance(problem, LlamaVidError) else advice(self._file.folder, problem))

    def _look(self) -> None:
        """A reader met damage: move a damaged database aside."""
        self._suspect = None
        try:
            self._ready()
            self._file.check()
        except (sqlite3.Error, OSError, LlamaVidError) as problem:
            self._failed(problem)

    def _problem_is(self, problem: str) -> None:
        if problem != self._problem:
            logger.warning("%s", problem)
        self._problem = problem

    def _worked(self) -> None:
        if self._problem:
            logger.info("the journal in %s is written again", self._file.folder)
        self._problem = ""
