"""The journal: everything a server's cameras have seen, told and alerted, on disk, bounded by days and bytes.

    with Journal(Path("data")) as journal:
        front = journal.camera("front")
        bank_entries = front.restore()      # after a restart
        front.append(entry); front.picture(entry.start, jpeg)

One SQLite file in WAL mode (https://www.sqlite.org/wal.html) and a folder of JPEG files. Writes are queued and
committed together by one thread; a killed process loses at most the last second. A failing disk never stops a camera.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from torch import Tensor

from llama_vid.errors import ConfigError
from llama_vid.memory import journal_reading as reading
from llama_vid.memory.alert_log import AlertLog
from llama_vid.memory.alerts import AlertEvent
from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.forgetting import KEPT_KINDS, Forget, Forgotten
from llama_vid.memory.frames import FrameFiles
from llama_vid.memory.journal_file import JournalFile
from llama_vid.memory.journal_writer import Writer
from llama_vid.memory.outbox import Outgoing
from llama_vid.memory.records import (
    Append,
    Come,
    Consolidate,
    Extend,
    JournalState,
    Note,
    Picture,
    Record,
    Row,
    Tell,
    ToldSpan,
    Urgent,
)
from llama_vid.memory.retention import Limits

logger = logging.getLogger(__name__)

#: Names that are safe as folders and URLs.
CAMERA_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
#: Rows of pictures that are read at a time where there may be hundreds of thousands.
PICTURES_AT_ONCE: Final = 1000
#: Forgotten spans of a camera that late news is held against: a sentence ends within a minute.
FORGOTTEN_KEPT: Final = 16
#: Times are told to the millisecond, so what touches a span by less does not touch it.
HAIR_S: Final = 0.0015
#: Entries that one recall returns at most: an hour at one frame a second.
MOST_ENTRIES: Final = 3600

T = TypeVar("T")


class Journal:
    """One for all cameras of a server: `journal.db` and `frames/` in a folder that no other process may use meanwhile.

    Kept are `retention_days` and `retention_gb` (10^9 bytes of database and pictures), oldest out first. What is queued
    is committed at most `flush_s` later. A failing disk raises nothing: see `state`. Raises LlamaVidError if another
    process has the folder, ConfigError if its database belongs to another program or a newer version.

    `model` names the model whose tokens are written (name and version): entries that another one wrote are not given
    back, since its tokens mean nothing to this one; what was told, noted and pictured is.

    With an `epoch` the folder is owned under that number (`lease.py`). Raises FencedError where a higher one stands;
    when one comes later, nothing more is written, and `state` says so.
    """

    def __init__(
        self,
        folder: Path,
        *,
        retention_days: float = 7,
        retention_gb: float = 20,
        flush_s: float = 0.5,
        model: str | None = None,
        clock: Callable[[], float] = time.time,
        epoch: int | None = None,
    ) -> None:
        self.folder = folder
        self.model = model
        self._clock = clock
        self._windows: dict[str, tuple[tuple[float, float], ...]] = {}
        self._frames = FrameFiles(folder / "frames")
        file = JournalFile(folder)
        self._connections = reading.Connections(file.path)
        limits = Limits(retention_days, retention_gb * 1e9)
        self._writer = Writer(file, self._connections, self._frames, limits, flush_s, clock, model, epoch)
        self._writer.start()
        self.alerts = AlertLog(self, self._writer.ledger)

    def camera(self, name: str) -> CameraJournal:
        """The part of one camera. Raises ConfigError if the name is not fit for a folder."""
        if not CAMERA_NAME.fullmatch(name):
            raise ConfigError(f"camera name {name!r} is not allowed; use up to 64 letters, digits, - and _")
        return CameraJournal(self, name)

    def cameras(self) -> list[str]:
        """The names of which anything is kept."""
        return self.read(reading.cameras, [])

    @property
    def state(self) -> JournalState:
        """How the journal fares."""
        return self._writer.state

    def flush(self, timeout: float = 10) -> bool:
        """Have everything that was queued committed now; whether it was, within `timeout` seconds."""
        return self._writer.waiting.flush(timeout)

    def close(self) -> None:
        """Write what waits and let go of the folder. What is put in later is lost."""
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def put(self, item: Row | Picture | Urgent) -> None:
        """Queue something to be written; never blocks."""
        self._writer.waiting.put(item)

    def unwritten(self) -> list[Outgoing]:
        """The changes of alerts that wait for a disk that fails; none while writing works."""
        return [] if self._writer.state.ok else self._writer.waiting.unwritten()

    def forget(self, camera: str, start: float, end: float) -> Future[Forgotten]:
        """As `CameraJournal.forget`."""
        item = Forget(camera, start, end, self.now())
        window = (start, min(end, self.now()))
        self._windows[camera] = (*self._windows.get(camera, ())[1 - FORGOTTEN_KEPT :], window)
        self.put(item)
        return item.done

    def forgotten(self, camera: str, start: float, end: float) -> bool:
        """Whether [start, end] touches a time that was forgotten since the start: late news of it is not kept."""
        return any(
            start < last - HAIR_S and (end > first + HAIR_S or start >= first)
            for first, last in self._windows.get(camera, ())
        )

    def now(self) -> float:
        """The epoch second by which rows age."""
        return self._clock()

    def read(self, query: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """The result of a query, or `otherwise` where the database cannot be read, which `state` then tells."""
        try:
            with self._connections.use() as db:
                return query(db)
        except (sqlite3.Error, ValueError, TypeError, KeyError) as problem:  # all but the first: garbage in a row
            level = logging.WARNING if self._writer.state.ok else logging.DEBUG
            logger.log(level, "the journal in %s cannot be read: %s", self.folder, problem)
            self._writer.suspect(problem)
            return otherwise

    def read_file(self, camera: str, seconds: float, size: int) -> bytes | None:
        """A kept picture, or None if it is gone."""
        return self._frames.read(camera, seconds, size)


class CameraJournal:
    """One camera's journal. Writes are queued at once and never block; reads see what is committed."""

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal = journal
        self.name = name

    def append(self, entry: MemoryEntry) -> None:
        """The bank took this entry at its end. One that reaches into it is shortened, as in the bank."""
        self._journal.put(Append(self.name, entry, self._journal.now()))

    def extend(self, entry: MemoryEntry) -> None:
        """The bank's last entry has grown: same start, new end, frames, energy, …"""
        self._journal.put(Extend(self.name, entry, self._journal.now()))

    def consolidate(self, gone: Sequence[MemoryEntry], come: Sequence[MemoryEntry]) -> None:
        """The bank replaced `gone` by fewer merged `come`. The detailed rows stay for recall."""
        left = {id(entry) for entry in gone} & {id(entry) for entry in come}  # in both: nothing happened to them
        gone = [entry for entry in gone if id(entry) not in left]
        contexts = {id(entry.pair.context): entry.start for entry in gone}
        motions = {id(entry.pair.motion): entry.start for entry in gone}
        merged = tuple(
            Come(entry, contexts.get(id(entry.pair.context)), motions.get(id(entry.pair.motion)))
            for entry in come
            if id(entry) not in left
        )
        starts = tuple(entry.start for entry in gone)
        self._journal.put(Consolidate(self.name, starts, merged, self._journal.now()))

    def tell(self, span: ToldSpan) -> None:
        """Keep a captioned scene, in place of one of the same start."""
        if self._journal.forgotten(self.name, span.start, span.end):
            return
        self._journal.put(Tell(self.name, span, self._journal.now()))

    def note(self, record: Record) -> None:
        """Keep a record. Raises ValueError or TypeError if its data are not JSON."""
        data = json.dumps(dict(record.data), allow_nan=False, ensure_ascii=False)
        if record.kind not in KEPT_KINDS and self._journal.forgotten(self.name, record.start, record.end):
            return
        self._journal.put(Note(self.name, record, data, self._journal.now()))

    def picture(self, seconds: float, jpeg: bytes) -> None:
        """Keep a JPEG picture of a time, in place of one of the same millisecond."""
        if self._journal.forgotten(self.name, seconds, seconds):
            return
        self._journal.put(Picture(self.name, seconds, jpeg, self._journal.now()))

    def forget(self, start: float, end: float) -> Future[Forgotten]:
        """Forget [start, end): entries, told scenes, records, alerts and pictures, in the files too (`forgetting.py`).

        What was queued before is forgotten with it; what comes later of that time is not kept. While the disk fails
        the future waits as all writes do; it fails with LlamaVidError when that cannot be done any more. Cancelling it
        before it has begun leaves everything as it is.
        """
        return self._journal.forget(self.name, start, end)

    def flush(self, timeout: float = 10) -> bool:
        """As the journal's: what was queued can be read."""
        return self._journal.flush(timeout)

    def restore(self) -> list[MemoryEntry]:
        """The bank as it was committed last, in time order, rounded to fp16; shared tensors are one object."""
        return self._journal.read(lambda db: reading.bank(db, self.name, self._journal.model), [])

    def entries(self, start: float, end: float, limit: int = MOST_ENTRIES) -> list[MemoryEntry]:
        """The first `limit` detailed entries that share time with [start, end), as they were before consolidation."""
        return self._journal.read(lambda db: reading.entries(db, self.name, self._journal.model, start, end, limit), [])

    def embeddings(
        self, *, after: float | None = None, before: float | None = None, chunk: int = 2048
    ) -> Iterator[tuple[list[float], list[float], Tensor]]:
        """Starts, ends and embeddings (n, E) of the detailed entries that start after a time and before another, oldest
        first, at most `chunk` at a time (each its own short query).
        """
        name, model = self.name, self._journal.model
        after = float("-inf") if after is None else after
        limit = float("inf") if before is None else before
        while True:
            found = self._journal.read(
                lambda db, after=after: reading.embeddings(db, name, model, after, limit, chunk),  # type: ignore[misc]
                None,
            )
            if found is None:
                return
            yield found
            after = found[0][-1]

    def told(self, start: float, end: float, limit: int | None = None) -> list[ToldSpan]:
        """The captioned scenes that share time with [start, end], in time order: the newest `limit`, or all (None)."""
        return self._journal.read(lambda db: reading.told(db, self.name, start, end, limit), [])

    def records(self, kind: str, start: float, end: float) -> list[Record]:
        """The records of a kind that share time with [start, end], in time order."""
        return self._journal.read(lambda db: reading.records(db, self.name, kind, start, end), [])

    def said(self, kind: str, start: float, end: float, limit: int) -> list[tuple[float, float, str]]:
        """(start, end, text) of the newest `limit` records of a kind that share time with [start, end], in time order:
        thousands of lines, without what else is kept of each.
        """
        return self._journal.read(lambda db: reading.said(db, self.name, kind, start, end, limit), [])

    def jpeg(self, seconds: float | None) -> bytes | None:
        """The kept picture nearest to a time (None: the newest)."""
        found = self.kept(seconds)
        return None if found is None else found[1]

    def kept(self, seconds: float | None) -> tuple[float, bytes] | None:
        """As `jpeg`, with the picture's own time."""
        none: list[tuple[float, int]] = []
        found = self._journal.read(lambda db: reading.pictures(db, self.name, seconds), none)
        files = ((at, self._journal.read_file(self.name, at, size)) for at, size in found)
        return next(((at, jpeg) for at, jpeg in files if jpeg is not None), None)

    def pictures(self, start: float, end: float) -> Iterator[tuple[float, bytes]]:
        """The kept pictures of [start, end) with their times, in time order, but for those whose files are gone."""
        while True:
            none: list[tuple[float, int]] = []
            read = partial(reading.pictures_between, name=self.name, start=start, end=end, limit=PICTURES_AT_ONCE)
            found = self._journal.read(read, none)
            for at, size in found:
                jpeg = self._journal.read_file(self.name, at, size)
                if jpeg is not None:
                    yield at, jpeg
            if len(found) < PICTURES_AT_ONCE:
                return
            start = math.nextafter(found[-1][0], math.inf)

    def events(self, start: float, end: float, limit: int = 1000) -> list[AlertEvent]:
        """The newest `limit` alert events that share time with [start, end], in time order."""
        return self._journal.alerts.events(self.name, start, end, limit)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """First start and last end of anything that is kept."""
        return self._journal.read(lambda db: reading.bounds(db, self.name), None)
