"""How memory is laid out for the language model: token pairs in time order, with text time marks between them.

    [0 min] pair pair … pair [1 min] pair …            a recording: minutes from its start
    [15:04] pair pair … pair [15:05] pair …            a live camera: the clock of its time zone

Training and answering both use this one function, so that the model meets what it was trained on. It is pure and loads
no model. Appending entries only appends segments, until the marks become too many: then their distance grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from llama_vid.llm.preface import Preface
from llama_vid.memory.entry import MemoryEntry
from llama_vid.tokenizer.pair import TokenPair

#: What the language model reads: the text of a time mark, or one token pair (context token, then motion token); for a
#: model that was tuned to talk, what a conversation begins with.
Segment = str | TokenPair | Preface

#: The most time marks in one layout: one a minute for the hour that 7,200 frame tokens are at one frame a second.
MARKS: Final = 60
#: Minutes from mark to mark, finest first; beyond a day the last one doubles.
STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440)


def layout(
    entries: Sequence[MemoryEntry],
    *,
    zone: tzinfo | None = None,
    marks: int = MARKS,
    preface: Preface | None = None,
) -> list[Segment]:
    """Segments of `entries` (in time order): each one's pair, and before the first of each minute a time mark.

    With a `preface`, that and the pairs behind it, without marks; the preface alone if its model reads no memory.

    `zone` is None for recordings (seconds from 0); for live cameras (UTC epoch seconds) it is the time zone whose clock
    the marks show. If one mark a minute would be more than `marks`, they stand 2, 5, 10, … minutes apart.
    """
    if preface is not None:
        return [preface, *(entry.pair for entry in entries if preface.memory)]
    minutes = _minutes(entries, zone)
    step = _step(minutes, marks)
    segments: list[Segment] = []
    last: int | None = None
    for entry, minute in zip(entries, minutes, strict=True):
        if minute // step != last:
            # The minute of the entry itself: after a gap or a fold the slot's first minute was not seen.
            segments.append(mark_text(entry.start, zone=zone))
            last = minute // step
        segments.append(entry.pair)
    return segments


def mark_text(seconds: float, *, zone: tzinfo | None = None) -> str:
    """The mark of a time: `[12 min]` of a recording, `[15:04]` of a live camera."""
    if zone is None:
        return f"[{int(seconds // 60)} min]"
    return f"[{datetime.fromtimestamp(seconds, UTC).astimezone(zone):%H:%M}]"


def mark_count(segments: Sequence[Segment]) -> int:
    """How many of the segments are time marks."""
    return sum(isinstance(segment, str) for segment in segments)


def same(a: Segment, b: Segment) -> bool:
    """Whether two segments are read alike: equal text, or the very same two tokens."""
    if not (isinstance(a, TokenPair) and isinstance(b, TokenPair)):
        return a == b
    return a is b or (a.context is b.context and a.motion is b.motion)


def _step(minutes: Sequence[int], marks: int) -> int:
    """Minutes from mark to mark: the finest of STEPS that needs at most `marks` marks."""
    if marks < 1:
        raise ValueError("a layout needs room for one time mark at least")
    step, rest = STEPS[0], list(STEPS[1:])
    distinct = set(minutes)
    while len({minute // step for minute in distinct}) > marks:
        step = rest.pop(0) if rest else step * 2
    return step


def _minutes(entries: Sequence[MemoryEntry], zone: tzinfo | None) -> list[int]:
    """The minute in which each entry starts: of local time, so that five-minute marks fall on :00, :05, …"""
    if zone is None:
        return [int(entry.start // 60) for entry in entries]
    offsets: dict[int, float] = {}  # by quarter of an hour: zones change their offset at no finer times
    minutes = []
    for entry in entries:
        quarter = int(entry.start // 900)
        if quarter not in offsets:
            offset = datetime.fromtimestamp(quarter * 900, UTC).astimezone(zone).utcoffset()
            offsets[quarter] = (offset or timedelta(0)).total_seconds()
        minutes.append(int((entry.start + offsets[quarter]) // 60))
    return minutes
