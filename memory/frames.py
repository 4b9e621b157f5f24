"""Kept pictures as files: <folder>/frames/<camera>/<YYYY-MM-DD>/<HH>/<seconds>.jpg, days and hours in UTC.

The name follows from camera and time, so the database needs no paths and pictures can be found again without it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FoundPicture:
    """A picture file: whose, of which second, how large, and when it was written (epoch seconds)."""

    camera: str
    seconds: float
    bytes: int
    written: float


class FrameFiles:
    """The picture files of all cameras under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, camera: str, seconds: float) -> Path:
        """Where the picture of a time lies; times are told apart by milliseconds."""
        at = _EPOCH + timedelta(milliseconds=round(seconds * 1000))
        return self.folder / camera / f"{at:%Y-%m-%d}" / f"{at:%H}" / f"{to_ms(seconds):.3f}.jpg"

    def write(self, camera: str, seconds: float, jpeg: bytes) -> None:
        """Keep a picture: a name is either absent or holds the whole file. Raises OSError."""
        path = self.path(camera, seconds)
        part = path.with_suffix(".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(jpeg)
            os.replace(part, path)
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise

    def read(self, camera: str, seconds: float, size: int) -> bytes | None:
        """A kept picture, or None if it is gone or not `size` bytes long (a power cut may leave such)."""
        try:
            jpeg = self.path(camera, seconds).read_bytes()
        except OSError:
            return None
        return jpeg if len(jpeg) == size else None

    def delete(self, camera: str, seconds: float) -> None:
        """Remove a picture if it is there. Raises OSError."""
        self.path(camera, seconds).unlink(missing_ok=True)

    def remove(self, camera: str, start: float, end: float) -> int:
        """Remove every picture of [start, end), also those that no index knows, and folders that are empty then;
        gives how many there were. Raises OSError.
        """
        count = 0
        folder = self.folder / camera
        for day in _folders(folder):
            for hour in _folders(day):
                if not _may_hold(day.name, hour.name, start, end):
                    continue
                for file in _files(hour):
                    try:
                        seconds = float(file.name.removesuffix(file.suffix))
                    except ValueError:
                        continue
                    if file.suffix in (".jpg", ".part") and start <= seconds < end:
                        file.unlink(missing_ok=True)
                        count += file.suffix == ".jpg"
                with suppress(OSError):  # not empty
                    hour.rmdir()
            with suppress(OSError):
                day.rmdir()
        with suppress(OSError):
            folder.rmdir()
        return count

    def found(self, *, ends_only: bool) -> Iterator[FoundPicture]:
        """The pictures on disk; unfinished ones are removed on the way.

        With `ends_only` those of each camera's first and last hour, where a killed process was deleting and writing.
        """
        for camera in _folders(self.folder):
            hours = [hour for day in _folders(camera) for hour in _folders(day)]
            for hour in dict.fromkeys((*hours[:1], *hours[-1:])) if ends_only else hours:
                for file in _files(hour):
                    if file.suffix == ".part":
                        with suppress(OSError):
                            file.unlink()
                    with suppress(ValueError, OverflowError, OSError):
                        seconds, stat = float(file.stem), file.stat()
                        if stat.st_size and self.path(camera.name, seconds) == file:
                            yield FoundPicture(camera.name, seconds, stat.st_size, stat.st_mtime)

    def prune(self, camera: str, seconds: float) -> None:
        """Remove the hour's folder of a time, which no picture is known of any more, and its day's if that was all."""
        hour = self.path(camera, seconds).parent
        with suppress(OSError):
            for file in hour.iterdir():
                if file.suffix in (".jpg", ".part"):
                    file.unlink(missing_ok=True)
        for folder in (hour, hour.parent, hour.parent.parent):
            try:
                folder.rmdir()
            except OSError:
                return

    def hour(self, seconds: float) -> tuple[float, float]:
        """The hour [from, to) whose folder holds the picture of a time, in seconds."""
        start = round(seconds * 1000) // 3_600_000 * 3600.0
        return start, start + 3600.0


def to_ms(seconds: float) -> float:
    """A time rounded to milliseconds, as pictures are told apart."""
    return round(seconds * 1000) / 1000


def _may_hold(day: str, hour: str, start: float, end: float) -> bool:
    """Whether an hour's folder may hold pictures of [start, end); one with a foreign name is looked into."""
    try:
        begins = datetime.fromisoformat(f"{day}T{hour}:00:00+00:00").timestamp()
    except ValueError:
        return True
    return begins - 1 < end and begins + 3601 > start


def _files(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing if it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, by name; none if it cannot be read."""
    return [entry for entry in _files(folder) if entry.is_dir()]
