"""Alerts as rows: events as they are known now, and the outbox of their changes as they were then."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from typing import Any, Final

from llama_vid.memory.alerts import AlertChange, AlertEvent
from llama_vid.memory.outbox import Channels, Delivered, Ledger, Outgoing, packed, unpacked

_EVENT: Final = "e.event, c.name, e.rule, e.text, e.start, e.end, e.score, e.verified, e.frames, e.before"
_FROM: Final = "FROM events AS e JOIN cameras AS c ON c.id = e.camera"
_CAMERA: Final = "(SELECT id FROM cameras WHERE name = :camera)"


class AlertRows:
    """Writes alerts on the writer's connection, inside its transaction. Every method raises sqlite3.Error."""

    def __init__(self, db: sqlite3.Connection, ledger: Ledger) -> None:
        self._db, self._ledger = db, ledger
        found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        ledger.passed(0 if found is None else int(found[0]))
        if ledger.channels is not None:  # the database may have been begun anew
            self.channels(ledger.channels)

    def record(self, camera: int, item: Outgoing) -> None:
        """What is known of the event, and the change for the channels, if there are any."""
        change, event = item.change, item.change.event
        self._db.execute(
            "INSERT INTO events (event, camera, rule, text, start, end, score, verified, frames, before, seen, written)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event) DO UPDATE SET text = excluded.text, "
            "start = excluded.start, end = coalesce(excluded.end, end), score = excluded.score, "
            "verified = excluded.verified, frames = excluded.frames, before = excluded.before, "
            "seen = max(seen, excluded.seen), written = excluded.written",
            (
                *(event.id, camera, event.rule, event.text, float(event.start), event.end, float(event.score)),
                None if event.verified is None else int(event.verified),
                *(json.dumps(event.frames, allow_nan=False), event.before, float(change.at), item.written),
            ),
        )
        self._db.execute(
            "INSERT OR IGNORE INTO outbox (id, camera, change, written) "
            "SELECT ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM channels)",
            (item.seq, camera, packed(change), item.written),
        )

    def channels(self, channels: Channels) -> None:
        """These are the ways out from now on; what waits for none of them is forgotten."""
        marks = ", ".join("?" * len(channels.names))
        self._db.execute(f"DELETE FROM channels WHERE name NOT IN ({marks})", channels.names)
        self._db.executemany(
            "INSERT OR IGNORE INTO channels (name, delivered) VALUES (?, ?)",
            [(name, max(channels.start, self._ledger.done(name))) for name in channels.names],
        )
        self._trim()

    def delivered(self, row: Delivered) -> None:
        """A channel is this far."""
        self._db.execute("UPDATE channels SET delivered = max(delivered, ?) WHERE name = ?", (row.seq, row.channel))
        self._trim()

    def _trim(self) -> None:
        self._db.execute(
            "DELETE FROM outbox WHERE id <= coalesce((SELECT min(delivered) FROM channels), 9223372036854775807)"
        )


def left_open(db: sqlite3.Connection) -> list[AlertChange]:
    """How the events end that a killed process left open: at the last second that is known of their camera.

    That is the end of the camera's last remembered frame, if it is later than what was recorded last of the event.
    """
    rows = db.execute(
        f"SELECT {_EVENT}, max(e.start, e.seen, coalesce((SELECT max(m.end) FROM entries AS m WHERE m.start = ("
        "SELECT max(start) FROM entries WHERE camera = e.camera AND merged = 0) AND m.camera = e.camera "
        f"AND m.merged = 0), e.seen)) {_FROM} WHERE e.end IS NULL ORDER BY e.start, e.id"
    ).fetchall()
    return [AlertChange("end", replace(_event(row[:-1]), end=row[-1]), row[-1]) for row in rows]


def events(db: sqlite3.Connection, camera: str, start: float, end: float, limit: int) -> list[AlertEvent]:
    """The newest `limit` events of a camera that share time with [start, end], in time order."""
    rows = db.execute(
        f"SELECT {_EVENT} {_FROM} WHERE e.camera = {_CAMERA} AND e.start <= :end "
        "AND coalesce(e.end, 1e999) >= :start ORDER BY e.start DESC, e.id DESC LIMIT :limit",
        {"camera": camera, "start": start, "end": end, "limit": limit},
    ).fetchall()
    return [_event(row) for row in reversed(rows)]


def open_events(db: sqlite3.Connection, camera: str) -> list[AlertEvent]:
    """The events of a camera that go on, in time order."""
    rows = db.execute(
        f"SELECT {_EVENT} {_FROM} WHERE e.camera = {_CAMERA} AND e.end IS NULL ORDER BY e.start, e.id",
        {"camera": camera},
    )
    return [_event(row) for row in rows]


def latest(db: sqlite3.Connection, camera: str) -> list[AlertEvent]:
    """The last event of each rule of a camera, by rule."""
    rows = db.execute(
        f"SELECT {_EVENT} {_FROM} WHERE e.camera = {_CAMERA} AND e.id = (SELECT l.id FROM events AS l "
        "WHERE l.camera = e.camera AND l.rule = e.rule ORDER BY l.start DESC, l.id DESC LIMIT 1) ORDER BY e.rule",
        {"camera": camera},
    )
    return [_event(row) for row in rows]


def undelivered(db: sqlite3.Connection, channel: str, start: int, done: int, limit: int) -> list[Outgoing]:
    """The next `limit` changes for a channel, which is `done` so far at least; a new one begins after `start`."""
    rows = db.execute(
        "SELECT id, change, written FROM outbox WHERE id > max(:done, coalesce("
        "(SELECT delivered FROM channels WHERE name = :channel), :start)) ORDER BY id LIMIT :limit",
        {"channel": channel, "start": start, "done": done, "limit": limit},
    )
    return [Outgoing(seq, unpacked(change), written) for seq, change, written in rows]


def _event(row: tuple[Any, ...]) -> AlertEvent:
    name, camera, rule, text, start, end, score, verified, frames, before = row
    known = None if verified is None else bool(verified)
    return AlertEvent(name, camera, rule, text, start, end, score, known, tuple(json.loads(frames)), before)
