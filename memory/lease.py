"""Whose a camera's journal is: a number that grows with every owner, kept in the journal itself.

In a cluster one worker owns a camera and writes its journal. A worker that was taken for dead may still run: cut off
from the others, or stopped for a minute. Whoever takes a camera over writes a higher number (an epoch, or fencing
token: Kleppmann, Designing Data-Intensive Applications, chapter 8) into the journal first, and every transaction of an
owner looks whether its own number still stands. The lock of the folder (`journal_file.py`) keeps two processes of one
machine apart; the number does so where a lock can be lost, on storage that machines share.
"""

from __future__ import annotations

import sqlite3

from llama_vid.errors import LlamaVidError


class FencedError(LlamaVidError):
    """Somebody else owns this journal now, with the number `epoch`."""

    def __init__(self, message: str, epoch: int) -> None:
        super().__init__(message, epoch)  # both, so that it can be pickled
        self.epoch = epoch

    def __str__(self) -> str:
        return str(self.args[0])


def claim(db: sqlite3.Connection, epoch: int) -> None:
    """Own the journal under this number from now on. Raises FencedError if a higher one stands there."""
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute("CREATE TABLE IF NOT EXISTS lease (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL)")
        db.execute("INSERT INTO lease VALUES (1, ?) ON CONFLICT (one) DO NOTHING", (epoch,))
        hold(db, epoch)
        db.execute("UPDATE lease SET epoch = ?", (epoch,))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def hold(db: sqlite3.Connection, epoch: int) -> None:
    """Look whether the number still stands; inside a transaction it then does until its end. Raises FencedError."""
    (found,) = db.execute("SELECT epoch FROM lease").fetchone()
    if found > epoch:
        raise FencedError(
            f"this camera's journal was taken over by another worker (number {found}, ours is {epoch}); "
            "nothing more is written here",
            found,
        )
