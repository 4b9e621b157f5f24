"""The photos and videos that records name, looked for in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from training.data.example import BadRecord, Kind, Reason

SUFFIXES: Final[dict[Kind, tuple[str, ...]]] = {
    "image": (".jpg", ".jpeg", ".png", ".webp", ".bmp"),
    "video": (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".ts", ".flv", ".gif"),
}
#: Names of features that others have computed from the file of the same name.
_FEATURES: Final = (".pkl", ".npy", ".pt")


def kind_of(name: str) -> Kind | None:
    """What a file is by its suffix."""
    suffix = PurePosixPath(name).suffix.lower()
    return next((kind for kind, suffixes in SUFFIXES.items() if suffix in suffixes), None)


class MediaFolder:
    """A folder of media. Each folder in it is listed once: asking for every file is slow on a shared disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: dict[Path, frozenset[str]] = {}

    def find(self, names: Sequence[str], kind: Kind) -> Path | None:
        """The first of these files that is there, None if none is. Raises BadRecord for a path that leads elsewhere.

        A name without one of the kind's suffixes, or whose file is not there, stands for the file of the same name with
        another of them: data sets are often stored in another container than their lists say.
        """
        for name in names:
            path = PurePosixPath(name.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts or not path.name or "\0" in name:
                raise BadRecord(Reason.OUTSIDE, repr(name))
            folder = self.root / path.parent
            there = self._names(folder)
            known = path.suffix.lower() in (*SUFFIXES[kind], *_FEATURES)
            stem = path.stem if known else path.name
            for candidate in (path.name, *(stem + suffix for suffix in SUFFIXES[kind])):
                if candidate in there and (known or candidate != path.name):
                    return folder / candidate
        return None

    def _names(self, folder: Path) -> frozenset[str]:
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(entry.name for entry in folder.iterdir())
            except OSError:
                self._listed[folder] = frozenset()
        return self._listed[folder]
