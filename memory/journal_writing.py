"""How what happened becomes rows: one function of SQL for each kind of thing, all inside the writer's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from llama_vid.memory.alert_rows import AlertRows
from llama_vid.memory.forgetting import Forget
from llama_vid.memory.frames import to_ms
from llama_vid.memory.journal_entries import EntryRows
from llama_vid.memory.outbox import Channels, Delivered, Ledger, Outgoing
from llama_vid.memory.records import Append, Consolidate, Extend, Note, Picture, Row, Tell, Urgent

#: Records of this kind are deleted last.
ALERT: Final = "alert"


class Rows:
    """Writes on one connection. Belongs to the writer thread, which calls it between BEGIN and COMMIT.

    It remembers rows that it wrote: after a rollback make a new one. `picture_bytes` is what the index adds up to.
    Every method raises sqlite3.Error.
    """

    def __init__(self, connection: sqlite3.Connection, model: str | None, ledger: Ledger | None = None) -> None:
        self._db = connection
        self._cameras: dict[str, int] = {}
        row = None
        if model is not None:
            connection.execute("INSERT OR IGNORE INTO models (name) VALUES (?)", (model,))
            row = int(self._one("SELECT id FROM models WHERE name = ?", model))
        self.entries = EntryRows(connection, row)
        self.alerts = AlertRows(connection, Ledger() if ledger is None else ledger)
        self.picture_bytes = int(self._one("SELECT total(bytes) FROM pictures"))

    def write(self, row: Row | Urgent) -> None:
        """Write one thing."""
        match row:
            case Outgoing():
                self.alerts.record(self.camera(row.change.event.camera), row)
                return
            case Channels():
                self.alerts.channels(row)
                return
            case Delivered():
                self.alerts.delivered(row)
                return
            case Forget():
                raise TypeError("the writer forgets, between transactions")
        camera = self.camera(row.camera)
        match row:
            case Append():
                self.entries.append(camera, row.entry, row.at)
            case Extend():
                self.entries.extend(camera, row.entry, row.at)
            case Consolidate():
                self.entries.consolidate(camera, row)
            case Tell():
                self._tell(camera, row)
            case Note():
                self._note(camera, row)

    def picture(self, item: Picture) -> None:
        """Index a picture whose file is there."""
        self.index(item.camera, item.seconds, len(item.jpeg), item.at)

    def index(self, name: str, seconds: float, size: int, written: float) -> None:
        """Index a picture file, in place of one of the same millisecond."""
        key = (self.camera(name), to_ms(seconds))
        old = self._db.execute("SELECT bytes FROM pictures WHERE camera = ? AND seconds = ?", key).fetchone()
        self._db.execute(
            "INSERT INTO pictures (camera, seconds, bytes, written) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (camera, seconds) DO UPDATE SET bytes = excluded.bytes, written = excluded.written",
            (*key, size, written),
        )
        self.picture_bytes += size - (old[0] if old else 0)

    def delete_pictures(self, rows: Sequence[int]) -> None:
        """Take pictures out of the index."""
        for row in rows:
            self.picture_bytes -= self._one("SELECT bytes FROM pictures WHERE id = ?", row)
        self._db.executemany("DELETE FROM pictures WHERE id = ?", [(row,) for row in rows])

    def camera(self, name: str) -> int:
        """The row of a camera, made if it is new."""
        found = self._cameras.get(name)
        if found is None:
            self._db.execute("INSERT OR IGNORE INTO cameras (name) VALUES (?)", (name,))
            found = self._cameras[name] = int(self._one("SELECT id FROM cameras WHERE name = ?", name))
            self.entries.begin(found)
        return found

    def _tell(self, camera: int, row: Tell) -> None:
        span = row.span
        self._db.execute(
            "INSERT INTO told (camera, start, end, caption, motion, written) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (camera, start) DO UPDATE SET end = excluded.end, caption = excluded.caption, "
            "motion = excluded.motion, written = excluded.written",
            (camera, float(span.start), float(span.end), span.caption, float(span.motion), row.at),
        )

    def _note(self, camera: int, row: Note) -> None:
        record = row.record
        self._db.execute(
            "INSERT INTO records (camera, kind, start, end, text, data, pinned, written) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(camera, record.kind, float(record.start), float(record.end), record.text, row.data),
                *(record.kind == ALERT, row.at),
            ),
        )

    def _one(self, sql: str, *values: object) -> Any:
        return self._db.execute(sql, values).fetchone()[0]
