"""Folders of clips or photos: with `clips.jsonl`, or with a folder for each label."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from training.data.example import BadRecord, Draft, Place, Reason, Turn
from training.data.form import Format, Sample, checked, mapping, text
from training.data.media import kind_of
from training.data.records import JsonLines, Raw


class Clips(Format):
    """A folder with `clips.jsonl`: a line of JSON for each clip, with `file` and at least one of `caption`, `captions`
    (a list) and `qa` (a list of `{q, a}`); `start` and `end` (seconds) if it is about a part of the file. Other keys
    are passed over.

    Source: our own; the evaluation clips are described so (docs/evaluation.md).
    """

    name, title = "clips", "clips with clips.jsonl"

    def __init__(self, path: Path, split: str | None = None) -> None:
        super().__init__(path / "clips.jsonl" if path.is_dir() else path, split)
        self.readers = (JsonLines(self.path),)

    @classmethod
    def recognises(cls, sample: Sample) -> bool:
        if sample.path.is_dir():
            return (sample.path / "clips.jsonl").is_file()
        return not sample.part and "file" in sample.keys and bool({"caption", "captions", "qa"} & sample.keys)

    def draft(self, values: Sequence[Any]) -> Draft:
        record = mapping(values[0])
        file = text(record, "file")
        kind = kind_of(file)
        if kind is None:
            raise BadRecord(Reason.WRONG_TYPE, f"{file!r} is neither a photo nor a video by its suffix")
        captions = [text(record, "caption")] if record.get("caption") is not None else []
        captions += [checked(value, "captions") for value in self._list(record, "captions")]
        turns = []
        for value in self._list(record, "qa"):
            turn = mapping(value)
            long = "question" in turn
            turns.append(Turn(text(turn, "question" if long else "q"), text(turn, "answer" if long else "a")))
        if not captions and not turns:
            raise BadRecord(Reason.MISSING_KEY, "'caption' or 'qa'")
        span = self._span(record)
        return Draft((file,), kind, f"{file} {span}", tuple(captions), tuple(turns), span)

    def media_folders(self) -> list[Path]:
        return [self.path.parent, *super().media_folders()]

    @staticmethod
    def _list(record: dict[str, Any], key: str) -> list[Any]:
        found = record.get(key) or []
        if not isinstance(found, list):
            raise BadRecord(Reason.WRONG_TYPE, f"{key!r} is not a list")
        return found

    @staticmethod
    def _span(record: dict[str, Any]) -> tuple[float, float] | None:
        if record.get("start") is None and record.get("end") is None:
            return None
        start, end = record.get("start", 0.0), record.get("end", -1.0)
        for value in (start, end):
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise BadRecord(Reason.WRONG_TYPE, "'start' and 'end' are seconds")
        if not 0 <= start < end:
            raise BadRecord(Reason.WRONG_TYPE, f"the span {start}–{end} s is none")
        return float(start), float(end)


class Labelled(Format):
    """A folder of folders: each holds clips or photos and is named by what they show (`playing_guitar/…mp4`).

    The label with spaces for underlines is the caption. Source: the layout of Kinetics and UCF101 as they are unpacked.
    """

    name, title = "folders", "a folder for each label"

    def __init__(self, path: Path, split: str | None = None) -> None:
        super().__init__(path, split)
        self.readers = (_Listing(path),)

    @classmethod
    def recognises(cls, sample: Sample) -> bool:
        if not sample.path.is_dir():
            return False
        inner = [folder for folder in sample.path.iterdir() if folder.is_dir()]
        return any(kind_of(file.name) for folder in inner for file in folder.iterdir())

    def draft(self, values: Sequence[Any]) -> Draft:
        name = checked(values[0], "name")
        label = " ".join(PurePosixPath(name).parts[0].replace("_", " ").split())
        if not label:
            raise BadRecord(Reason.EMPTY, "the folder's name is no label")
        return Draft((name,), kind_of(name) or "video", name, (label,))

    def media_folders(self) -> list[Path]:
        return [self.path]


class _Listing:
    """The media in a folder's folders as records, in the order of their names; their number stands for the offset."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names = sorted(
            f"{folder.name}/{file.name}"
            for folder in path.iterdir()
            if folder.is_dir()
            for file in folder.iterdir()
            if kind_of(file.name)
        )

    def scan(self) -> Iterator[Raw]:
        for number, name in enumerate(self._names):
            yield Raw("", Place(self.path / name, 0, number + 1), number, 1, name)

    def read(self, offset: int, length: int) -> Any:
        return self._names[offset]
