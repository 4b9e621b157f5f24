"""A camera's journal that another process owns: the worker that has the camera writes and reads it for everybody.

    front = DistantJournal("front", call)       # call(method, *arguments) asks the owner
    front.told(0, 60)

What cannot be reached (its owner is being replaced) reads as nothing kept: a question is then answered from what memory
holds.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from torch import Tensor

from llama_vid.cluster_wire import Steps, Unpacker
from llama_vid.errors import LlamaVidError
from llama_vid.memory.alerts import AlertEvent
from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.forgetting import Forgotten
from llama_vid.memory.frames import FrameFiles
from llama_vid.memory.journal import MOST_ENTRIES, CameraJournal, Journal
from llama_vid.memory.journal_file import DATABASE
from llama_vid.memory.journal_reading import Connections
from llama_vid.memory.records import Record, ToldSpan

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Asks the journal's owner: (method, arguments) to its answer. Raises LlamaVidError where nobody answers.
Call = Callable[..., Any]
#: Pictures in one answer of the owner: some 8 MB.
PICTURES: Final = 200


class DistantJournal(CameraJournal):
    """As `CameraJournal`; entries are written by the owner alone."""

    def __init__(self, name: str, call: Call) -> None:
        self.name = name
        self._ask = call

    def _read(self, method: str, otherwise: Any, *arguments: Any) -> Any:
        try:
            return self._ask(method, *arguments)
        except LlamaVidError as problem:
            logger.info("%s: its journal cannot be reached now: %s", self.name, problem)
            return otherwise

    def append(self, entry: MemoryEntry) -> None:
        """Nothing: the owner writes entries."""

    def extend(self, entry: MemoryEntry) -> None:
        """Nothing, as `append`."""

    def consolidate(self, gone: Sequence[MemoryEntry], come: Sequence[MemoryEntry]) -> None:
        """Nothing, as `append`."""

    def picture(self, seconds: float, jpeg: bytes) -> None:
        """Nothing, as `append`."""

    def tell(self, span: ToldSpan) -> None:
        """Keep a captioned scene, in place of one of the same start."""
        self._read("tell", None, span)

    def note(self, record: Record) -> None:
        """Keep a record."""
        self._read("note", None, record)

    def flush(self, timeout: float = 10) -> bool:
        """Have what was queued committed."""
        return bool(self._read("flush", False, timeout))

    def forget(self, start: float, end: float) -> Future[Forgotten]:
        """As CameraJournal's. The owner has forgotten when this returns, or the future says why not."""
        done: Future[Forgotten] = Future()
        try:
            done.set_result(self._ask("forget", start, end))
        except LlamaVidError as problem:
            done.set_exception(problem)
        return done

    def restore(self) -> list[MemoryEntry]:
        """The bank as it was committed last."""
        return _entries(self._read("restore", None))

    def entries(self, start: float, end: float, limit: int = MOST_ENTRIES) -> list[MemoryEntry]:
        """The first `limit` detailed entries that share time with [start, end)."""
        return _entries(self._read("entries", None, start, end, limit))

    def embeddings(
        self, *, after: float | None = None, before: float | None = None, chunk: int = 2048
    ) -> Iterator[tuple[list[float], list[float], Tensor]]:
        """As CameraJournal's, a chunk for each time that the owner is asked."""
        while (found := self._read("embeddings", None, after, before, chunk)) is not None:
            yield found
            after = found[0][-1]

    def told(self, start: float, end: float, limit: int | None = None) -> list[ToldSpan]:
        """The captioned scenes that share time with [start, end]."""
        return list(self._read("told", (), start, end, limit))

    def records(self, kind: str, start: float, end: float) -> list[Record]:
        """The records of a kind that share time with [start, end]."""
        return list(self._read("records", (), kind, start, end))

    def said(self, kind: str, start: float, end: float, limit: int) -> list[tuple[float, float, str]]:
        """The newest `limit` records of a kind, as (start, end, text)."""
        return list(self._read("said", (), kind, start, end, limit))

    def jpeg(self, seconds: float | None) -> bytes | None:
        """The kept picture nearest to a time (None: the newest)."""
        found: bytes | None = self._read("jpeg", None, seconds)
        return found

    def kept(self, seconds: float | None) -> tuple[float, bytes] | None:
        """As `jpeg`, with the picture's time."""
        found: tuple[float, bytes] | None = self._read("kept", None, seconds)
        return found

    def pictures(self, start: float, end: float) -> Iterator[tuple[float, bytes]]:
        """The kept pictures of [start, end) with their times, in time order."""
        while found := self._read("pictures", (), start, end, PICTURES):
            yield from found
            start = found[-1][0] + 0.0005

    def events(self, start: float, end: float, limit: int = 1000) -> list[AlertEvent]:
        """The newest `limit` alert events that share time with [start, end]."""
        return list(self._read("events", (), start, end, limit))

    @property
    def bounds(self) -> tuple[float, float] | None:
        """First start and last end of anything that is kept."""
        found: tuple[float, float] | None = self._read("bounds", None)
        return found


