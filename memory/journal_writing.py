"""How what happened becomes rows: one function of SQL for each kind of thing, all inside the writer's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Any, Final

from torch import Tensor

from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.frames import to_ms
from llama_vid.memory.records import Append, Consolidate, Extend, Note, Picture, Row, Tell
from llama_vid.memory.vectors import StoredVectors, packed

#: Records of this kind are deleted last.
ALERT: Final = "alert"

_LAST_BEFORE = """
    UPDATE entries SET end = :start WHERE end > :start AND id = (
        SELECT id FROM entries WHERE camera = :camera AND {} AND start < :start ORDER BY start DESC LIMIT 1)
"""
_SHORTEN: Final = (_LAST_BEFORE.format("merged = 0"), _LAST_BEFORE.format("banked"))


class Rows:
    """Writes on one connection. Belongs to the writer thread, which calls it between BEGIN and COMMIT.

    `count` (memory entries) and `picture_bytes` are what the database holds. After a rollback make a new one.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._cameras: dict[str, int] = {}
        self._stored: dict[int, StoredVectors] = {}
        self._embedded: dict[int, tuple[int, Tensor]] = {}  # per camera: its last entry's row, and its embedding
        self.count = int(self._one("SELECT count(*) FROM entries"))
        self.picture_bytes = int(self._one("SELECT total(bytes) FROM pictures"))

    def write(self, row: Row) -> None:
        """Write one thing. Raises sqlite3.Error."""
        camera = self.camera(row.camera)
        match row:
            case Append():
                self._append(camera, row.entry, row.at)
            case Extend():
                self._extend(camera, row.entry, row.at)
            case Consolidate():
                self._consolidate(camera, row)
            case Tell():
                self._tell(camera, row)
            case Note():
                self._note(camera, row)

    def picture(self, item: Picture) -> None:
        """Index a picture whose file is there. Raises sqlite3.Error."""
        self.index(item.camera, item.seconds, len(item.jpeg), item.at)

    def index(self, name: str, seconds: float, size: int, written: float) -> None:
        """Index a picture file, in place of one of the same millisecond. Raises sqlite3.Error."""
        key = (self.camera(name), to_ms(seconds))
        old = self._db.execute("SELECT bytes FROM pictures WHERE camera = ? AND seconds = ?", key).fetchone()
        self._db.execute(
            "INSERT INTO pictures (camera, seconds, bytes, written) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (camera, seconds) DO UPDATE SET bytes = excluded.bytes, written = excluded.written",
            (*key, size, written),
        )
        self.picture_bytes += size - (old[0] if old else 0)

    def camera(self, name: str) -> int:
        """The row of a camera, made if it is new."""
        found = self._cameras.get(name)
        if found is None:
            self._db.execute("INSERT OR IGNORE INTO cameras (name) VALUES (?)", (name,))
            found = self._cameras[name] = int(self._one("SELECT id FROM cameras WHERE name = ?", name))
        return found

    def forget(self, entries: Collection[int], vectors: Collection[int]) -> None:
        """These rows were deleted."""
        gone, rows = set(entries), set(vectors)
        for camera in [camera for camera, (row, _) in self._embedded.items() if row in gone]:
            del self._embedded[camera]
        for stored in self._stored.values():
            stored.forget(rows)

    def _one(self, sql: str, *values: object) -> Any:
        row = self._db.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def _append(self, camera: int, entry: MemoryEntry, at: float) -> None:
        last = self._one("SELECT max(start) FROM entries WHERE camera = ? AND merged = 0", camera)
        banked = self._one("SELECT max(start) FROM entries WHERE camera = ? AND banked", camera)
        if any(start is not None and start >= entry.start for start in (last, banked)):
            self._go_back(camera, entry.start)
        for shorten in _SHORTEN:  # a frame lasts until the next one
            self._db.execute(shorten, {"camera": camera, "start": entry.start})
        row = self._insert(camera, entry, at, merged=False)
        self._embedded[camera] = (row, entry.embedding)

    def _go_back(self, camera: int, start: float) -> None:
        """A recording is watched anew, or a clock was set back: the bank forgets what is from then on."""
        where = "camera = ? AND start >= ?"
        self._delete_entries(f"SELECT id FROM entries WHERE {where} AND banked AND merged", camera, start)
        self._db.execute(f"UPDATE entries SET banked = 0 WHERE {where} AND banked", (camera, start))
        self._delete_entries("SELECT id FROM entries WHERE camera = ? AND merged = 0 AND start = ?", camera, start)
        # A merged entry that reaches beyond the start is shortened like any other by what is appended.

    def _extend(self, camera: int, entry: MemoryEntry, at: float) -> None:
        found = self._db.execute(
            "SELECT id, merged, frames FROM entries WHERE camera = ? AND banked AND start = ?", (camera, entry.start)
        ).fetchone()
        if found is None:  # it was lost, or is older than what is kept
            self._append(camera, entry, at)
            return
        row, merged, frames = found
        self._db.execute(
            "UPDATE entries SET end = ?, frames = ?, energy = ?, scene = ?, pinned = ?, context = ?, motion = ?, "
            "pair_energy = ?, held = ?, cut = ?, written = ? WHERE id = ?",
            (
                entry.end,
                entry.frames,
                entry.energy,
                entry.scene,
                entry.pinned,
                self._vector(camera, entry.pair.context),
                self._vector(camera, entry.pair.motion),
                entry.pair.energy,
                entry.pair.held,
                entry.pair.cut,
                at,
                row,
            ),
        )
        if merged:  # a tiny bank merged even its last entry: the detailed one beside it grows too
            self._db.execute(
                "UPDATE entries SET end = ?, frames = frames + ?, written = ? WHERE id = ("
                "SELECT id FROM entries WHERE camera = ? AND merged = 0 AND start >= ? ORDER BY start DESC LIMIT 1)",
                (entry.end, entry.frames - frames, at, camera, entry.start),
            )
        known = self._embedded.get(camera)
        if known is None or known[0] != row or known[1] is not entry.embedding:
            self._db.execute("UPDATE embeddings SET data = ? WHERE entry = ?", (packed(entry.embedding), row))
            self._embedded[camera] = (row, entry.embedding)

    def _consolidate(self, camera: int, row: Consolidate) -> None:
        tokens: dict[float, tuple[int, int]] = {}
        ages: dict[float, float] = {}
        for start in row.gone:
            found = self._db.execute(
                "SELECT context, motion, written FROM entries WHERE camera = ? AND banked AND start = ?",
                (camera, start),
            ).fetchone()
            if found is not None:
                tokens[start], ages[start] = (found[0], found[1]), found[2]
        stored: dict[int, int] = {}  # this consolidation's own tensors
        come = []
        for merged in row.come:
            entry, pair = merged.entry, merged.entry.pair
            ids = []
            for vector, of, which in ((pair.context, merged.context_of, 0), (pair.motion, merged.motion_of, 1)):
                known = tokens.get(of) if of is not None else None
                place = known[which] if known else stored.get(id(vector)) or self._vector(camera, vector)
                stored[id(vector)] = place
                ids.append(place)
            age = max((at for start, at in ages.items() if entry.start <= start < entry.end), default=row.at)
            come.append((entry, ids, age))
        self._db.executemany(
            "UPDATE entries SET banked = 0 WHERE camera = ? AND banked AND start = ?",
            [(camera, start) for start in row.gone],
        )
        for entry, _, _ in come:  # also what an earlier consolidation that was lost had replaced
            self._db.execute(
                "UPDATE entries SET banked = 0 WHERE camera = ? AND banked AND start >= ? AND start < ?",
                (camera, entry.start, entry.end),
            )
        for entry, (context, motion), age in come:
            self._insert(camera, entry, age, merged=True, tokens=(context, motion))
        self._delete_entries("SELECT id FROM entries WHERE camera = ? AND merged = 1 AND banked = 0", camera)

    def _tell(self, camera: int, row: Tell) -> None:
        span = row.span
        self._db.execute(
            "INSERT INTO told (camera, start, end, caption, motion, written) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (camera, start) DO UPDATE SET end = excluded.end, caption = excluded.caption, "
            "motion = excluded.motion, written = excluded.written",
            (camera, span.start, span.end, span.caption, span.motion, row.at),
        )

    def _note(self, camera: int, row: Note) -> None:
        record = row.record
        self._db.execute(
            "INSERT INTO records (camera, kind, start, end, text, data, pinned, written) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (camera, record.kind, record.start, record.end, record.text, row.data, record.kind == ALERT, row.at),
        )

    def _insert(
        self, camera: int, entry: MemoryEntry, at: float, *, merged: bool, tokens: tuple[int, int] | None = None
    ) -> int:
        pair = entry.pair
        context, motion = tokens or (self._vector(camera, pair.context), self._vector(camera, pair.motion))
        row = self._db.execute(
            "INSERT INTO entries (camera, start, end, frames, energy, scene, pinned, context, motion, pair_energy, "
            "held, cut, merged, banked, written) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)",
            (
                camera,
                entry.start,
                entry.end,
                entry.frames,
                entry.energy,
                entry.scene,
                entry.pinned,
                context,
                motion,
                pair.energy,
                pair.held,
                pair.cut,
                merged,
                at,
            ),
        ).lastrowid
        assert row is not None
        self._db.execute("INSERT INTO embeddings (entry, data) VALUES (?, ?)", (row, packed(entry.embedding)))
        self.count += 1
        return row

    def _vector(self, camera: int, vector: Tensor) -> int:
        stored = self._stored.setdefault(camera, StoredVectors())
        row = stored.find(vector)
        if row is None:
            row = self._db.execute("INSERT INTO vectors (data) VALUES (?)", (packed(vector),)).lastrowid
            assert row is not None
            stored.add(vector, row)
        return row

    def delete_pictures(self, rows: list[int]) -> None:
        """Take pictures out of the index. Raises sqlite3.Error."""
        for row in rows:
            self.picture_bytes -= self._one("SELECT bytes FROM pictures WHERE id = ?", row)
        self._db.executemany("DELETE FROM pictures WHERE id = ?", [(row,) for row in rows])

    def _delete_entries(self, select: str, *values: object) -> None:
        self.delete_entries([row for (row,) in self._db.execute(select, values)])

    def delete_entries(self, rows: list[int]) -> None:
        """Delete entries and the tokens that no other entry shares. Raises sqlite3.Error."""
        vectors: set[int] = set()
        for row in rows:
            vectors.update(*self._db.execute("SELECT context, motion FROM entries WHERE id = ?", (row,)))
        self._db.executemany("DELETE FROM entries WHERE id = ?", [(row,) for row in rows])
        unused = [
            vector
            for vector in vectors
            if not self._one(
                "SELECT EXISTS (SELECT 1 FROM entries WHERE context = ?) "
                "OR EXISTS (SELECT 1 FROM entries WHERE motion = ?)",
                vector,
                vector,
            )
        ]
        self._db.executemany("DELETE FROM vectors WHERE id = ?", [(vector,) for vector in unused])
        self.count -= len(rows)
        self.forget(rows, unused)
