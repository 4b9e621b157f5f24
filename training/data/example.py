"""One record of training data whatever its format: a photo or video with captions, or with questions and answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

Kind = Literal["image", "video"]


class Reason(StrEnum):
    """Why a record cannot be used."""

    NOT_UTF8 = "not UTF-8"
    BROKEN = "broken record"
    MISSING_KEY = "missing key"
    WRONG_TYPE = "wrong type"
    EMPTY = "empty text"
    DUPLICATE = "duplicate"
    NOT_AN_OPTION = "answer not among the options"
    UNANSWERED = "question without answer"
    UNASKED = "answer without question"
    TURNS = "turns do not alternate"
    OUTSIDE = "path outside the media folder"
    DANGLING = "refers to nothing"
    # The rest say nothing against the record itself: they are counted, in one line each.
    NO_MEDIA = "media not there"
    TEXT_ONLY = "no photo or video"
    HELD_OUT = "held out for evaluation"


QUIET = frozenset({Reason.NO_MEDIA, Reason.TEXT_ONLY, Reason.HELD_OUT})


class BadRecord(Exception):
    """A record that cannot be used: the reason, and what exactly is wrong. Never leaves this folder."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: the line on which it begins (from 1; 0 in a folder) and its number (from 1)."""

    file: Path
    line: int
    record: int

    def __str__(self) -> str:
        return f"{self.file}{f':{self.line}' if self.line else ''} (record {self.record})"


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer. In multiple choice `options[right]` is the answer; else there are no options."""

    question: str
    answer: str
    options: tuple[str, ...] = ()
    right: int | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What a format reads from a record, before the media are looked for.

    `names` are the file names that the media may have, best first, relative to the media folder; without a suffix any
    of the kind's suffixes will do. `key` tells duplicates: no two records of a data set may share it.
    """

    names: tuple[str, ...]
    kind: Kind
    key: str
    captions: tuple[str, ...] = ()
    conversation: tuple[Turn, ...] = ()
    span: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A photo or video and what is known about it; `media` is None where no media folder was given.

    `span` (seconds from the video's start) is the part that the captions and answers are about, None all of it.
    """

    source: Place
    name: str
    media: Path | None
    kind: Kind
    captions: tuple[str, ...] = ()
    conversation: tuple[Turn, ...] = ()
    span: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A record that was skipped."""

    reason: Reason
    place: Place
    detail: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}: {self.detail}"


#: So many skipped records are kept with their place, for each reason; all are counted.
KEPT = 200


@dataclass(slots=True)
class Summary:
    """What opening a data set found: of the `records` read, `usable` are examples; the others count as skipped."""

    path: Path
    format: str
    title: str
    media: Path | None = None
    records: int = 0
    usable: int = 0
    captions: int = 0
    questions: int = 0
    images: int = 0
    videos: int = 0
    skipped: dict[Reason, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def skip(self, problem: Problem) -> None:
        """Count a record that was skipped."""
        count = self.skipped.get(problem.reason, 0) + 1
        self.skipped[problem.reason] = count
        if count <= (3 if problem.reason in QUIET else KEPT):
            self.problems.append(problem)

    def use(self, draft: Draft) -> None:
        """Count a record that can be used."""
        self.usable += 1
        self.captions += len(draft.captions)
        self.questions += len(draft.conversation)
        if draft.kind == "image":
            self.images += 1
        else:
            self.videos += 1

    @property
    def bad(self) -> int:
        """Records that are wrong in themselves (media that are not there do not count)."""
        return sum(count for reason, count in self.skipped.items() if reason not in QUIET)

    def lines(self, most: int = 20) -> list[str]:
        """For people: what was recognised, what there is, each reason's count, and the first `most` bad records."""
        media = f"media in {self.media}" if self.media else "no media folder: texts only"
        kinds = [f"{n} {name}" for n, name in ((self.images, "of photos"), (self.videos, "of videos")) if n]
        told = [
            f"{self.path}: {self.title} ({self.format}), {media}",
            f"{self.usable} of {self.records} records can be used ({', '.join(kinds) or 'none'}): "
            f"{self.captions} captions, {self.questions} questions",
        ]
        for reason, count in self.skipped.items():
            names = [p.detail for p in self.problems if p.reason is reason] if reason in QUIET else []
            told.append(f"skipped: {count} × {reason}" + (f" ({', '.join(names)}, …)" if names else ""))
        bad = [problem for problem in self.problems if problem.reason not in QUIET]
        told += [str(problem) for problem in bad[:most]]
        if self.bad > most:
            told.append(f"… and {self.bad - most} more")
        return told

    def to_json(self) -> dict[str, Any]:
        """For the training report."""
        return {
            "path": str(self.path),
            "format": self.format,
            "media": str(self.media) if self.media else None,
            "records": self.records,
            "usable": self.usable,
            "captions": self.captions,
            "questions": self.questions,
            "images": self.images,
            "videos": self.videos,
            "skipped": {str(reason): count for reason, count in self.skipped.items()},
            "problems": [str(problem) for problem in self.problems if problem.reason not in QUIET],
        }
