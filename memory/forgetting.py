"""Forgetting a span of time: every trace of it, in the database, beside it, and in what deleted rows leave behind.

What goes is a little more rather than a little less than was asked for:

* an entry whose frame lies in the span goes with all the time that it stands for, since its tokens were made from that
  frame; one that began before keeps what lies outside: a still night is one row, and loses only the minutes asked for;
* a merged entry that touches the span goes, since its tokens are a mixture, and the detailed rows that are left of its
  time stand in the bank again;
* a told scene keeps its time outside of the span, and loses its sentence, which may speak of what is forgotten;
* transcript lines, alerts and pictures that touch the span go whole. An alert whose end is still to be announced is
  announced as over, without words and pictures: who was told of its beginning must not wait for ever.

SQLite leaves deleted content in its file (https://www.sqlite.org/pragma.html#pragma_secure_delete): here it is
overwritten with zeros, free pages are given back, and the write-ahead log is emptied. What the disk itself keeps of
overwritten blocks, and backups, are beyond us.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from llama_vid.memory.alerts import AlertChange
from llama_vid.memory.outbox import packed, unpacked

logger = logging.getLogger(__name__)

#: What stands where a scene's sentence was, which may have told of what is forgotten.
WITHOUT_WORDS: Final = "part of this scene was forgotten"
#: A rest of a told scene that is shorter is not worth a line, in seconds.
SHORTEST_REST: Final = 0.5
#: Records of these kinds are settings, not memories.
KEPT_KINDS: Final = ("pause",)
#: Attempts to empty the write-ahead log while somebody reads, and seconds between them.
ATTEMPTS, BETWEEN = 20, 0.1

Apart = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten: seconds of memory, and how many entries, told scenes, records, alerts and pictures.

    `scrubbed`: nothing of it is left in the database's files either.
    """

    seconds: float = 0.0
    entries: int = 0
    scenes: int = 0
    records: int = 0
    alerts: int = 0
    pictures: int = 0
    scrubbed: bool = True


@dataclass(slots=True, eq=False)
class Forget:
    """A span [start, end) of a camera to be forgotten; queued for the writer, which fulfils `done`."""

    camera: str
    start: float
    end: float
    at: float
    done: Future[Forgotten] = field(default_factory=Future)


def forget(db: sqlite3.Connection, camera: str, start: float, end: float) -> Forgotten:
    """Delete what the database has of [start, end) of a camera, in one transaction. Raises sqlite3.Error.

    Whoever remembers rows of it (`Rows`) must look again. The picture files are the caller's, before this.
    """
    where = {"camera": camera, "start": start, "end": end}
    db.execute("PRAGMA secure_delete = ON").fetchall()
    try:
        db.execute("BEGIN IMMEDIATE")
        seconds, entries = _entries(db, where)
        found = Forgotten(
            seconds, entries, _told(db, where), _records(db, where), _alerts(db, where), _pictures(db, where)
        )
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    finally:
        db.execute("PRAGMA secure_delete = FAST").fetchall()
    return found


def scrub(db: sqlite3.Connection, apart: Apart) -> bool:
    """Give back free pages, empty the write-ahead log; False if somebody reads all the while. Raises sqlite3.Error."""
    # As a script: `execute` would stop after one page, since this statement yields rows without columns.
    db.executescript("PRAGMA incremental_vacuum")
    for attempt in range(ATTEMPTS):
        with apart():
            busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return True
        if attempt + 1 < ATTEMPTS:
            time.sleep(BETWEEN)
    return False


_CAMERA: Final = "camera = (SELECT id FROM cameras WHERE name = :camera)"
_TOUCHES: Final = "start < :end AND (end > :start OR start >= :start)"
_ROW: Final = (
    "camera, end, energy, scene, pinned, context, motion, pair_energy, held, cut, merged, banked, written, model"
)


