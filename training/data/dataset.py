"""A data set opened: its format recognised, every record checked once, and any record read again by its number."""

from __future__ import annotations

import hashlib
import itertools
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from llama_vid.errors import ConfigError
from training.data.captioned import Coco, Flickr8k, WebVid
from training.data.conversations import Conversations
from training.data.example import BadRecord, Example, Place, Problem, Reason, Summary
from training.data.folders import Clips, Labelled
from training.data.form import Entry, Format, Sample, split_of
from training.data.json_arrays import JsonArrays
from training.data.media import MediaFolder
from training.data.questions import ActivityNetQA, NextQA, VideoChatGPT
from training.data.records import JsonLines, opened

#: In the order in which they are tried: the more particular before the more general.
FORMATS: Final[tuple[type[Format], ...]] = (
    Coco, ActivityNetQA, Conversations, VideoChatGPT, NextQA, WebVid, Clips, Flickr8k, Labelled,
)  # fmt: skip
TRIED: Final = 50  # records whose media say which folder holds the media


class Withheld(Protocol):
    """Media that nothing may be trained on."""

    def holds(self, path: Path) -> bool:
        """Whether this file is one of them."""


class Dataset:
    """The usable records of a data set, by their number in the order of the file.

    Kept are 24 bytes for each part of a record and 16 for the record; texts are read from the file when they are asked
    for. A copy in another process (torch's workers) shares nothing with this one.
    """

    def __init__(self, form: Format, media: Path | None, held_out: Withheld | None = None) -> None:
        self.form = form
        self.summary = Summary(form.path, form.name, form.title)
        self._spans, self._ends = array("q"), array("q")
        self._places = array("q")
        entries = form.entries(self._skip)
        if media is None:
            entries, media = self._looked_for(entries)
        self.media = MediaFolder(media) if media is not None else None
        self.summary.media = media
        seen: set[int] = set()
        for entry in entries:
            self._take(entry, seen, held_out)
        self.summary.problems.sort(key=lambda problem: (problem.place.file, problem.place.line, problem.place.record))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> Example:
        """An example. Raises ConfigError if the file has changed since it was opened, IndexError past the end."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        begin, end = self._ends[number - 1] if number else 0, self._ends[number]
        place = Place(self._file(number), self._places[2 * number], self._places[2 * number + 1])
        try:
            parts = [self._spans[3 * part : 3 * part + 3] for part in range(begin, end)]
            draft = self.form.draft([self.form.readers[which].read(at, size) for which, at, size in parts])
            media = self.media.find(draft.names, draft.kind) if self.media else None
        except (BadRecord, ValueError, OSError, StopIteration) as problem:
            raise ConfigError(f"{place} has changed while it was in use ({problem}); start again") from None
        return Example(place, draft.names[0], media, draft.kind, draft.captions, draft.conversation, draft.span)

    def __iter__(self) -> Iterator[Example]:
        return (self[number] for number in range(len(self)))

    @property
    def fingerprint(self) -> str:
        """Tells whether two openings found the same records in the same places."""
        digest = hashlib.blake2b(self.form.name.encode(), digest_size=8)
        digest.update(self._spans.tobytes() + self._ends.tobytes() + self._places.tobytes())
        return digest.hexdigest()

    def spread(self, limit: int) -> None:
        """Keep at most so many records, evenly spread over the file (whose order often goes by kind)."""
        if limit < len(self):
            kept = np.linspace(0, len(self) - 1, limit).round().astype(int)
            spans, ends, places = array("q"), array("q"), array("q")
            for number in kept.tolist():
                begin, end = self._ends[number - 1] if number else 0, self._ends[number]
                spans += self._spans[3 * begin : 3 * end]
                ends.append(len(spans) // 3)
                places += self._places[2 * number : 2 * number + 2]
            self._spans, self._ends, self._places = spans, ends, places

    def _take(self, entry: Entry, seen: set[int], held_out: Withheld | None) -> None:
        draft = entry.draft
        try:
            key = hash(draft.key)
            if key in seen:
                raise BadRecord(Reason.DUPLICATE, " ".join(draft.key.split())[:80])
            seen.add(key)
            if self.media is not None:
                path = self.media.find(draft.names, draft.kind)
                if path is None:
                    raise BadRecord(Reason.NO_MEDIA, draft.names[0])
                if held_out is not None and held_out.holds(path):
                    raise BadRecord(Reason.HELD_OUT, draft.names[0])
        except BadRecord as problem:
            self._skip(Problem(problem.reason, entry.place, problem.detail))
            return
        self.summary.records += 1
        self.summary.use(draft)
        for span in entry.spans:
            self._spans.extend(span)
        self._ends.append(len(self._spans) // 3)
        self._places.extend((entry.place.line, entry.place.record))

    def _skip(self, problem: Problem) -> None:
        self.summary.records += 1
        self.summary.skip(problem)

    def _looked_for(self, entries: Iterator[Entry]) -> tuple[Iterator[Entry], Path | None]:
        """The folder that holds media of the first records, if one of the usual ones does."""
        first = list(itertools.islice(entries, TRIED))
        for folder in dict.fromkeys(self.form.media_folders()):
            try:
                if folder.is_dir() and any(MediaFolder(folder).find(e.draft.names, e.draft.kind) for e in first):
                    return itertools.chain(first, entries), folder
            except BadRecord:
                continue
        return itertools.chain(first, entries), None

    def _file(self, number: int) -> Path:
        reader = self.form.readers[self._spans[3 * (self._ends[number - 1] if number else 0)]]
        return reader.path


def open_dataset(
    path: Path,
    format: str = "auto",
    media: Path | None = None,
    *,
    split: str | None = None,
    held_out: Withheld | None = None,
) -> Dataset:
    """A data set, every record of it checked; what is wrong with those that cannot be used is in its `summary`.

    `format` is one of FORMATS by name, or "auto": recognised from the file. `media` is the folder with the photos or
    videos; without it the usual places are tried, and if they hold none, examples have texts alone (`media` None).
    `split` asks for a part of a data set that holds several, or a folder's file of that split. Media that `held_out`
    holds are skipped. Raises ConfigError for a file that is missing, damaged, or in none of the formats.
    """
    if not path.exists():
        raise ConfigError(f"there is no data set {path}; give its annotation file or folder")
    if media is not None and not media.is_dir():
        raise ConfigError(f"the media folder {media} of {path} is not there; give the one that holds its files")
    path, kind = _recognised(path, format, split)
    whole = split_of(path) if path.is_file() else None
    if split is not None and whole is not None and whole != split:
        raise ConfigError(f"{path} is the split {whole!r} by its name, not {split!r}; give the file of that split")
    return Dataset(kind(path, split), media, held_out)


def _recognised(path: Path, name: str, split: str | None) -> tuple[Path, type[Format]]:
    if name != "auto":
        for kind in FORMATS:
            if kind.name == name:
                return path, kind
        raise ConfigError(f"there is no format {name!r}; known: auto, {', '.join(kind.name for kind in FORMATS)}")
    match = _matching(path)
    if match is not None and match is not Labelled:
        return path, match
    if not path.is_dir():
        raise ConfigError(f"{path} is in none of the known formats ({', '.join(k.name for k in FORMATS)}); name one")
    files = sorted(file for file in path.iterdir() if file.suffix in (".json", ".jsonl", ".csv", ".tsv"))
    found = {file: form for file in files if not file.stem.endswith("_a") and (form := _matching(file))}
    if split is not None:
        found = {file: one for file, one in found.items() if split_of(file) == split}
    if len(found) == 1:
        return found.popitem()
    if match is not None and not found:
        return path, match  # folders of media, with no list beside them
    if found:
        raise ConfigError(f"{path} holds several data sets: {', '.join(f.name for f in found)}; give one of them")
    raise ConfigError(f"{path} holds no data set{f' of the split {split!r}' if split else ''} in a known format")


def _matching(path: Path) -> type[Format] | None:
    """The format of a file or folder, by what it begins with; None for none of them."""
    sample = _sample(path)
    return next((kind for kind in FORMATS if sample is not None and kind.recognises(sample)), None)


def _sample(path: Path) -> Sample | None:
    if path.is_dir():
        return Sample(path)
    if path.suffix in (".csv", ".tsv", ".txt"):
        with opened(path) as file:
            line = file.readline(1 << 16).decode("utf-8", "replace").strip()
        return Sample(path, tuple(name.strip().strip('"') for name in line.split("\t" if "\t" in line else ",")))
    reader = JsonLines(path) if path.suffix == ".jsonl" else JsonArrays(path)
    for raw in itertools.islice(reader.scan(), 1000):
        # COCO's files begin with the list of licences.
        if isinstance(raw.value, dict) and raw.part in ("", "images", "annotations"):
            return Sample(path, (), raw.part, raw.value)
    return None
