"""JSON arrays taken apart into their elements, one at a time, each with its line.

The standard library's decoder parses the next element from a window that grows until the element is whole, so that a
file of gigabytes needs the memory of its longest record.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from llama_vid.errors import ConfigError
from training.data.example import BadRecord, Place, Reason
from training.data.records import Raw, opened, readable, stretch

CHUNK: Final = 1 << 20  # bytes read at once: large enough that reading is not what takes the time
LONGEST: Final = 64 << 20  # characters of a record; beyond that the file is taken to be damaged
_SPACE: Final = re.compile(r"[ \t\r\n]+")


class JsonArrays:
    """The elements of a JSON array (`part` empty), or of all arrays that a JSON object holds (`part` their key)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def scan(self) -> Iterator[Raw]:
        with opened(self.path) as file:
            window = _Window(self.path, file)
            first = window.peek()
            if first == "[":
                yield from self._array(window, "")
            elif first == "{":
                window.take(1)
                while window.peek() != "}":
                    key = window.element()[0]
                    window.expect(":")
                    if window.peek() == "[":
                        yield from self._array(window, str(key))
                    else:
                        window.element()
                    if window.peek() != "}":
                        window.expect(",")
                window.take(1)
            else:
                raise ConfigError(f"{self.path}:{window.line}: a JSON array or object was expected")
            if window.peek():
                raise ConfigError(
                    f"{self.path}:{window.line}: there is more behind the end of the JSON value; "
                    "if every line is a record of its own, name the file .jsonl"
                )

    def read(self, offset: int, length: int) -> Any:
        return json.loads(stretch(self.path, offset, length).decode("utf-8"))

    def _array(self, window: _Window, part: str) -> Iterator[Raw]:
        window.take(1)
        number = 0
        while window.peek() != "]":
            number += 1
            line, offset = window.line, window.offset
            value, text = window.element()
            problem = None if readable(text) else BadRecord(Reason.NOT_UTF8, "a text holds other bytes")
            yield Raw(part, Place(self.path, line, number), offset, window.offset - offset, value, problem)
            if window.peek() != "]":
                window.expect(",")
        window.take(1)


class _Window:
    """The part of a JSON text that is being read, and where it stands in the file."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.line, self.offset = path, 1, file.tell()
        self._file, self._text, self._at, self._ended = file, "", 0, False
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._json = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is not space, empty at the end of the file."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self.take(space.end() - self._at if space else 0)
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._read()

    def expect(self, character: str) -> None:
        """Go past this character. Raises ConfigError if there is another."""
        if (found := self.peek()) != character:
            what = f"{found!r} stands" if found else "the file ends"
            raise ConfigError(f"{self.path}:{self.line}: not JSON: {what} where {character!r} was expected; mend it")
        self.take(1)

    def element(self) -> tuple[Any, str]:
        """The next value and its text. Raises ConfigError."""
        self.peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as problem:
                if self._ended or len(self._text) - self._at > LONGEST:
                    line = self.line + self._text.count("\n", self._at, problem.pos)
                    short = "; the file is cut off: fetch it again" if self._ended and not self._closes() else ""
                    raise ConfigError(f"{self.path}:{line}: not JSON: {problem.msg}{short}") from None
            except (ValueError, RecursionError) as problem:
                raise ConfigError(f"{self.path}:{self.line}: not JSON that can be read: {problem}") from None
            else:
                # A number at the window's end may go on behind it.
                if end < len(self._text) or self._ended:
                    text = self._text[self._at : end]
                    self.take(end - self._at)
                    return value, text
            self._read()

    def take(self, count: int) -> None:
        """Go on by so many characters."""
        if count:
            text = self._text[self._at : self._at + count]
            self._at += count
            self.offset += count if text.isascii() else len(text.encode("utf-8", "surrogateescape"))
            self.line += text.count("\n")

    def _read(self) -> None:
        # Twice what is there: parsing a long element again and again stays linear.
        kept = self._text[self._at :]
        data = self._file.read(max(CHUNK, len(kept)))
        self._ended = not data
        self._text, self._at = kept + self._decoder.decode(data, final=self._ended), 0

    def _closes(self) -> bool:
        return self._text.rstrip()[-1:] in ("]", "}")
