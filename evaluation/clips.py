"""Question sets over clips: a folder with `clips.jsonl`, the videos it names, and question files beside it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_vid.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Clip:
    """A video with its number in the set, its length in seconds and a one-sentence caption.

    `kind` is what sort of video it is (film, people, sport, …); `asked` holds (question, answer) pairs about it.
    """

    index: int
    path: Path
    seconds: float
    caption: str
    kind: str = ""
    asked: tuple[tuple[str, str], ...] = ()

    @property
    def moments(self) -> tuple[float, float, float]:
        """Three times, evenly spread, whose frames show what the clip is about."""
        return (self.seconds / 6, self.seconds / 2, self.seconds * 5 / 6)


@dataclass(frozen=True, slots=True)
class YesNo:
    """A question about a clip whose right answer is yes (`answer` True) or no; `concept` groups questions."""

    clip: Clip
    concept: str
    question: str
    answer: bool


def by_clip(clips: Iterable[Clip]) -> dict[Clip, list[int]]:
    """Each clip with the places at which it stands: what is asked of it can be asked at once."""
    places: dict[Clip, list[int]] = defaultdict(list)
    for place, clip in enumerate(clips):
        places[clip].append(place)
    return places


def read_lines(path: Path) -> list[dict[str, Any]]:
    """A JSON-lines file. Raises ConfigError that names the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        raise ConfigError(
            f"{path} cannot be read ({problem.strerror}); give the folder that holds {path.name}"
        ) from None
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as problem:
            raise ConfigError(f"{path}:{number}: not JSON: {problem.msg}") from None
        if not isinstance(value, dict):
            raise ConfigError(f"{path}:{number}: each line must be one JSON object")
        found.append(value)
    return found


def read_clips(folder: Path) -> list[Clip]:
    """The clips of a folder, in the order of `clips.jsonl`. Raises ConfigError."""
    clips = []
    source = folder / "clips.jsonl"
    for number, row in enumerate(read_lines(source), 1):
        try:
            clip = Clip(
                int(row["index"]),
                folder / str(row["file"]),
                float(row["seconds"]),
                str(row["caption"]),
                str(row.get("kind", "")),
                tuple((str(pair["q"]), str(pair["a"])) for pair in row.get("qa", ())),
            )
        except (KeyError, TypeError, ValueError) as problem:
            raise ConfigError(f"{source}:{number}: needs index, file, seconds and caption ({problem})") from None
        if not clip.path.is_file():
            raise ConfigError(f"{source}:{number}: there is no file {clip.path.name} beside it")
        clips.append(clip)
    if not clips:
        raise ConfigError(f"{source} names no clips")
    return clips


def read_yesno(folder: Path) -> list[YesNo]:
    """The questions of `yesno.jsonl`, with their clips. Raises ConfigError."""
    clips = {clip.path.name: clip for clip in read_clips(folder)}
    source = folder / "yesno.jsonl"
    questions = []
    for number, row in enumerate(read_lines(source), 1):
        answer = str(row.get("answer", "")).lower()
        clip = clips.get(str(row.get("file")))
        if clip is None or answer not in ("yes", "no") or not row.get("question"):
            raise ConfigError(f"{source}:{number}: needs a file of clips.jsonl, a question, and the answer yes or no")
        questions.append(YesNo(clip, str(row.get("concept", "")), str(row["question"]), answer == "yes"))
    return questions
