"""Small pictures of what cases are about: the frames of a clip at some seconds, or a photo, as JPEG files."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from PIL import Image, UnidentifiedImageError

from evaluation.case import Case
from llama_vid.errors import SourceError
from llama_vid.stream.file import FileSource

logger = logging.getLogger(__name__)

#: The longer side of a picture in pixels, and its JPEG quality: some 8 kB each.
SIDE, QUALITY = 224, 72
#: The most pictures of one case.
SHOWN: Final = 4
PHOTOS: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})


class Frames:
    """A folder of pictures, each named after its clip and second, so that many cases share one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take(self, cases: Iterable[Case]) -> None:
        """Write the pictures of the cases that are not there yet; each clip is decoded once. Bad clips are skipped."""
        wanted: dict[Path, set[int]] = defaultdict(set)
        for case in cases:
            for second in self._seconds(case):
                if not (self.folder / self._name(case.clip, second)).is_file():
                    wanted[case.clip].add(second)
        self.folder.mkdir(parents=True, exist_ok=True)
        for clip, seconds in wanted.items():
            try:
                if clip.suffix.lower() in PHOTOS:
                    with Image.open(clip) as photo:
                        self._write(photo.convert("RGB"), clip, 0)
                else:
                    self._decode(clip, seconds)
            except (OSError, SourceError, UnidentifiedImageError) as problem:
                logger.warning("no pictures of %s: %s", clip.name, problem)

    def of(self, case: Case) -> list[str]:
        """The names of the case's pictures that are there, in time order."""
        names = [self._name(case.clip, second) for second in self._seconds(case)]
        return [name for name in names if (self.folder / name).is_file()]

    def _decode(self, clip: Path, seconds: set[int]) -> None:
        left = set(seconds)
        for frame in FileSource(clip):
            if int(frame.seconds) in left:
                left.discard(int(frame.seconds))
                self._write(Image.fromarray(frame.image), clip, int(frame.seconds))
                if not left:
                    return
        for second in left:  # past the end, or where the film has a gap
            self._write(Image.fromarray(frame.image), clip, second)

    def _write(self, picture: Image.Image, clip: Path, second: int) -> None:
        small = picture.copy()
        small.thumbnail((SIDE, SIDE))
        small.save(self.folder / self._name(clip, second), quality=QUALITY)

    @staticmethod
    def _seconds(case: Case) -> list[int]:
        if case.clip.suffix.lower() in PHOTOS:
            return [0]
        return sorted({max(0, int(second)) for second in case.seconds or (0.0,)})[:SHOWN]

    @staticmethod
    def _name(clip: Path, second: int) -> str:
        return f"{hashlib.sha256(str(clip).encode()).hexdigest()[:10]}-{second}.jpg"
