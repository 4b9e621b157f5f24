"""Caption files that grow while somebody speaks: each cue is appended when it is complete, and never changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

from llama_vid.clients.captions.cues import Cue
from llama_vid.clients.captions.hls import HlsCaptions
from llama_vid.clients.captions.srt import srt_block
from llama_vid.clients.captions.vtt import HEADER, cue_block
from llama_vid.errors import ConfigError

SUFFIXES: Final = (".vtt", ".srt", ".json", ".m3u8")


class CaptionFile(Protocol):
    """A file that takes cues in order."""

    def add(self, cue: Cue) -> None: ...

    def close(self) -> None: ...


def open_caption_file(path: Path, origin: float = 0.0) -> CaptionFile:
    """A file for captions by its suffix: `.vtt`, `.srt`, `.json` (words with times) or `.m3u8` (HLS, with segments).

    `origin` is the media second that is 0 in it. Raises ConfigError for another suffix or where nothing can be written.
    """
    check_target(path)
    try:
        if path.suffix == ".vtt":
            return _Growing(path, origin)
        if path.suffix == ".srt":
            return _GrowingSrt(path, origin)
        return _Json(path, origin) if path.suffix == ".json" else _Hls(path, origin)
    except OSError as problem:
        raise ConfigError(f"{path} cannot be written ({problem.strerror}); give another file with -o") from None


def check_target(path: Path) -> None:
    """Refuse what cannot become a caption file. Raises ConfigError."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path.name}: captions are written as .vtt, .srt, .json or .m3u8; give such a name with -o")
    folder = path.parent
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}; make it, or give another file with -o")
    if not os.access(path if path.exists() else folder, os.W_OK) or path.is_dir():
        raise ConfigError(f"{path} cannot be written; give another file with -o")


class _Growing:
    head = HEADER

    def __init__(self, path: Path, origin: float) -> None:
        self._origin, self._count = origin, 0
        self._file: TextIO = path.open("w", encoding="utf-8", newline="\n")
        self._write(self.head)

    def add(self, cue: Cue) -> None:
        self._count += 1
        self._write(self._block(cue))

    def close(self) -> None:
        self._file.close()

    def _block(self, cue: Cue) -> str:
        return cue_block(cue, self._origin)

    def _write(self, text: str) -> None:
        # Whole cues only: whoever reads the file meanwhile sees no half of one.
        self._file.write(text)
        self._file.flush()


class _GrowingSrt(_Growing):
    head = ""

    def _block(self, cue: Cue) -> str:
        return srt_block(self._count, cue, self._origin)


class _Json:
    """One JSON object, written anew with every cue and moved into place, so that it is whole at any time."""

    def __init__(self, path: Path, origin: float) -> None:
        self._path, self._origin = path, origin
        self._cues: list[dict[str, Any]] = []
        self._save()

    def add(self, cue: Cue) -> None:
        self._cues.append(cue_json(cue, self._origin))
        self._save()

    def close(self) -> None:
        self._save()

    def _save(self) -> None:
        _replace(self._path, json.dumps({"cues": self._cues}, ensure_ascii=False, indent=1) + "\n")


class _Hls:
    def __init__(self, path: Path, origin: float) -> None:
        self._path, self._written = path, 0
        self._hls = HlsCaptions(origin, name=path.stem)
        self._save()

    def add(self, cue: Cue) -> None:
        self._hls.add(cue)
        self._save()

    def close(self) -> None:
        self._hls.finish()
        self._save()

    def _save(self) -> None:
        for number in self._hls.segments[self._written :]:
            _replace(self._path.with_name(self._hls.segment_name(number)), self._hls.segment(number))
        self._written = self._hls.segments.stop
        _replace(self._path, self._hls.playlist())


def cue_json(cue: Cue, origin: float = 0.0) -> dict[str, Any]:
    """A cue as JSON knows it, with the time and probability of every word."""
    words = [
        {
            "start": round(word.start - origin, 3),
            "end": round(word.end - origin, 3),
            "text": word.text,
            "probability": round(float(getattr(word, "probability", 1.0)), 3),
        }
        for word in cue.words
    ]
    start, end = round(cue.start - origin, 3), round(cue.end - origin, 3)
    return {"start": start, "end": end, "text": cue.text, "lines": list(cue.lines), "words": words}


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
