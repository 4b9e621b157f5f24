"""What the journal takes in and gives back beside memory entries: told scenes, records, and how the journal fares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llama_vid.memory.entry import MemoryEntry
from llama_vid.memory.forgetting import Forget
from llama_vid.memory.outbox import Channels, Delivered, Outgoing


@dataclass(frozen=True, slots=True)
class ToldSpan:
    """A captioned scene over [start, end) seconds; `motion` in 0…1 is its motion energy."""

    start: float
    end: float
    caption: str
    motion: float


@dataclass(frozen=True, slots=True)
class Record:
    """Something that was said or happened: a transcript line, … (`kind` "alert" is kept longest; alerts of rules are
    events, see alert_log.py).

    `data` is a JSON object; numbers that JSON does not know (NaN, infinity) are not allowed in it.
    """

    kind: str
    start: float
    end: float
    text: str
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JournalState:
    """How the journal fares. `ok` says that writing works; `reason` says in one line what is or was wrong and what to
    do, "" if nothing.

    `waiting` counts what is queued, `lost` what was dropped because the disk failed for long, since the start. `bytes`
    (database pages in use and pictures) and `rows` (memory entries) are what is kept; `written_at` (epoch seconds) is
    when the last write was committed, None before the first.
    """

    ok: bool
    reason: str
    waiting: int
    lost: int
    bytes: int
    rows: int
    written_at: float | None


@dataclass(slots=True, eq=False)
class Append:
    """The bank took a new entry at its end."""

    camera: str
    entry: MemoryEntry
    at: float


@dataclass(slots=True, eq=False)
class Extend:
    """The bank's last entry has grown."""

    camera: str
    entry: MemoryEntry
    at: float


@dataclass(frozen=True, slots=True, eq=False)
class Come:
    """A merged entry, with the starts of the entries whose very tensors its tokens are (None: its own)."""

    entry: MemoryEntry
    context_of: float | None
    motion_of: float | None


@dataclass(slots=True, eq=False)
class Consolidate:
    """The bank replaced the entries of these starts by fewer merged ones."""

    camera: str
    gone: tuple[float, ...]
    come: tuple[Come, ...]
    at: float


@dataclass(slots=True, eq=False)
class Tell:
    """A scene was captioned."""

    camera: str
    span: ToldSpan
    at: float


@dataclass(slots=True, eq=False)
class Note:
    """Something happened."""

    camera: str
    record: Record
    data: str
    at: float


@dataclass(slots=True, eq=False)
class Picture:
    """A JPEG picture to keep."""

    camera: str
    seconds: float
    jpeg: bytes
    at: float


#: What waits to be written as a row; `at` (epoch seconds) is when it was queued, by which it ages.
Row = Append | Extend | Consolidate | Tell | Note | Delivered | Forget
#: What is written at once, synced, before all else.
Urgent = Outgoing | Channels
