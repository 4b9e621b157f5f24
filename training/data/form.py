"""What every format has in common: how it is recognised, its records one after another, and one of them again."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from training.data.example import BadRecord, Draft, Place, Problem, Reason
from training.data.records import Reader, readable

Skip = Callable[[Problem], None]
#: A record's part: the number of the reader among the format's, the first byte, how many bytes.
Span = tuple[int, int, int]
_SPLITS: Final = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
                  "dev": "dev", "test": "test", "testing": "test"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of a file or folder before its format is: the names of its columns, or its first record.

    `part` is the key of the array in which the record stands (empty: the file is one array, or JSON lines). `first` is
    None for folders and tables.
    """

    path: Path
    columns: tuple[str, ...] = ()
    part: str = ""
    first: Any = None

    @property
    def keys(self) -> frozenset[str]:
        """The first record's keys."""
        return frozenset(self.first) if isinstance(self.first, dict) else frozenset()


@dataclass(frozen=True, slots=True)
class Entry:
    """A record that can be used: the parts it consists of, where it begins, and what it says."""

    spans: tuple[Span, ...]
    place: Place
    draft: Draft


class Format(ABC):
    """A data set in one of the field's formats. `split` asks for a part of it (train, val, dev, test; None: all)."""

    name: ClassVar[str]
    title: ClassVar[str]
    readers: tuple[Reader, ...]

    def __init__(self, path: Path, split: str | None = None) -> None:
        self.path, self.split = path, split

    @classmethod
    @abstractmethod
    def recognises(cls, sample: Sample) -> bool:
        """Whether the file looks like this format."""

    @abstractmethod
    def draft(self, values: Sequence[Any]) -> Draft:
        """What a record of these parts says. Raises BadRecord."""

    def entries(self, skip: Skip) -> Iterator[Entry]:
        """All records that can be used; the others go to `skip`. Raises ConfigError for the file itself."""
        for raw in self.readers[0].scan():
            try:
                if raw.problem is not None:
                    raise raw.problem
                draft = self.draft([raw.value])
            except BadRecord as problem:
                skip(Problem(problem.reason, raw.place, problem.detail))
            else:
                yield Entry(((0, raw.offset, raw.length),), raw.place, draft)

    @property
    def tells_splits(self) -> bool:
        """Whether the file itself says of each record which split it is of."""
        return False

    def media_folders(self) -> list[Path]:
        """Where the media are usually put, the likeliest first."""
        beside = self.path if self.path.is_dir() else self.path.parent
        return [beside / "videos", beside / "media", beside / "images", beside, beside.parent / "videos"]


def split_of(path: Path) -> str | None:
    """The split that a file's name tells: train of `captions_train2017.json`, val of `val_q.json`; None if none."""
    found = {_SPLITS[word] for word in re.findall(r"[a-z]+", path.stem.lower()) if word in _SPLITS}
    return found.pop() if len(found) == 1 else None


def mapping(value: Any) -> dict[str, Any]:
    """A record as an object. Raises BadRecord."""
    if not isinstance(value, dict):
        raise BadRecord(Reason.WRONG_TYPE, f"an object was expected, there is {_kind(value)}")
    return value


def text(record: dict[str, Any], key: str) -> str:
    """The text of a key, without space around it. Raises BadRecord if it is missing, empty or something else."""
    if key not in record:
        raise BadRecord(Reason.MISSING_KEY, repr(key))
    return checked(record[key], key)


def checked(value: Any, key: str) -> str:
    """A value as text, without space around it. Raises BadRecord."""
    if not isinstance(value, str):
        raise BadRecord(Reason.WRONG_TYPE, f"{key!r} is {_kind(value)}, not a text")
    if not readable(value) or any("\ud800" <= character <= "\udfff" for character in value if character > "\ud7ff"):
        raise BadRecord(Reason.NOT_UTF8, f"{key!r} holds half a character")
    if not (found := value.strip()):
        raise BadRecord(Reason.EMPTY, repr(key))
    return found


def identity(record: dict[str, Any], key: str) -> str:
    """The name or number of a key, as text. Raises BadRecord."""
    value = record.get(key)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text(record, key)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