def _entries(db: sqlite3.Connection, where: dict[str, Any]) -> tuple[float, int]:
    """Seconds and rows of detail that are gone."""
    mixed = db.execute(
        f"SELECT id, start, end, model FROM entries WHERE {_CAMERA} AND merged = 1 AND {_TOUCHES}", where
    ).fetchall()
    seconds, count = db.execute(
        "SELECT total(CASE WHEN start >= :start THEN end - start ELSE min(end, :end) - :start END), count(*) "
        f"FROM entries WHERE {_CAMERA} AND merged = 0 AND {_TOUCHES}",
        where,
    ).fetchone()
    # What began before the span and goes on behind it stands for both sides; its one frame was seen before.
    for row, first, last, frames in db.execute(
        f"SELECT id, start, end, frames FROM entries WHERE {_CAMERA} AND merged = 0 "
        "AND start < :start AND end > :start",
        where,
    ).fetchall():
        before, after = where["start"] - first, last - where["end"]
        if after > 0:
            share = max(1, round(frames * after / (last - first)))
            copy = db.execute(
                f"INSERT INTO entries (start, frames, {_ROW}) SELECT ?, ?, {_ROW} FROM entries WHERE id = ?",
                (where["end"], share, row),
            ).lastrowid
            db.execute(
                "INSERT INTO embeddings (entry, data) SELECT ?, data FROM embeddings WHERE entry = ?", (copy, row)
            )
        share = max(1, round(frames * before / (last - first)))
        db.execute("UPDATE entries SET end = ?, frames = ? WHERE id = ?", (where["start"], share, row))
    db.execute("CREATE TEMP TABLE gone AS SELECT 0 AS id, 0 AS context, 0 AS motion WHERE 0")
    try:
        db.execute(
            f"INSERT INTO gone SELECT id, context, motion FROM entries WHERE {_CAMERA} AND merged = 0 "
            "AND start >= :start AND start < :end",
            where,
        )
        db.executemany(
            "INSERT INTO gone SELECT id, context, motion FROM entries WHERE id = ?", [(row[0],) for row in mixed]
        )
        db.execute("DELETE FROM entries WHERE id IN (SELECT id FROM gone)")
        db.execute(
            "DELETE FROM vectors WHERE id IN (SELECT context FROM gone UNION SELECT motion FROM gone) "
            "AND NOT EXISTS (SELECT 1 FROM entries AS e WHERE e.context = vectors.id) "
            "AND NOT EXISTS (SELECT 1 FROM entries AS e WHERE e.motion = vectors.id)"
        )
    finally:
        db.execute("DROP TABLE temp.gone")
    db.executemany(
        "UPDATE entries SET banked = 1 WHERE camera = (SELECT id FROM cameras WHERE name = ?) AND merged = 0 "
        "AND start >= ? AND start < ? AND model IS ?",
        [(where["camera"], first, last, model) for _, first, last, model in mixed],
    )
    # No scene goes on over the hole, so that none is told or merged across it.
    db.execute(f"UPDATE entries SET scene = scene + 1 WHERE {_CAMERA} AND start >= :end", where)
    return float(seconds), int(count)


def _told(db: sqlite3.Connection, where: dict[str, Any]) -> int:
    rows = db.execute(
        f"SELECT id, camera, start, end, motion, written FROM told WHERE {_CAMERA} AND {_TOUCHES}", where
    ).fetchall()
    db.executemany("DELETE FROM told WHERE id = ?", [(row[0],) for row in rows])
    for _, camera, first, last, motion, written in rows:
        for rest_start, rest_end in rests(first, last, where["start"], where["end"]):
            db.execute(
                "INSERT OR REPLACE INTO told (camera, start, end, caption, motion, written) VALUES (?, ?, ?, ?, ?, ?)",
                (camera, rest_start, rest_end, WITHOUT_WORDS, motion, written),
            )
    return len(rows)


def rests(first: float, last: float, start: float, end: float) -> list[tuple[float, float]]:
    """What is left of [first, last) without [start, end), but for scraps."""
    return [
        (left, right)
        for left, right in ((first, min(last, start)), (max(first, end), last))
        if right - left >= SHORTEST_REST
    ]


def _records(db: sqlite3.Connection, where: dict[str, Any]) -> int:
    marks = ", ".join(f"'{kind}'" for kind in KEPT_KINDS)
    return db.execute(f"DELETE FROM records WHERE {_CAMERA} AND kind NOT IN ({marks}) AND {_TOUCHES}", where).rowcount


def _alerts(db: sqlite3.Connection, where: dict[str, Any]) -> int:
    touching = f"{_CAMERA} AND start < :end AND (coalesce(end, 1e999) > :start OR start >= :start)"
    events = {event for (event,) in db.execute(f"SELECT event FROM events WHERE {touching}", where)}
    db.execute(f"DELETE FROM events WHERE {touching}", where)
    # The picture from just before an event may lie in the span although the event does not.
    db.execute(f"UPDATE events SET before = NULL WHERE {_CAMERA} AND before >= :start AND before < :end", where)
    for row, text in db.execute(f"SELECT id, change FROM outbox WHERE {_CAMERA}", where).fetchall():
        change = unpacked(text)
        if change.event.id not in events:
            continue
        if change.type == "end":
            db.execute("UPDATE outbox SET change = ? WHERE id = ?", (packed(_without_words(change)), row))
        else:
            db.execute("DELETE FROM outbox WHERE id = ?", (row,))
    return len(events)


def _without_words(change: AlertChange) -> AlertChange:
    return replace(change, event=replace(change.event, text="", score=0.0, frames=(), before=None))


def _pictures(db: sqlite3.Connection, where: dict[str, Any]) -> int:
    return db.execute(f"DELETE FROM pictures WHERE {_CAMERA} AND seconds >= :start AND seconds < :end", where).rowcount
