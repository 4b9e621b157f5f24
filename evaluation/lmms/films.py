"""What a task shows (a video, several, a folder of frames, pictures) as one film, kept open between its questions."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from llama_vid.errors import SourceError
from llama_vid.stream.file import FileSource
from llama_vid.stream.frame import Frame

if TYPE_CHECKING:
    from llama_vid.bundle import Bundle
    from llama_vid.film import Film
    from llama_vid.llm.responder import Responder
    from llama_vid.model import LLaMAVID

#: Films kept open. The questions about one video mostly follow one another, and are put in order where they do not.
KEPT: Final = 16
PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


class Films:
    """A loaded model whose `open` takes the keys that `key` hands out, and keeps what it opened last.

    `fps` frames a second are taken of videos; folders of frames hold `folder_fps` a second, lists of pictures one.
    Not thread-safe.
    """

    def __init__(self, model: LLaMAVID, *, fps: float = 1.0, folder_fps: float = 3.0, kept: int = KEPT) -> None:
        self._model = model
        self._fps, self._folder_fps, self._kept = fps, folder_fps, kept
        self._shown: OrderedDict[str, list[Any]] = OrderedDict()
        self._films: OrderedDict[str, Film] = OrderedDict()

    @property
    def bundle(self) -> Bundle:
        """The model's bundle."""
        return self._model.bundle

    @property
    def responder(self) -> Responder:
        """The model's responder."""
        return self._model.responder

    def key(self, visuals: Sequence[Any]) -> str:
        """A short name of what is shown, the same for the same; "" for nothing. Raises SourceError for what cannot be
        shown.
        """
        shown = [fspath(item) if isinstance(item, PathLike) else item for item in visuals]
        if not shown:
            return ""
        if len(shown) == 1 and isinstance(shown[0], str):
            key = shown[0]
        else:
            digest = hashlib.sha256()
            for item in shown:
                digest.update(item.encode() if isinstance(item, str) else _pixels(item).tobytes())
            key = f"pictures-{digest.hexdigest()[:16]}"
        self._shown[key] = shown
        self._shown.move_to_end(key)
        while len(self._shown) > self._kept:
            self._shown.popitem(last=False)
        return key

    def open(self, path: str, /, *, last_frame_only: bool = False) -> Film:
        """The film of a key. Raises SourceError if it does not decode."""
        if last_frame_only:
            raise ValueError("a benchmark is asked about the whole film")
        film = self._films.get(path)
        if film is None:
            film = self._films[path] = self._opened(path)
            while len(self._films) > self._kept:
                self._films.popitem(last=False)
        self._films.move_to_end(path)
        return film

    def _opened(self, key: str) -> Film:
        shown = self._shown.get(key, [key])
        if len(shown) == 1 and isinstance(shown[0], str) and not _is_picture(shown[0]):
            file = Path(shown[0])
            if not file.is_dir():
                return self._model.open(shown[0], fps=self._fps)
        return self._model.take(list(self._frames(shown)), name=key)

    def _frames(self, shown: Sequence[Any]) -> Iterator[Frame]:
        """The frames of what is shown, one after another; time goes on, and a gap parts videos."""
        begin = 0.0
        for number, item in enumerate(shown):
            if isinstance(item, str) and not _is_picture(item):
                pace = self._folder_fps if Path(item).is_dir() else self._fps
                images = (
                    _of_folder(Path(item)) if Path(item).is_dir() else (f.image for f in FileSource(item, fps=pace))
                )
                gap = number > 0
            else:
                pace, images, gap = 1.0, iter([_pixels(item)]), False
            count = 0
            for image in images:
                yield Frame(begin + count / pace, image, gap=gap and count == 0)
                count += 1
            begin += count / pace


def _is_picture(path: str) -> bool:
    return Path(path).suffix.lower() in PICTURES


def _of_folder(folder: Path) -> Iterator[np.ndarray[Any, np.dtype[np.uint8]]]:
    """The pictures of a folder in the order of the numbers in their names."""
    files = [file for file in folder.iterdir() if file.suffix.lower() in PICTURES]
    if not files:
        raise SourceError(f"{folder} holds no pictures ({', '.join(sorted(PICTURES))})")
    files.sort(key=lambda file: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)])
    return (_pixels(str(file)) for file in files)


def _pixels(picture: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """RGB (H, W, 3) of a file, a PIL picture or an array of it."""
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise SourceError(f"a picture is (H, W, 3) of uint8, not {picture.shape} of {picture.dtype}")
        return picture
    if isinstance(picture, Image.Image):
        return np.asarray(picture.convert("RGB"))
    if isinstance(picture, str):
        try:
            with Image.open(picture) as opened:
                return np.asarray(opened.convert("RGB"))
        except OSError as problem:
            raise SourceError(f"{picture} is no picture: {problem}") from None
    raise SourceError(f"{type(picture).__name__} cannot be shown; give videos, folders of frames, or pictures")
