"""What a system made of each clip, a line each in a file: an interrupted comparison goes on where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llama_vid.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: `asked` is the question set (yesno, open), `probability` p(yes) where there is one."""

    asked: str
    question: str
    text: str
    seconds: float
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One clip: the frames that the system saw of it, the tokens that stood for them (None: not told), seconds to take
    it in, its answers, and the peak memory of the process so far in bytes.

    `clip` is a file's name; "" stands for the questions without any video. `of` says what answered (`System.identity`),
    `failed` why there are no answers.
    """

    of: str
    clip: str
    frames: int = 0
    tokens: int | None = None
    ingest_s: float = 0.0
    said: tuple[Said, ...] = ()
    failed: str = ""
    rss: int = 0
    cuda: int | None = None

    @property
    def asked(self) -> frozenset[tuple[str, str]]:
        """The (set, question) pairs that are answered."""
        return frozenset((each.asked, each.question) for each in self.said)

    def of_question(self, asked: str, question: str) -> Said | None:
        """The answer to a question; None if there is none."""
        return next((each for each in self.said if (each.asked, each.question) == (asked, question)), None)


class Records:
    """A file of records, one JSON object a line; a later line about a clip replaces an earlier one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, identity: str) -> dict[str, Record]:
        """The records of one identity by clip; those of other weights or settings stay in the file and are left out.

        Raises ConfigError if the file is there and cannot be read.
        """
        found = {}
        for value in json_lines(self.path):
            record = _record(value)
            if record is not None and record.of == identity:
                found[record.clip] = record
        return found

    def add(self, record: Record) -> None:
        """Write a record; the system has it when this returns. Raises ConfigError."""
        append_line(self.path, asdict(record))


def _record(value: dict[str, Any]) -> Record | None:
    try:
        return Record(**{**value, "said": tuple(Said(**each) for each in value["said"])})
    except (TypeError, KeyError):
        return None


def append_line(path: Path, value: dict[str, Any]) -> None:
    """Keep one JSON object at the end of a JSON-lines file; a line that was cut off there is ended first.

    Raises ConfigError if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")
    except OSError as problem:
        raise ConfigError(f"{path} cannot be written ({problem.strerror}); name another folder") from None


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file; none where there is no file. What a killed process left of a line is skipped.

    Raises ConfigError if the file is there and cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as problem:
        raise ConfigError(f"{path} cannot be read ({problem.strerror}); name another folder") from None
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value
