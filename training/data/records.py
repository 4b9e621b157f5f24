"""Files taken apart into records, each with its place and its bytes' position, one at a time, however big the file.

Lines and tables are here; JSON arrays are in `json_arrays`.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from llama_vid.errors import ConfigError
from training.data.example import BadRecord, Place, Reason

BOM: Final = codecs.BOM_UTF8


@dataclass(frozen=True, slots=True)
class Raw:
    """A record as it stands in a file: `length` bytes from `offset`; `part` is the key of the array that holds it."""

    part: str
    place: Place
    offset: int
    length: int
    value: Any
    problem: BadRecord | None = None


class Reader(Protocol):
    """A file of records."""

    path: Path

    def scan(self) -> Iterator[Raw]:
        """All records in order; what is wrong with one is in its `problem`. Raises ConfigError for the file itself."""

    def read(self, offset: int, length: int) -> Any:
        """The value of the record that stands there."""


def opened(path: Path) -> BinaryIO:
    """The file for reading, past a byte order mark. Raises ConfigError."""
    try:
        file = path.open("rb")
    except OSError as problem:
        raise ConfigError(f"{path} cannot be read ({problem.strerror}); give the file of a data set") from None
    if file.read(len(BOM)) != BOM:
        file.seek(0)
    return file


def stretch(path: Path, offset: int, length: int) -> bytes:
    """Bytes of a file. It is opened anew each time, so that processes that share a data set share no position in it."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def readable(text: str) -> bool:
    """Whether text that was decoded with `surrogateescape` is UTF-8 throughout."""
    return text.isascii() or not any("\udc80" <= character <= "\udcff" for character in text)


class JsonLines:
    """One JSON value a line; empty lines are passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def scan(self) -> Iterator[Raw]:
        number = 0
        with opened(self.path) as file:
            offset = file.tell()
            for line, data in enumerate(file, 1):
                if data.strip():
                    number += 1
                    value, problem = None, None
                    try:
                        value = json.loads(data.decode("utf-8"))
                    except UnicodeDecodeError as error:
                        problem = BadRecord(Reason.NOT_UTF8, f"byte {error.start + 1} of the line")
                    except (ValueError, RecursionError) as error:
                        problem = BadRecord(Reason.BROKEN, f"not JSON: {error}")
                    yield Raw("", Place(self.path, line, number), offset, len(data), value, problem)
                offset += len(data)

    def read(self, offset: int, length: int) -> Any:
        return json.loads(stretch(self.path, offset, length).decode("utf-8"))


class Table:
    """Lines of fields behind a line that names them; values are dicts of text.

    A quoted field may hold line breaks. With `quoted` False quotation marks are ordinary characters. `columns` name the
    fields of a file that has no first line of names.
    """

    def __init__(
        self, path: Path, *, delimiter: str = ",", quoted: bool = True, columns: tuple[str, ...] | None = None
    ) -> None:
        self.path, self.columns = path, columns
        self._dialect: dict[str, Any] = {
            "delimiter": delimiter,
            "quoting": csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        }
        self._named = columns is not None

    def scan(self) -> Iterator[Raw]:
        with opened(self.path) as file:
            self._line, self._offset, number = 0, file.tell(), 0
            rows = csv.reader(self._lines(file), **self._dialect)
            while True:
                line, offset, problem, value = self._line + 1, self._offset, None, None
                fields: list[str] = []
                try:
                    fields = next(rows)
                except StopIteration:
                    return
                except csv.Error as error:
                    problem = BadRecord(Reason.BROKEN, f"{error}; is a quotation mark left open?")
                if not fields and problem is None:
                    continue
                if not self._named:
                    self.columns, self._named = tuple(name.strip() for name in fields), True
                    continue
                number += 1
                if problem is None:
                    try:
                        value = self._row(fields)
                    except BadRecord as error:
                        problem = error
                yield Raw("", Place(self.path, line, number), offset, self._offset - offset, value, problem)

    def read(self, offset: int, length: int) -> dict[str, str]:
        text = stretch(self.path, offset, length).decode("utf-8", "surrogateescape")
        return self._row(next(csv.reader(io.StringIO(text, newline=""), **self._dialect)))

    def _lines(self, file: BinaryIO) -> Iterator[str]:
        for data in file:
            self._line += 1
            self._offset += len(data)
            yield data.decode("utf-8", "surrogateescape")

    def _row(self, fields: list[str]) -> dict[str, str]:
        columns = self.columns or ()
        if len(fields) != len(columns):
            raise BadRecord(Reason.BROKEN, f"{len(fields)} fields for {len(columns)} columns")
        if not all(readable(field) for field in fields):
            raise BadRecord(Reason.NOT_UTF8, "a field holds other bytes")
        return dict(zip(columns, fields, strict=True))
