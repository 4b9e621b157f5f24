"""How the bank's entries become rows: appended, grown, consolidated, deleted, with each shared token stored once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from torch import Tensor

from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.records import Consolidate
from llama_vid.memory.vectors import StoredVectors, packed

_LAST_BEFORE = """
    UPDATE entries SET end = :start WHERE end > :start AND id = (
        SELECT id FROM entries WHERE camera = :camera AND {} AND start < :start ORDER BY start DESC LIMIT 1)
"""
_SHORTEN: Final = (_LAST_BEFORE.format("merged = 0"), _LAST_BEFORE.format("banked"))
_COLUMNS: Final = (
    "start", "end", "frames", "energy", "scene", "pinned", "context", "motion", "pair_energy", "held", "cut", "written"
)  # fmt: skip
_UPDATE: Final = f"UPDATE entries SET {', '.join(f'{name} = ?' for name in _COLUMNS)} WHERE id = ?"
_INSERT: Final = (
    f"INSERT INTO entries ({', '.join(_COLUMNS)}, camera, merged, banked, model) "
    f"VALUES ({', '.join('?' * len(_COLUMNS))}, ?, ?, 1, ?)"
)


class EntryRows:
    """Writes memory entries on one connection, inside its transaction. `model` is the row of the model whose tokens
    they are, `count` how many there are. Every method raises sqlite3.Error.
    """

    def __init__(self, connection: sqlite3.Connection, model: int | None) -> None:
        self._db, self._model = connection, model
        self._stored: dict[int, StoredVectors] = {}
        self._embedded: dict[int, tuple[int, Tensor]] = {}  # per camera: its last entry's row, and its embedding
        self.count = int(self._one("SELECT count(*) FROM entries"))

    def begin(self, camera: int) -> None:
        """A camera is about to write: what another model made is no longer part of its bank."""
        if self._model is not None:
            self._db.execute(
                "UPDATE entries SET banked = 0 WHERE camera = ? AND banked AND model <> ?", (camera, self._model)
            )

    def append(self, camera: int, entry: MemoryEntry, at: float) -> None:
        """A new entry at the bank's end; one that reaches into it is shortened."""
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
        self._delete(f"SELECT id FROM entries WHERE {where} AND banked AND merged", camera, start)
        self._db.execute(f"UPDATE entries SET banked = 0 WHERE {where} AND banked", (camera, start))
        self._delete("SELECT id FROM entries WHERE camera = ? AND merged = 0 AND start = ?", camera, start)
        # A merged entry that reaches beyond the start is shortened like any other by what is appended.

    def extend(self, camera: int, entry: MemoryEntry, at: float) -> None:
        """The bank's entry of this start has grown."""
        found = self._db.execute(
            "SELECT id, merged, frames, context, motion FROM entries WHERE camera = ? AND banked AND start = ?",
            (camera, entry.start),
        ).fetchone()
        if found is None:  # it was lost, or is older than what is kept
            self.append(camera, entry, at)
            return
        row, merged, frames, context, motion = found
        tokens = (
            self._vector(camera, entry.pair.context, likely=context),
            self._vector(camera, entry.pair.motion, likely=motion),
        )
        self._db.execute(_UPDATE, (*self._values(camera, entry, at, tokens), row))
        self._delete_unused({context, motion} - set(tokens))
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

    def consolidate(self, camera: int, row: Consolidate) -> None:
        """Merged entries take the place of others in the bank; the detailed rows of these stay."""
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
            places = []
            for vector, of, which in ((pair.context, merged.context_of, 0), (pair.motion, merged.motion_of, 1)):
                known = tokens.get(of) if of is not None else None
                place = known[which] if known else stored.get(id(vector)) or self._vector(camera, vector)
                stored[id(vector)] = place
                places.append(place)
            come.append((entry, (places[0], places[1])))
        self._db.executemany(
            "UPDATE entries SET banked = 0 WHERE camera = ? AND banked AND start = ?",
            [(camera, start) for start in row.gone],
        )
        for entry, _ in come:  # also what an earlier consolidation that was lost had replaced
            self._db.execute(
                "UPDATE entries SET banked = 0 WHERE camera = ? AND banked AND start >= ? AND start < ?",
                (camera, entry.start, entry.end),
            )
        for entry, tokens_of in come:  # as old as what it stands for
            age = max((at for start, at in ages.items() if entry.start <= start < entry.end), default=row.at)
            self._insert(camera, entry, age, merged=True, tokens=tokens_of)
        self._delete("SELECT id FROM entries WHERE camera = ? AND merged = 1 AND banked = 0", camera)

    def _insert(
        self, camera: int, entry: MemoryEntry, at: float, *, merged: bool, tokens: tuple[int, int] | None = None
    ) -> int:
        values = (*self._values(camera, entry, at, tokens), camera, merged, self._model)
        row = self._db.execute(_INSERT, values).lastrowid
        assert row is not None
        self._db.execute("INSERT INTO embeddings (entry, data) VALUES (?, ?)", (row, packed(entry.embedding)))
        self.count += 1
        return row

    def _values(
        self, camera: int, entry: MemoryEntry, at: float, tokens: tuple[int, int] | None = None
    ) -> tuple[float | int, ...]:
        """What goes into _COLUMNS; `tokens` are the rows of context and motion token where they are known."""
        pair = entry.pair
        context, motion = tokens or (self._vector(camera, pair.context), self._vector(camera, pair.motion))
        return (
            *(float(entry.start), float(entry.end), int(entry.frames), float(entry.energy), int(entry.scene)),
            *(bool(entry.pinned), context, motion, float(pair.energy), bool(pair.held), bool(pair.cut), at),
        )

    def _vector(self, camera: int, vector: Tensor, *, likely: int | None = None) -> int:
        """The row of a token, stored if it is new. `likely` is where it may be: it came from there after a restart."""
        stored = self._stored.setdefault(camera, StoredVectors())
        row = stored.find(vector)
        if row is None:
            data = packed(vector)
            if likely is not None and self._one("SELECT data FROM vectors WHERE id = ?", likely) == data:
                row = likely
            else:
                row = self._db.execute("INSERT INTO vectors (data) VALUES (?)", (data,)).lastrowid
                assert row is not None
            stored.add(vector, row)
        return row

    def _delete(self, select: str, *values: object) -> None:
        self.delete([row for (row,) in self._db.execute(select, values)])

    def delete(self, rows: Sequence[int]) -> None:
        """Delete entries, and the tokens that no other entry shares."""
        vectors: set[int] = set()
        for row in rows:
            vectors.update(*self._db.execute("SELECT context, motion FROM entries WHERE id = ?", (row,)))
        self._db.executemany("DELETE FROM entries WHERE id = ?", [(row,) for row in rows])
        self._delete_unused(vectors)
        self.count -= len(rows)
        gone = set(rows)
        self._embedded = {camera: known for camera, known in self._embedded.items() if known[0] not in gone}

    def _delete_unused(self, vectors: set[int]) -> None:
        """Delete those of these tokens that no entry has."""
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
        for stored in self._stored.values():
            stored.forget(set(unused))

    def _one(self, sql: str, *values: object) -> Any:
        return self._db.execute(sql, values).fetchone()[0]
