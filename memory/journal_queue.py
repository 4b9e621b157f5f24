"""What waits to be written to the journal: bounded in memory, oldest first out when the disk fails for too long."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from llama_vid.errors import LlamaVidError
from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.forgetting import Forget
from llama_vid.memory.outbox import Channels, Delivered, Outgoing
from llama_vid.memory.records import Append, Consolidate, Extend, Note, Picture, Row, Tell, Urgent

#: Bytes that may wait: a busy row is 13 KB (two tokens of 576 and an embedding of 2,048 numbers), so this is an hour
#: and a half of one busy camera, or most of a day of a still one, while a disk is full; little beside the model.
WAITING_BYTES: Final = 64 << 20
#: Changes of alerts that may wait while a disk fails: 10 MB, and more than anybody wants to be told afterwards.
WAITING_ALERTS: Final = 10_000


@dataclass(slots=True)
class Batch:
    """What is written together, in the order in which it came."""

    rows: list[tuple[int, Row]] = field(default_factory=list)
    pictures: list[tuple[int, Picture]] = field(default_factory=list)
    urgent: list[tuple[int, Urgent]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows or self.pictures or self.urgent)


class Waiting:
    """The queue between cameras and the writer thread. Putting never blocks; each item has a growing number."""

    def __init__(self, most_bytes: int = WAITING_BYTES) -> None:
        self._most = most_bytes
        self._changed = threading.Condition()
        self._rows: deque[tuple[int, Row]] = deque()
        self._pictures: deque[tuple[int, Picture]] = deque()
        self._urgent: deque[tuple[int, Urgent]] = deque()
        self._taken = Batch()
        self._growing: dict[str, Append | Extend] = {}  # the last entry of a camera, while it waits
        self._bytes = 0
        self._number = 0
        self._since: float | None = None  # when the oldest that waits came (monotonic)
        self._asked = False
        self._hurry = False  # something urgent came since the last look
        self._closed = False
        self.lost = 0

    def put(self, item: Row | Picture | Urgent) -> None:
        """Queue an item. After `close` it is counted as lost."""
        with self._changed:
            if self._closed:
                self.lost += 1
                _refuse(item, "the journal is closed already")
                return
            if isinstance(item, Extend):
                last = self._growing.get(item.camera)
                if last is not None and last.entry.start == item.entry.start:
                    last.entry, last.at = item.entry, item.at
                    return
            self._number += 1
            if isinstance(item, Outgoing | Channels):
                self._urgent.append((self._number, item))
                self._hurry = True
                self._bound()
                self._changed.notify_all()
                return
            if isinstance(item, Picture):
                self._pictures.append((self._number, item))
            else:
                self._rows.append((self._number, item))
                if isinstance(item, Append | Extend):
                    self._growing[item.camera] = item
                elif isinstance(item, Consolidate | Forget):
                    self._growing.pop(item.camera, None)
                self._asked |= isinstance(item, Forget)  # somebody waits for it
            self._bytes += _weight(item)
            self._bound()
            if self._since is None:
                self._since = time.monotonic()
                self._changed.notify_all()
            elif self._asked:
                self._changed.notify_all()

    def wait(self, flush_s: float, timeout: float) -> bool:
        """Wait until something has waited `flush_s`, a flush was asked for, something urgent came (which is for
        `take_urgent`), or `timeout` is over; whether to write all.
        """
        limit = time.monotonic() + timeout
        with self._changed:
            while True:
                now = time.monotonic()
                if self._asked or self._closed:
                    self._asked = self._hurry = False
                    return True
                if self._hurry:
                    self._hurry = False
                    return False
                due = limit if self._since is None else min(limit, self._since + flush_s)
                if now >= due:
                    return self._since is not None and now >= self._since + flush_s
                self._changed.wait(due - now)

    def take(self) -> Batch:
        """Everything that waits. It counts as waiting until `settle`."""
        with self._changed:
            self._taken = Batch(list(self._rows), list(self._pictures), list(self._urgent))
            self._urgent.clear()
            self._rows.clear()
            self._pictures.clear()
            self._growing.clear()
            self._bytes, self._since = 0, None
            return self._taken

    def take_urgent(self) -> Batch:
        """What is urgent alone, the same way."""
        with self._changed:
            self._taken = Batch(urgent=list(self._urgent))
            self._urgent.clear()
            return self._taken

    def unwritten(self) -> list[Outgoing]:
        """The changes of alerts that wait."""
        with self._changed:
            return [item for _, item in (*self._taken.urgent, *self._urgent) if isinstance(item, Outgoing)]

    def settle(self, back: Batch | None = None) -> None:
        """What was taken is written, but for `back`, which waits again, before what came since."""
        with self._changed:
            self._taken = Batch()
            if back:
                self._rows.extendleft(reversed(back.rows))
                self._pictures.extendleft(reversed(back.pictures))
                self._urgent.extendleft(reversed(back.urgent))
                self._bytes += sum(_weight(item) for item in _items(back))
                self._since = time.monotonic()
                self._bound()
            self._changed.notify_all()

    def drop(self, count: int = 1) -> None:
        """Count what could not be written and is not tried again."""
        with self._changed:
            self.lost += count

    def drop_taken(self) -> None:
        """Count what was taken as lost."""
        with self._changed:
            self.lost += len(self._taken.rows) + len(self._taken.pictures) + len(self._taken.urgent)
            for _, row in self._taken.rows:
                _refuse(row, "the journal's writer failed, see the log")
        self.settle()

    def flush(self, timeout: float) -> bool:
        """Have everything that waits written now; whether it was, within `timeout` seconds, and nothing was lost."""
        with self._changed:
            last, lost = self._number, self.lost
            if self._oldest() <= last:
                self._asked = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._oldest() > last, timeout)
            return self._oldest() > last and self.lost == lost

    def close(self) -> None:
        """Take nothing in any more and wake the writer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def wake(self) -> None:
        """Let the writer look at once."""
        with self._changed:
            self._asked = True
            self._changed.notify_all()

    def __len__(self) -> int:
        with self._changed:
            return sum(map(len, self._queues()))

    def _oldest(self) -> float:
        """The number of the oldest item that is not written."""
        return min((queue[0][0] for queue in self._queues() if queue), default=float("inf"))

    def _queues(self) -> Iterator[Sequence[tuple[int, Row | Picture | Urgent]]]:
        yield from (self._rows, self._pictures, self._urgent)
        yield from (self._taken.rows, self._taken.pictures, self._taken.urgent)

    def _bound(self) -> None:
        while self._bytes > self._most and (self._pictures or self._rows):
            _, item = self._pictures.popleft() if self._pictures else self._rows.popleft()
            if isinstance(item, Append | Extend) and self._growing.get(item.camera) is item:
                del self._growing[item.camera]
            self._bytes -= _weight(item)
            self.lost += 1
            _refuse(item, "the disk of the journal fails")
        while len(self._urgent) > WAITING_ALERTS:
            self._urgent.popleft()
            self.lost += 1


def _refuse(item: object, why: str) -> None:
    """Tell whoever waits for something to be forgotten that it was not."""
    if isinstance(item, Forget) and not item.done.done():
        item.done.set_exception(LlamaVidError(f"nothing was forgotten: {why}; mend that and try again"))


def _items(batch: Batch) -> Iterator[Row | Picture]:
    yield from (row for _, row in batch.rows)
    yield from (picture for _, picture in batch.pictures)


def _weight(item: Row | Picture) -> int:
    """Bytes that an item keeps in memory, roughly."""
    match item:
        case Picture():
            return len(item.jpeg)
        case Append() | Extend():
            return _entry_bytes(item.entry)
        case Consolidate():
            return 32 * len(item.gone) + sum(_entry_bytes(merged.entry) for merged in item.come)
        case Tell():
            return 500
        case Note():
            return 500 + len(item.data)
        case Delivered() | Forget():
            return 100


def _entry_bytes(entry: MemoryEntry) -> int:
    return 200 + entry.embedding.nbytes + entry.pair.context.nbytes + entry.pair.motion.nbytes