def _entries(steps: Steps | None) -> list[MemoryEntry]:
    if steps is None:
        return []
    return [step for step in Unpacker().unpack(steps) if isinstance(step, MemoryEntry)]


def answered(journal: CameraJournal, method: str, arguments: Sequence[Any]) -> Any:
    """What the owner answers to a DistantJournal's question. In any thread; may wait for the disk."""
    match method:
        case "restore":
            return Steps.of(journal.restore())
        case "entries":
            return Steps.of(journal.entries(*arguments))
        case "embeddings":
            after, before, chunk = arguments
            return next(iter(journal.embeddings(after=after, before=before, chunk=chunk)), None)
        case "pictures":
            start, end, count = arguments
            return [found for found, _ in zip(journal.pictures(start, end), range(count), strict=False)]
        case "bounds":
            return journal.bounds
        case "forget":
            return journal.forget(*arguments).result()
        case "tell" | "note" | "flush" | "told" | "records" | "said" | "jpeg" | "kept" | "events":
            return getattr(journal, method)(*arguments)
    raise LlamaVidError(f"a journal has nothing of the name {method!r}")


class JournalFolder:
    """A camera's journal that nobody owns now, read as it lies there: what `CameraJournal` needs for reading."""

    model = None

    def __init__(self, folder: Path) -> None:
        self._connections = Connections(folder / DATABASE)
        self._frames = FrameFiles(folder / "frames")

    def read(self, query: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """The result of a query, or `otherwise` where the database cannot be read."""
        try:
            with self._connections.use() as db:
                return query(db)
        except (sqlite3.Error, ValueError, TypeError, KeyError):
            return otherwise

    def read_file(self, camera: str, seconds: float, size: int) -> bytes | None:
        """A kept picture, or None if it is gone."""
        return self._frames.read(camera, seconds, size)


class FrontCamera(DistantJournal):
    """A camera's journal as the front server sees it: alerts and pauses are the server's own, the rest the worker's."""

    def __init__(self, own: CameraJournal, call: Call, kinds: Container[str]) -> None:
        """`kinds` are the records that are the server's own."""
        super().__init__(own.name, call)
        self._own, self._kinds = own, kinds

    def note(self, record: Record) -> None:
        """Keep a record."""
        if record.kind in self._kinds:
            self._own.note(record)
        else:
            super().note(record)

    def records(self, kind: str, start: float, end: float) -> list[Record]:
        """The records of a kind that share time with [start, end]."""
        return self._own.records(kind, start, end) if kind in self._kinds else super().records(kind, start, end)

    def events(self, start: float, end: float, limit: int = 1000) -> list[AlertEvent]:
        """The newest `limit` alert events that share time with [start, end]."""
        return self._own.events(start, end, limit)

    def forget(self, start: float, end: float) -> Future[Forgotten]:
        """As CameraJournal's, here and at the worker."""
        own, done = self._own.forget(start, end), super().forget(start, end)
        own.result(timeout=60)
        return done


class FrontJournal(Journal):
    """The front server's journal: alerts of all cameras on their way out, pauses; cameras' memories are their workers'.

    A camera's own folder is `cameras/NAME` beside it. `owner` gives how to ask the worker that has a camera now, None
    where none has: then the folder is read as it lies.
    """

    def __init__(self, folder: Path, *, kinds: Container[str], **options: Any) -> None:
        super().__init__(folder, **options)
        self._kinds = kinds
        self.owner: Callable[[str], Call | None] = lambda _name: None
        self._folders: dict[str, CameraJournal] = {}

    def camera(self, name: str) -> CameraJournal:
        """The part of one camera. Raises ConfigError if the name is not fit for a folder."""
        return FrontCamera(super().camera(name), partial(self._asked, name), self._kinds)

    def cameras(self) -> list[str]:
        """The names of which anything is kept."""
        there = {file.parent.name for file in self.camera_folder("*").parent.glob(f"*/{DATABASE}")}
        return sorted(there | set(super().cameras()))

    def camera_folder(self, name: str) -> Path:
        """Where a camera's memory lies."""
        return self.folder / "cameras" / name

    def _asked(self, name: str, method: str, *arguments: Any) -> Any:
        ask = self.owner(name)
        if ask is not None:
            return ask(method, *arguments)
        if method in ("tell", "note", "forget"):
            raise LlamaVidError(f"no worker has camera {name} now; try again in some seconds")
        if name not in self._folders:
            self._folders[name] = CameraJournal(cast(Journal, JournalFolder(self.camera_folder(name))), name)
        return True if method == "flush" else answered(self._folders[name], method, arguments)
