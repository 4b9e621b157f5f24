"""What nothing is ever trained on: evaluation clips, Flickr8k's photos outside `train`, COCO's captioned photos.

Media are compared by content, so that a copy under another name is found too: a file is one of them if it is as long as
one of them and has its SHA-256. What is trained on is opened through here (`spec.opened_specs`), and
tests/training/test_held_out.py holds the lists that training reads against these.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from llama_vid.errors import ConfigError
from training.data.media import kind_of

#: Of COCO's captioned photos (2017 val) this one lies among the unlabelled ones (2014 train) too, smaller and under
#: another name, so that it is trained on, without its captions. Results on the captioned photos leave it out.
TRAINED_ON: Final = frozenset({"000000000790.jpg"})


class HeldOut:
    """Files that nothing may be trained on."""

    def __init__(self, files: Iterable[Path]) -> None:
        self.files = {file: file.stat().st_size for file in files if file.is_file()}
        self._sizes = frozenset(self.files.values())
        self._hashes: dict[int, frozenset[str]] = {}

    def holds(self, path: Path) -> bool:
        """Whether a file is one of them, or a copy of one. Files of other lengths are not read."""
        try:
            size = path.stat().st_size
        except OSError:
            return False
        if size not in self._sizes:
            return False
        if size not in self._hashes:
            # Only those of this length: most are never compared with anything.
            same = [file for file, length in self.files.items() if length == size]
            self._hashes[size] = frozenset(content(file) for file in same)
        return content(path) in self._hashes[size]


def held_out(data: Path | None) -> HeldOut:
    """What a data folder holds for evaluation (nothing without one). Raises ConfigError for a list it cannot read."""
    return HeldOut(evaluation_media(data) if data is not None else ())


def evaluation_media(data: Path) -> Iterator[Path]:
    """The files in a data folder that are for evaluation alone."""
    clips = data / "clips" / "clips.jsonl"
    if clips.is_file():
        for number, line in enumerate(clips.read_text("utf-8").splitlines(), 1):
            if line.strip():
                try:
                    yield clips.parent / str(json.loads(line)["file"])
                except (ValueError, KeyError, TypeError):
                    raise ConfigError(f"{clips}:{number}: not a JSON object with a file; mend it") from None
    # Also clips that no list names yet.
    yield from (file for file in sorted(clips.parent.glob("*")) if kind_of(file.name))
    yield from (data / "flickr8k" / "photos" / name for name in flickr8k_names(data / "flickr8k", train=False))
    yield from sorted((data / "coco" / "photos").glob("*"))


def flickr8k_names(folder: Path, *, train: bool) -> list[str]:
    """The names of Flickr8k's training photos, or of all others. Raises ConfigError for a damaged list."""
    file = folder / "captions.tsv"
    if not file.is_file():
        return []
    found: dict[str, bool] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), 2):
            if not row.get("image") or "split" not in row:
                raise ConfigError(f"{file}:{number}: needs an image and its split; mend it")
            found[row["image"]] = row["split"] == "train"
    return [name for name, is_train in found.items() if is_train is train]


def captioned_photos(coco: Path) -> list[Path]:
    """COCO's captioned photos that nothing has been trained on: those that results may be reported on."""
    return [file for file in sorted((coco / "photos").glob("*.jpg")) if file.name not in TRAINED_ON]


def content(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
