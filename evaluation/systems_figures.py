"""A system's figures from its records: what it saw and cost, and how often it was right, with confidence intervals."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any, Final

from evaluation.judge import judge
from evaluation.meaning import Meaning
from evaluation.systems_record import Record
from evaluation.systems_run import Examined, Question
from evaluation.yesno import first_word

#: The standard normal's quantile for two-sided 95 %.
Z: Final = 1.959964
#: Frames of an hour at one a second.
HOUR: Final = 3600
MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Share:
    """`right` of `n`; `low` and `high` are its 95 % confidence interval after Wilson (1927)."""

    right: int
    n: int

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.right / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval in 0…1; None of nothing."""
        if not self.n:
            return None
        p, square = self.right / self.n, Z * Z / self.n
        middle = (p + square / 2) / (1 + square)
        half = Z / (1 + square) * math.sqrt(p * (1 - p) / self.n + square / (4 * self.n))
        return max(0.0, middle - half), min(1.0, middle + half)

    def to_json(self) -> dict[str, Any]:
        low, high = self.interval or (None, None)
        return {"accuracy": self.value, "n": self.n, "low": low, "high": high}


@dataclass(frozen=True, slots=True)
class SystemFigures:
    """All figures of one system. Accuracies are by question set, `blind` the same without any video, `kinds` by kind of
    clip; seconds are medians; memory is the peak of its process. `failed` names clips that could not be answered (they
    count as wrong), `left` counts clips that were not asked.
    """

    name: str
    label: str
    notes: str
    clips: int
    frames: float | None = None
    frames_most: int | None = None
    tokens_per_frame: float | None = None
    ingest_s: float | None = None
    question_s: Mapping[str, float | None] = field(default_factory=dict)
    rss_mib: float | None = None
    cuda_mib: float | None = None
    right: Mapping[str, Share] = field(default_factory=dict)
    blind: Mapping[str, Share] = field(default_factory=dict)
    kinds: Mapping[str, Mapping[str, Share]] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    left: int = 0

    @property
    def tokens_per_hour(self) -> float | None:
        """Tokens of an hour if each of its 3,600 frames (one a second) took as many as these did."""
        return None if self.tokens_per_frame is None else self.tokens_per_frame * HOUR

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "model": self.label,
            "given": self.notes,
            "clips": self.clips,
            "frames_mean": self.frames,
            "frames_most": self.frames_most,
            "tokens_per_frame": self.tokens_per_frame,
            "tokens_per_hour_at_1_fps": self.tokens_per_hour,
            "ingest_s_per_clip": self.ingest_s,
            "seconds_per_question": dict(self.question_s),
            "peak_rss_mib": self.rss_mib,
            "peak_cuda_mib": self.cuda_mib,
        }
        for name, share in self.right.items():
            blind = self.blind.get(name)
            found[name] = share.to_json() | {
                "blind": blind.to_json() if blind is not None else None,
                "by_kind": {kind: each.to_json() for kind, each in self.kinds[name].items()},
            }
        return found | {"failed": dict(self.failed), "not_asked": self.left}


class Judging:
    """Whether answers are right: yes or no by p(yes) or the first word, free ones by key words and meaning."""

    def __init__(self, meaning: Meaning | None = None) -> None:
        self._meaning = meaning
        self._known: dict[tuple[str, str, str], bool] = {}

    def right(self, question: Question, text: str, probability: float | None = None) -> bool:
        """Whether an answer is right. One that is neither yes nor no is wrong where that was asked."""
        if question.asked == "yesno":
            said = first_word(text) if probability is None else probability >= 0.5
            return said is not None and said == (question.wanted == "yes")
        key = (question.text, question.wanted, text)
        if key not in self._known:
            self._meaning = self._meaning or Meaning()
            self._known[key] = judge(*key, self._meaning).right
        return self._known[key]


def figures(
    name: str, label: str, notes: str, clips: Sequence[Examined], found: Mapping[str, Record], judging: Judging
) -> SystemFigures:
    """The figures of a system's records (by clip; "" is without video) over the clips of the comparison."""
    there = [(each, found[each.clip.path.name]) for each in clips if each.clip.path.name in found]
    taken = [record for _, record in there if not record.failed]
    rights: dict[str, list[tuple[str, bool]]] = {}
    for each, record in there:
        for question in each.questions:
            said = record.of_question(question.asked, question.text)
            right = said is not None and judging.right(question, said.text, said.probability)
            rights.setdefault(question.asked, []).append((each.clip.kind, right))
    counted = [record for record in taken if record.tokens is not None and record.frames]
    frames = sum(record.frames for record in counted)
    return SystemFigures(
        name,
        label,
        notes,
        len(there),
        frames=fmean(record.frames for record in taken) if taken else None,
        frames_most=max((record.frames for record in taken), default=None),
        tokens_per_frame=sum(record.tokens or 0 for record in counted) / frames if frames else None,
        ingest_s=median(record.ingest_s for record in taken) if taken else None,
        question_s={asked: _median_seconds(taken, asked) for asked in rights},
        rss_mib=max((record.rss for record in taken), default=0) / MIB or None,
        cuda_mib=max((record.cuda for record in taken if record.cuda is not None), default=0) / MIB or None,
        right={asked: _share(right for _, right in pairs) for asked, pairs in rights.items()},
        blind=_blind([each for each, _ in there], found.get(""), judging),
        kinds={asked: _by_kind(pairs) for asked, pairs in rights.items()},
        failed={record.clip: record.failed for _, record in there if record.failed},
        left=len(clips) - len(there),
    )


def _blind(clips: Sequence[Examined], record: Record | None, judging: Judging) -> dict[str, Share]:
    """The same questions answered without any video."""
    rights: dict[str, list[bool]] = {}
    for each in clips if record is not None else ():
        for question in each.questions:
            said = record.of_question(question.asked, question.text) if record is not None else None
            if said is not None:
                right = judging.right(question, said.text, said.probability)
                rights.setdefault(question.asked, []).append(right)
    return {asked: _share(found) for asked, found in rights.items()}


def _by_kind(pairs: Sequence[tuple[str, bool]]) -> dict[str, Share]:
    groups: dict[str, list[bool]] = defaultdict(list)
    for kind, right in pairs:
        groups[kind].append(right)
    return {kind: _share(found) for kind, found in sorted(groups.items())}


def _share(right: Any) -> Share:
    found = list(right)
    return Share(sum(found), len(found))


def _median_seconds(records: Sequence[Record], asked: str) -> float | None:
    seconds = [said.seconds for record in records for said in record.said if said.asked == asked]
    return median(seconds) if seconds else None
