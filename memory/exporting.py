"""What is kept of a camera over a span of time, as one ZIP file that needs no program of ours to be read.

    about.json       which camera, which span, what the other files hold
    timeline.json    {"spans": [{start, end, caption, motion}]}
    events.json      {"events": [{id, rule, text, start, end, score, verified, frames}]}
    transcript.json  {"lines": [{start, end, text, words}]}
    pictures/2026-11-25/13/1795606200.250.jpg   by day, hour (UTC) and second

All times are seconds of the one clock. The file is written piece by piece, so that a week of pictures takes no memory.
"""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from llama_vid.memory.records import Record, ToldSpan

if TYPE_CHECKING:
    from llama_vid.memory.journal import CameraJournal

#: Everything that was recorded; a camera makes far fewer alerts in a year.
MOST_EVENTS: Final = 1_000_000
#: ZIP knows no earlier years.
FIRST_YEAR: Final = 1980


def exported(
    camera: CameraJournal,
    start: float,
    end: float,
    *,
    spans: Sequence[ToldSpan] | None = None,
    transcript: str = "transcript",
) -> Iterator[bytes]:
    """The pieces of the ZIP file of [start, end), in order.

    `spans` is the timeline where it is known better than by the journal: a running camera's last scenes are not told
    yet. `transcript` is the kind of the records of what was said.
    """
    sink = _Sink()
    count = 0
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        told = camera.told(start, end) if spans is None else spans
        told = [span for span in told if span.end > start and span.start < end]
        events = camera.events(start, end, MOST_EVENTS)
        lines = camera.records(transcript, start, end)
        _put(archive, "timeline.json", {"spans": [_span(span) for span in told]})
        _put(
            archive,
            "events.json",
            {
                "events": [
                    {
                        **{key: getattr(event, key) for key in ("id", "rule", "text", "start", "end", "score")},
                        "verified": event.verified,
                        "frames": list(event.frames),
                    }
                    for event in events
                ]
            },
        )
        _put(archive, "transcript.json", {"lines": [_line(line) for line in lines]})
        yield sink.taken()
        for seconds, jpeg in camera.pictures(start, end):
            at = _moment(seconds)
            archive.writestr(_entry(f"pictures/{at:%Y-%m-%d}/{at:%H}/{seconds:.3f}.jpg", at), jpeg)
            count += 1
            yield sink.taken()
        about = {
            "camera": camera.name,
            "from": _finite(start),
            "to": _finite(end),
            "clock": "UTC epoch seconds; of a recording, seconds from its start",
            "made": round(time.time(), 3),
            "spans": len(told),
            "events": len(events),
            "lines": len(lines),
            "pictures": count,
        }
        _put(archive, "about.json", about)
    yield sink.taken()


class _Sink:
    """Where the archive is written: it cannot seek, and is emptied after every piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Takes the next bytes."""
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""

    def taken(self) -> bytes:
        """What was written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _put(archive: zipfile.ZipFile, name: str, tree: dict[str, Any]) -> None:
    text = json.dumps(tree, ensure_ascii=False, indent=1, allow_nan=False)
    archive.writestr(_entry(name, datetime.now(UTC), zipfile.ZIP_DEFLATED), text.encode())


def _entry(name: str, at: datetime, how: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (max(at.year, FIRST_YEAR), at.month, at.day, at.hour, at.minute, at.second))
    info.compress_type = how
    info.external_attr = 0o600 << 16
    return info


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _finite(seconds: float) -> float | None:
    return seconds if abs(seconds) != float("inf") else None


def _span(span: ToldSpan) -> dict[str, Any]:
    return {"start": span.start, "end": span.end, "caption": span.caption, "motion": round(span.motion, 4)}


def _line(record: Record) -> dict[str, Any]:
    return {"start": record.start, "end": record.end, "text": record.text, **record.data}
