"""The journal's writer: one thread, one connection, one transaction for everything that was queued.

While the disk fails nothing is thrown away until the queue is full: what could not be written waits, the state says
why, and writing is tried again every second.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from llama_vid.errors import LlamaVidError
from llama_vid.memory.alert_rows import left_open
from llama_vid.memory.forgetting import Forget, forget, scrub
from llama_vid.memory.frames import FrameFiles
from llama_vid.memory.journal_file import JournalFile, advice, is_damage, used_bytes
from llama_vid.memory.journal_queue import Batch, Waiting
from llama_vid.memory.journal_reading import Connections
from llama_vid.memory.journal_writing import Rows
from llama_vid.memory.lease import FencedError, claim, hold
from llama_vid.memory.outbox import Ledger, Outgoing
from llama_vid.memory.records import JournalState, Picture
from llama_vid.memory.retention import Limits, Retention, Transaction

logger = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0  # between attempts while the disk fails
CHORES_SECONDS: Final = 2.0  # between looks at what is too old or too much
CHORE_SHARE: Final = 0.02  # seconds of deleting at a time; then new rows have their turn
JOIN_SECONDS: Final = 10.0  # longer than a locked database is waited for
#: The fault of what is to be written, not of the disk: it is left out, and the rest goes on.
_REFUSED: Final = (
    *(sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError),
    *(ValueError, TypeError, OverflowError, AttributeError, RuntimeError),
)


class Writer:
    """The thread that writes. `state`, `suspect`, `close` and the queue `waiting` may be used from any thread."""

    def __init__(
        self,
        file: JournalFile,
        readers: Connections,
        frames: FrameFiles,
        limits: Limits,
        flush_s: float,
        clock: Callable[[], float],
        model: str | None,
        epoch: int | None = None,
    ) -> None:
        self.waiting = Waiting()
        self.ledger = Ledger()
        self._left_ended = False
        self._file, self._readers, self._frames = file, readers, frames
        self._limits, self._flush_s, self._clock, self._model = limits, flush_s, clock, model
        self._epoch = epoch
        self._rows: Rows | None = None
        self._retention: Retention | None = None
        self._problem = ""
        self._suspect: Exception | None = None
        self._size, self._count = 0, 0
        self._written_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="journal writer", daemon=True)

    def start(self) -> None:
        """Open the database, if the disk lets us, and begin. Raises LlamaVidError where the folder is not ours."""
        try:
            self._ready()
        except (sqlite3.Error, OSError) as problem:
            self._failed(problem)
        except LlamaVidError:
            self._file.close()
            raise
        self._thread.start()

    @property
    def state(self) -> JournalState:
        """How the journal fares."""
        problem, queue = self._problem, self.waiting
        reason = problem or self._file.notice
        return JournalState(not problem, reason, len(queue), queue.lost, self._size, self._count, self._written_at)

    def suspect(self, problem: Exception) -> None:
        """A reader found something wrong: look at the database."""
        self._suspect = problem
        self.waiting.wake()

    def close(self) -> None:
        """Write what waits, end the thread and close the database."""
        self.waiting.close()
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while True:
            try:
                self._work()
                break
            except Exception:  # the thread's edge: the journal goes on with what comes next
                logger.exception("the journal in %s: the writer failed", self._file.folder)
                self.waiting.drop_taken()
                self._file.close_database()
                self._problem = f"the journal in {self._file.folder} failed; the log says where, please report it"
                time.sleep(RETRY_SECONDS)
        self._rows = self._retention = None
        self._readers.renew()
        self._file.close()

    def _work(self) -> None:
        chores_at = time.monotonic()
        while True:
            flush_s = RETRY_SECONDS if self._problem else self._flush_s
            due = self.waiting.wait(flush_s, max(0.0, chores_at - time.monotonic()))
            if self._suspect is not None:
                self._look()
            if urgent := self.waiting.take_urgent():
                self._write(urgent, all_of_it=False)
            if due or self._problem:
                self._write(self.waiting.take())
            if self.waiting.closed:
                self._write(self.waiting.take())  # what came between
                return
            if time.monotonic() >= chores_at:
                more = not self._problem and self._chores()
                chores_at = time.monotonic() + (0.0 if more else RETRY_SECONDS if self._problem else CHORES_SECONDS)

    def _ready(self) -> Rows:
        """The rows of the open database; (re)opened where it is closed, gone or was replaced."""
        if not self._file.intact():
            self._rows = None
            with self._readers.apart():
                self._file.close_database()
                self._file.open()
        if self._rows is None:
            self._remember(adopt_all=self._file.new)
        assert self._rows is not None
        return self._rows

    def _remember(self, *, adopt_all: bool) -> None:
        """Begin with what the database holds."""
        db = self._file.db
        if self._epoch is not None:
            claim(db, self._epoch)
        self._rows = Rows(db, self._model, self.ledger)
        self._retention = Retention(db, self._rows, self._frames, self._limits, adopt_all=adopt_all)
        self._measure()
        if not self._left_ended:
            self._end_left(db, self._rows)

    def _end_left(self, db: sqlite3.Connection, rows: Rows) -> None:
        """End the alerts that a killed process left open, before anything new comes in."""
        now = self._clock()
        left = [Outgoing(self.ledger.number(now), change, now) for change in left_open(db)]
        if left:
            with Transaction(db):
                for item in left:
                    rows.write(item)
        self._left_ended = True
        self.ledger.committed(item.seq for item in left)

    def _write(self, batch: Batch, *, all_of_it: bool = True) -> None:
        alerts = [item.seq for _, item in batch.urgent if isinstance(item, Outgoing)]
        try:
            self._commit_urgent(batch)
            back = self._commit(batch)
        except (sqlite3.Error, OSError, LlamaVidError) as problem:
            self.waiting.settle(batch)
            self._failed(problem)
            self.ledger.to_tell.reach(max(alerts, default=0))
            return
        self.waiting.settle(back)
        if self._problem and not back and all_of_it:
            logger.info("the journal in %s is written again", self._file.folder)
            self._problem = ""

    def _commit_urgent(self, batch: Batch) -> None:
        """Write alerts in a transaction of their own that is synced (https://www.sqlite.org/pragma.html#pragma_synchronous)
        before anybody is told of them.
        """
        if not batch.urgent:
            return
        self._ready()
        db = self._file.db
        db.execute("PRAGMA synchronous = FULL")
        try:
            db.execute("BEGIN IMMEDIATE")
            self._hold()
            for _, row in batch.urgent:
                self._one(lambda rows, row=row: rows.write(row))  # type: ignore[misc]
            db.execute("COMMIT")
        finally:
            self._file.relax()
        self._written_at = self._clock()
        self.ledger.committed(row.seq for _, row in batch.urgent if isinstance(row, Outgoing))
        batch.urgent = []

    def _commit(self, batch: Batch) -> Batch:
        """Write a batch in one transaction. What comes back are pictures whose files could not be written."""
        self._ready()
        self._hold()
        saved, back = self._save(batch)
        while batch.rows or saved:
            db = self._file.db
            db.execute("BEGIN IMMEDIATE")
            self._hold()
            for item in saved:
                self._one(lambda rows, item=item: rows.picture(item))  # type: ignore[misc]
            written = 0
            for _, row in batch.rows:
                if isinstance(row, Forget):
                    break
                self._one(lambda rows, row=row: rows.write(row))  # type: ignore[misc]
                written += 1
            db.execute("COMMIT")
            self._written_at = self._clock()
            # What is written must not be written again if what follows fails.
            batch.rows, batch.pictures, saved = batch.rows[written:], back.pictures, []
            if batch.rows and isinstance(forgetting := batch.rows[0][1], Forget):
                self._forget(forgetting)
                batch.rows = batch.rows[1:]
            self._measure()
        return back

    def _hold(self) -> None:
        """Write only what is ours. Raises FencedError, which is told in `state`, where another owner has come."""
        if self._epoch is not None:
            hold(self._file.db, self._epoch)

    def _forget(self, item: Forget) -> None:
        """Forget a span; files first, so that a process that dies meanwhile leaves none that nobody knows of."""
        if not item.done.running() and not item.done.set_running_or_notify_cancel():
            return
        files = self._frames.remove(item.camera, item.start, item.end)
        found = forget(self._file.db, item.camera, item.start, item.end)
        self._remember(adopt_all=False)
        try:
            scrubbed = scrub(self._file.db, self._readers.apart)
        except sqlite3.Error as problem:
            logger.warning("the journal in %s: %s", self._file.folder, problem)
            scrubbed = False
        if not scrubbed:
            logger.warning(
                "the journal in %s: the write-ahead log still holds what was forgotten, until nobody reads it any more",
                self._file.folder,
            )
        item.done.set_result(replace(found, pictures=max(files, found.pictures), scrubbed=scrubbed))

    def _save(self, batch: Batch) -> tuple[list[Picture], Batch]:
        """Write the pictures' files: which are written, and what must wait since the disk fails."""
        saved, back = [], Batch()
        for at, (_, item) in enumerate(batch.pictures):
            try:
                self._frames.write(item.camera, item.seconds, item.jpeg)
            except (ValueError, OverflowError, TypeError):  # a time beyond the calendar
                logger.exception("the journal in %s cannot keep a picture of %s", self._file.folder, item.camera)
                self.waiting.drop()
                continue
            except OSError as problem:
                back.pictures = batch.pictures[at:]
                self._problem_is(advice(self._file.folder, problem))
                break
            saved.append(item)
        return saved, back

    def _one(self, write: Callable[[Rows], None]) -> None:
        """One write; one that is refused for what it is (not for the disk) is left out and counted."""
        db = self._file.db
        db.execute("SAVEPOINT one")
        try:
            write(self._ready_rows())
        except _REFUSED:
            logger.exception("the journal in %s cannot take a row", self._file.folder)
            self.waiting.drop()
            db.execute("ROLLBACK TO one")
            self._remember(adopt_all=False)  # the rows remembered what is not there now
        db.execute("RELEASE one")

    def _ready_rows(self) -> Rows:
        assert self._rows is not None
        return self._rows

    def _chores(self) -> bool:
        """A few steps of keeping the journal small; whether there is more to do."""
        until = time.monotonic() + CHORE_SHARE
        more = True
        try:
            self._ready()
            self._hold()
            assert self._retention is not None
            while more and time.monotonic() < until:
                more = self._retention.step(self._clock())
            self._measure()
        except (sqlite3.Error, OSError, LlamaVidError) as problem:
            self._failed(problem)
            return False
        return more

    def _look(self) -> None:
        """A reader met something wrong: a damaged database is moved aside, one that is gone is begun anew."""
        problem, self._suspect = self._suspect, None
        try:
            self._ready()
            if problem is not None and (is_damage(problem) or not isinstance(problem, sqlite3.Error)):
                self._file.check()
        except (sqlite3.Error, OSError, LlamaVidError) as found:
            self._failed(found)

    def _failed(self, problem: Exception) -> None:
        """Something could not be done: what waits goes on waiting, a damaged file gives way to a new one."""
        self._rows = self._retention = None  # what they remember may have been rolled back
        self._file.rollback()
        if isinstance(problem, FencedError):
            self._problem_is(str(problem))
            return
        if is_damage(problem):
            try:
                with self._readers.apart():
                    self._file.move_aside()
                    logger.error("%s", self._file.notice)
                    self._ready()
                self.waiting.wake()  # what waits can be written now
                return
            except (sqlite3.Error, OSError, LlamaVidError) as again:
                problem = again
        code = getattr(problem, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
        if code not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
            self._file.close_database()  # begin anew
        self._problem_is(str(problem) if isinstance(problem, LlamaVidError) else advice(self._file.folder, problem))

    def _problem_is(self, problem: str) -> None:
        if problem != self._problem:
            logger.warning("%s", problem)
        self._problem = problem

    def _measure(self) -> None:
        rows = self._ready_rows()
        self._count = rows.entries.count
        self._size = used_bytes(self._file.db) + rows.picture_bytes
