"""Reading the journal: connections of its own, short queries, tensors built in bulk."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.records import Record, ToldSpan
from llama_vid.memory.schema import open_for_reading
from llama_vid.memory.vectors import stacked, unpacked
from llama_vid.tokenizer.pair import TokenPair

#: Connections kept open between reads: as many as threads usually read at once; each has a cache of up to 2 MB.
IDLE_CONNECTIONS: Final = 8
#: How long the writer waits for reads under way before it moves the database; they are short.
APART_SECONDS: Final = 2.0

_ENTRY: Final = """
    SELECT e.start, e.end, e.context, e.motion, e.pair_energy, e.held, e.cut, e.frames, e.energy, e.scene, e.pinned,
           m.data
    FROM entries AS e JOIN embeddings AS m ON m.entry = e.id
"""
_CAMERA: Final = "(SELECT id FROM cameras WHERE name = :name)"
_MODEL: Final = "(:model IS NULL OR e.model IS NULL OR e.model = (SELECT id FROM models WHERE name = :model))"


class Connections:
    """Reading connections: each is used by one thread at a time, and none waits for the writer (WAL)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = threading.Condition()
        self._idle: list[sqlite3.Connection] = []
        self._age = 0
        self._used = 0
        self._shut = 0

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """A connection in one read transaction: its queries see one moment. Raises sqlite3.Error."""
        with self._changed:
            self._changed.wait_for(lambda: not self._shut, APART_SECONDS)
            connection, age = self._idle.pop() if self._idle else None, self._age
            self._used += 1
        try:
            if connection is None:
                connection = open_for_reading(self._path)
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")
            with self._changed:
                if age == self._age and len(self._idle) < IDLE_CONNECTIONS:
                    self._idle.append(connection)
                    connection = None
        finally:
            if connection is not None:
                connection.close()
            with self._changed:
                self._used -= 1
                self._changed.notify_all()

    def renew(self) -> None:
        """The database was closed or replaced: open it anew from now on."""
        with self._changed:
            self._age += 1
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Nobody reads while the database is moved or replaced; entered by the writer alone, again if need be.

        SQLite finds the write-ahead log by the database's name: a connection that is still open when another database
        takes that name writes the new one's log into the old file as it closes, and cuts it short.
        """
        with self._changed:
            self._shut += 1
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._used, APART_SECONDS)
            self.renew()
            yield
        finally:
            self.renew()  # whoever would not wait
            with self._changed:
                self._shut -= 1
                self._changed.notify_all()


def cameras(db: sqlite3.Connection) -> list[str]:
    """The names of the cameras of which anything is kept."""
    kept = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} AS t WHERE t.camera = c.id)"
        for table in ("entries", "told", "records", "pictures", "events")
    )
    return [name for (name,) in db.execute(f"SELECT name FROM cameras AS c WHERE {kept} ORDER BY name")]


def bank(db: sqlite3.Connection, name: str, model: str | None) -> list[MemoryEntry]:
    """The entries of the bank as it was written last, in time order. `model` None: of whichever model."""
    query = f"{_ENTRY} WHERE e.camera = {_CAMERA} AND e.banked AND {_MODEL} ORDER BY e.start"
    return _entries(db, query, {"name": name, "model": model})


def entries(
    db: sqlite3.Connection, name: str, model: str | None, start: float, end: float, limit: int
) -> list[MemoryEntry]:
    """The first `limit` detailed entries that share time with [start, end), in time order."""
    # At most one begins before the start and reaches over it: the last of those.
    query = f"""{_ENTRY} WHERE e.camera = {_CAMERA} AND e.merged = 0 AND {_MODEL} AND e.start < :end AND e.end > :start
        AND e.start >= coalesce((SELECT max(start) FROM entries WHERE camera = {_CAMERA} AND merged = 0
                                 AND start <= :start), -1e999)
        ORDER BY e.start LIMIT :limit"""
    found = _entries(db, query, {"name": name, "model": model, "start": start, "end": end, "limit": limit})
    # A recording that was watched anew may leave an older entry that reaches into a newer one.
    return [
        entry if following is None or entry.end <= following.start else replace(entry, end=following.start)
        for entry, following in zip_longest(found, found[1:])
    ]


def embeddings(
    db: sqlite3.Connection, name: str, model: str | None, after: float, before: float, count: int
) -> tuple[list[float], list[float], Tensor] | None:
    """Starts, ends and embeddings (n, E) of the first n ≤ `count` detailed entries that start in (after, before).

    n is smaller where the embeddings' width changes. None if there are none.
    """
    rows = db.execute(
        "SELECT e.start, e.end, m.data FROM entries AS e JOIN embeddings AS m ON m.entry = e.id "
        f"WHERE e.camera = {_CAMERA} AND e.merged = 0 AND e.start > :after AND e.start < :before AND {_MODEL} "
        "ORDER BY e.start LIMIT :count",
        {"name": name, "model": model, "after": after, "before": before, "count": count},
    ).fetchall()
    if not rows:
        return None
    width = len(rows[0][2])
    like = next((index for index, row in enumerate(rows) if len(row[2]) != width), len(rows))
    starts, ends, blobs = zip(*rows[:like], strict=True)
    return list(starts), list(ends), stacked(blobs)


def told(db: sqlite3.Connection, name: str, start: float, end: float, limit: int | None) -> list[ToldSpan]:
    """The newest `limit` captioned scenes that share time with [start, end], in time order."""
    # At most one begins before the start and reaches over it: the last of those.
    rows = db.execute(
        f"""SELECT start, end, caption, motion FROM told WHERE camera = {_CAMERA} AND start <= :end AND end >= :start
        AND start >= coalesce((SELECT max(start) FROM told WHERE camera = {_CAMERA} AND start < :start), -1e999)
        ORDER BY start DESC LIMIT :limit""",
        {"name": name, "start": start, "end": end, "limit": -1 if limit is None else limit},
    ).fetchall()
    return [ToldSpan(*row) for row in reversed(rows)]


def records(db: sqlite3.Connection, name: str, kind: str, start: float, end: float) -> list[Record]:
    """The records of a kind that share time with [start, end], in time order."""
    rows = db.execute(
        f"SELECT kind, start, end, text, data FROM records WHERE camera = {_CAMERA} AND kind = :kind "
        "AND start <= :end AND end >= :start ORDER BY start, id",
        {"name": name, "kind": kind, "start": start, "end": end},
    )
    return [Record(kind, first, last, text, json.loads(data)) for kind, first, last, text, data in rows]


def said(
    db: sqlite3.Connection, name: str, kind: str, start: float, end: float, limit: int
) -> list[tuple[float, float, str]]:
    """(start, end, text) of the newest `limit` records of a kind that share time with [start, end], in time order."""
    rows: list[tuple[float, float, str]] = db.execute(
        f"SELECT start, end, text FROM records WHERE camera = {_CAMERA} AND kind = :kind "
        "AND start <= :end AND end >= :start ORDER BY start DESC, id DESC LIMIT :limit",
        {"name": name, "kind": kind, "start": start, "end": end, "limit": limit},
    ).fetchall()
    return rows[::-1]


def pictures(db: sqlite3.Connection, name: str, seconds: float | None, count: int = 8) -> list[tuple[float, int]]:
    """(seconds, bytes) of the kept pictures around a time, nearest first; None: the newest ones, newest first."""
    query = f"SELECT seconds, bytes FROM pictures WHERE camera = {_CAMERA} AND seconds {{}} LIMIT :count"
    values = {"name": name, "seconds": float("inf") if seconds is None else seconds, "count": count}
    rows: list[tuple[float, int]] = db.execute(query.format("<= :seconds ORDER BY seconds DESC"), values).fetchall()
    if seconds is not None:
        rows += db.execute(query.format("> :seconds ORDER BY seconds"), values).fetchall()
        rows.sort(key=lambda row: abs(row[0] - seconds))
    return rows


def pictures_between(
    db: sqlite3.Connection, name: str, start: float, end: float, limit: int
) -> list[tuple[float, int]]:
    """(seconds, bytes) of the first `limit` kept pictures of [start, end), in time order."""
    rows: list[tuple[float, int]] = db.execute(
        f"SELECT seconds, bytes FROM pictures WHERE camera = {_CAMERA} AND seconds >= :start AND seconds < :end "
        "ORDER BY seconds LIMIT :limit",
        {"name": name, "start": start, "end": end, "limit": limit},
    ).fetchall()
    return rows


def bounds(db: sqlite3.Connection, name: str) -> tuple[float, float] | None:
    """First start and last end of anything that is kept of a camera."""
    times: list[float] = []
    for table, start, end, where in (
        ("entries", "start", "end", "AND merged = 0"),
        ("entries", "start", "end", "AND merged = 1"),
        ("told", "start", "end", ""),
        ("pictures", "seconds", "seconds", ""),
    ):
        for column, order in ((start, "ASC"), (end, "DESC")):  # what starts last ends last: the index answers
            query = f"SELECT {column} FROM {table} WHERE camera = {_CAMERA} {where} ORDER BY {start} {order} LIMIT 1"
            times += [time for (time,) in db.execute(query, {"name": name})]
    for table in ("records", "events"):  # they may overlap
        query = f"SELECT min(start), max(end) FROM {table} WHERE camera = {_CAMERA}"
        times += [time for time in db.execute(query, {"name": name}).fetchone() if time is not None]
    return (min(times), max(times)) if times else None


def _entries(db: sqlite3.Connection, query: str, values: dict[str, Any]) -> list[MemoryEntry]:
    rows = db.execute(query, values).fetchall()
    tokens = _tokens(db, sorted({row[2] for row in rows} | {row[3] for row in rows}))
    vectors = unpacked([row[11] for row in rows])
    return [
        MemoryEntry(
            start=start,
            end=end,
            pair=TokenPair(tokens[context], tokens[motion], pair_energy, bool(held), bool(cut)),
            embedding=embedding,
            frames=frames,
            energy=energy,
            scene=scene,
            pinned=bool(pinned),
        )
        for (start, end, context, motion, pair_energy, held, cut, frames, energy, scene, pinned, _), embedding in zip(
            rows, vectors, strict=True
        )
    ]


def _tokens(db: sqlite3.Connection, ids: list[int]) -> dict[int, Tensor]:
    """The vectors of these rows, each as one tensor."""
    blobs: list[bytes] = []
    for at in range(0, len(ids), 500):
        some = ids[at : at + 500]
        marks = ", ".join("?" * len(some))
        blobs += [data for (data,) in db.execute(f"SELECT data FROM vectors WHERE id IN ({marks}) ORDER BY id", some)]
    return dict(zip(ids, unpacked(blobs), strict=True))
