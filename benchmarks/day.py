"""A day in memory: 86,400 frames of a quiet camera with an event for every clip, and what can be asked about it then.

    llama-vid bench day                 (or: python -m benchmarks.day)

Frames are made (`quiet_camera.py`) and go through the program as a camera's do: glance, image tower where something
changed, compressor, bank, KV cache, told scenes, journal. Then each clip's yes/no questions are asked about its seconds
of the day, and the same questions about the clip alone. Beside it, in the same run: a memory of the same budget spent
evenly, one frame every 24 seconds. Without LLAMA_VID_DATA the sample films are the events, and nothing is asked.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from benchmarks.processes import resident_mb
from benchmarks.quiet_camera import EVENT_SECONDS, Event, Picture, QuietCamera, empty_scene, planned
from benchmarks.samples import sample_film
from evaluation.clips import YesNo, read_yesno
from evaluation.run import data_folder
from llama_vid.chronicle import Chronicle
from llama_vid.film import Watching
from llama_vid.memory.journal import Journal
from llama_vid.model import LLaMAVID
from llama_vid.recorder import BATCH, Recorder
from llama_vid.stream.file import FileSource
from llama_vid.stream.frame import Frame

SECONDS: Final = 86_400
HOUR: Final = 6.0  # the simulated day begins at six in the morning
BEGIN: Final = datetime(2026, 3, 2, 6, tzinfo=UTC).timestamp()
EMPTY: Final = "21_sample-videos_people-detection.mp4"  # a room that people walk through: its median is empty
THINNED: Final = 24  # seconds a frame, for a day in 3,600 frames
READ_FRAMES: Final = 64  # frames after which the KV cache follows
FLUSH_FRAMES: Final = 256  # frames after which the journal, whose queue is bounded, may catch up
CONTEXT: Final = 8192


@dataclass(frozen=True, slots=True)
class Asked:
    """Shares of yes/no questions answered right: about the minute of the day, the clip alone, the thinned memory."""

    questions: int
    day: float
    alone: float
    thinned: float


@dataclass(frozen=True, slots=True)
class Day:
    """A day's figures: counts, seconds, megabytes of the process and of its KV cache (after an hour and after the day),
    and what was asked.
    """

    frames: int
    events: int
    entries: int
    tokens: int
    encoded: int
    consolidations: int
    watch_s: float
    resident_mb: tuple[float, float]
    cached_mb: tuple[float, float]
    rebuild_s: float
    restore_s: float
    journal_mb: float
    thinned_entries: int
    asked: Asked | None

    def to_json(self) -> dict[str, Any]:
        asked = self.asked
        return {
            "name": "day",
            "n": asked.questions if asked is not None else 0,
            "frames": self.frames,
            "events": self.events,
            "entries": self.entries,
            "tokens": self.tokens,
            "context": CONTEXT,
            "fits": self.tokens <= CONTEXT,
            "tower_frames": self.encoded,
            "consolidations": self.consolidations,
            "watch_s": self.watch_s,
            "resident_hour_1_mb": self.resident_mb[0],
            "resident_hour_24_mb": self.resident_mb[1],
            "resident_growth_mb": self.resident_mb[1] - self.resident_mb[0],
            "kv_cache_growth_mb": self.cached_mb[1] - self.cached_mb[0],
            "rebuild_s": self.rebuild_s,
            "restore_s": self.restore_s,
            "journal_mb": self.journal_mb,
            "right_about_the_day": asked.day if asked is not None else None,
            "baselines": {
                "right_about_the_clip_alone": asked.alone if asked is not None else None,
                "right_with_one_frame_in_24_s": asked.thinned if asked is not None else None,
                "tokens_at_two_a_frame": 2 * self.frames,
                "tokens_with_one_frame_in_24_s": 2 * self.thinned_entries,
            },
        }


def measure(runs: int | None = None, *, seconds: int = SECONDS, clips: int | None = None) -> Day:
    """One day; `runs` is not used. `seconds` and `clips` make a shorter one."""
    questions, paths = _material(clips)
    data = data_folder()
    scene = empty_scene(data / "clips" / EMPTY if data is not None else sample_film("carphone_pristine.mp4"))
    events = planned(paths, seconds)
    camera = QuietCamera(scene, events, hour=HOUR)
    model = LLaMAVID.from_pretrained("mini", zone=UTC, context_tokens=CONTEXT)
    with tempfile.TemporaryDirectory(prefix="llama-vid-day-") as place, closing(Journal(Path(place))) as journal:
        started = time.perf_counter()
        day = _Memory(model, journal)
        hours: list[tuple[float, float]] = []  # resident and KV cache, after the first hour and at the end
        for second, frame in enumerate(camera.frames(0, seconds)):
            day.see(second, frame)
            if second + 1 in (min(3600, seconds), seconds):
                day.settle()
                gc.collect()
                hours.append((resident_mb(), day.watching.memory.cached_bytes / 1e6))
        watch_s = time.perf_counter() - started
        thin = _Memory(model)
        for second in range(0, seconds, THINNED):
            thin.see(second, camera.frame(second))
        thin.settle()
        asked = _asked(model, day.watching, thin.watching, events, questions) if questions else None
        day.watching.context.release()
        rebuild_s = _seconds(day.read)
        journal.flush(60)
        again = Recorder(model.bundle, journal=journal.camera("day"))
        restore_s = _seconds(again.restore)
        bank = day.recorder.bank
        return Day(
            frames=bank.frames,
            events=len(events),
            entries=len(bank),
            tokens=bank.tokens,
            encoded=day.encoded,
            consolidations=bank.version,
            watch_s=watch_s,
            resident_mb=(hours[0][0], hours[-1][0]),
            cached_mb=(hours[0][1], hours[-1][1]),
            rebuild_s=rebuild_s,
            restore_s=restore_s,
            journal_mb=journal.state.bytes / 1e6,
            thinned_entries=len(thin.recorder.bank),
            asked=asked,
        )


class _Memory:
    """One memory of the day, with all that a camera's session does for its own. `encoded` counts the tower's frames."""

    def __init__(self, model: LLaMAVID, journal: Journal | None = None) -> None:
        kept = journal.camera("day") if journal is not None else None
        self.recorder = Recorder(model.bundle, context_tokens=CONTEXT, journal=kept)
        self.watching = Watching(self.recorder, UTC)
        self.encoded = 0
        self._journal = journal
        self._chronicle = Chronicle(self.recorder.bank, model.responder.find, kept)
        self._tower = model.bundle.tower
        self._waiting: list[Frame] = []
        self._seen = 0

    def see(self, second: int, frame: Picture) -> None:
        """Take a frame in, with others as far as they come together; the KV cache and the chronicle follow."""
        self._waiting.append(Frame(BEGIN + second, frame))
        self._seen += 1
        if len(self._waiting) == BATCH:
            self._take()
        if self._seen % READ_FRAMES == 0:
            self.read()
            for _ in self._chronicle.telling():
                pass
        if self._journal is not None and self._seen % FLUSH_FRAMES == 0:
            self._journal.flush(60)

    def settle(self) -> None:
        """Everything that waits is done."""
        self._take()
        self.read()
        if self._journal is not None:
            self._journal.flush(60)

    def read(self) -> None:
        """The KV cache holds the memory."""
        self.watching.context.sync(self.recorder.bank.entries)

    def _take(self) -> None:
        if not self._waiting:
            return
        glance = self.recorder.look(self._waiting)
        self.encoded += len(glance.pixels)
        self.recorder.take(glance, self._tower.encode_pixels(glance.pixels) if len(glance.pixels) else None)
        self._waiting = []


def _material(clips: int | None) -> tuple[list[YesNo], list[Path]]:
    """The questions and the clips that they are about; the sample films without questions where there is no data."""
    data = data_folder()
    if data is None:
        return [], [sample_film(name) for name in ("bikes.mp4", "bigbuckbunny.mp4")]
    questions = read_yesno(data / "clips")
    paths = list(dict.fromkeys(question.clip.path for question in questions))[:clips]
    return [question for question in questions if question.clip.path in paths], paths


def _asked(model: LLaMAVID, day: Watching, thin: Watching, events: list[Event], questions: list[YesNo]) -> Asked:
    right = {"day": 0, "alone": 0, "thinned": 0}
    by_path = {event.path: event for event in events}
    films: dict[Path, Watching] = {}
    for question in questions:
        event = by_path[question.clip.path]
        if event.path not in films:
            films = {event.path: _film(model, event.path)}
        when = _when(event, day.recorder.end)
        timed = f"{question.question.rstrip('?')} {when}?"
        wanted = "yes" if question.answer else "no"
        right["day"] += _first_word(model, timed, day) == wanted
        right["thinned"] += _first_word(model, timed, thin) == wanted
        right["alone"] += _first_word(model, question.question, films[event.path]) == wanted
    count = len(questions)
    return Asked(count, right["day"] / count, right["alone"] / count, right["thinned"] / count)


def _film(model: LLaMAVID, path: Path) -> Watching:
    recorder = Recorder(model.bundle)
    recorder.add(list(islice(FileSource(path), EVENT_SECONDS)))
    return Watching(recorder)


def _when(event: Event, now: float) -> str:
    """The event's time in words, as a person would ask for it."""
    first, last = (datetime.fromtimestamp(BEGIN + at, UTC) for at in (event.start, event.end))
    day = "yesterday " if first.date() < datetime.fromtimestamp(now, UTC).date() else ""
    return f"{day}between {first:%H:%M:%S} and {last:%H:%M:%S}"


def _first_word(model: LLaMAVID, question: str, watching: Watching) -> str:
    """The first word of the answer, in lower case."""
    said = ""
    pieces = model.responder.respond(question, watching)
    for piece in pieces:
        said += piece.delta
        if said.strip():
            break
    close = getattr(pieces, "close", None)
    if close is not None:
        close()
    return said.strip().split(maxsplit=1)[0].strip(".,:").lower() if said.strip() else ""


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    from evaluation.report import print_table

    print_table(measure())
