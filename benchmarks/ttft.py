"""Time to the first token after 1, 10, 60 and 240 minutes watched, and for 1, 8 and 32 askers after an hour.

    llama-vid bench ttft                (or: python -m benchmarks.ttft)

Measured, for each number of minutes: a camera's journal is filled with that many minutes of real pictures at one frame
a second (`filling.py`); then a model watches the camera, which takes its memory up again from the journal, as after a
restart. `cold_s` is the first question, put at once: the language model has read nothing yet and reads all of memory
for it. `first_token_s` is the median over the questions after it, each about something else. All are of the kind
"what", whose first text is the language model's own first token; the time is taken by the asker, from the call to that
text. The camera stands still meanwhile, but for `going_on`: there it gives a frame a second behind the questions.

The floor is the same after one second watched: what a question costs when there is nothing to remember. The peer of
many askers at once is the same number served one after another, in the same run.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeVar

from benchmarks.asking import Asked, ask, ask_at_once, ask_in_turn, percentile
from benchmarks.filling import Features, fill
from benchmarks.pictures import Picture, scenes, shuffled
from benchmarks.questions import open_questions
from benchmarks.reel import Reel
from llama_vid.bundle import Bundle, load_bundle
from llama_vid.memory.journal import Journal
from llama_vid.model import LLaMAVID

T = TypeVar("T")

RUNS: Final = 5
MINUTES: Final = (1, 10, 60, 240)
ASKERS: Final = (1, 8, 32)
CROWD_AFTER: Final = 60  # minutes watched when the many ask
SCENES: Final = 60
GOALS: Final = {
    "240_by_60": 1.1,
    "60_by_1": 2.0,
    "first_token_s_after_60": 0.5,
    "p95_s_of_32": 3.0,
    "times_better_p95_of_32": 3.0,
}


@dataclass(frozen=True, slots=True)
class Watched:
    """What was measured after `frames` seconds; times in seconds, `first_s` and `own_s` of each warm question."""

    frames: int
    entries: int
    fill_s: float
    restore: str
    cold_s: float
    first_s: tuple[float, ...]
    own_s: tuple[float, ...]
    whole_s: tuple[float, ...]
    cached_bytes: int
    going_on_s: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "first_token_s": median(self.first_s),
            "slowest_s": max(self.first_s),
            "by_its_own_clock_s": median(self.own_s),
            "whole_answer_s": median(self.whole_s),
            "cold_s": self.cold_s,
            "entries": self.entries,
            "cached_mb": self.cached_bytes / 1e6,
            "restored": self.restore,
        }
        if self.going_on_s:
            found["going_on"] = {"first_s": self.going_on_s[0], "median_s": median(self.going_on_s)}
        return found


@dataclass(frozen=True, slots=True)
class Crowd:
    """Seconds to the first token of each of `len(at_once)` askers, together and one after another."""

    at_once: tuple[float, ...]
    in_turn: tuple[float, ...]
    all_answered_s: float
    all_answered_in_turn_s: float

    def to_json(self) -> dict[str, Any]:
        return {
            "p50_s": percentile(self.at_once, 0.5),
            "p95_s": percentile(self.at_once, 0.95),
            "all_answered_s": self.all_answered_s,
            "one_after_another": {
                "p50_s": percentile(self.in_turn, 0.5),
                "p95_s": percentile(self.in_turn, 0.95),
                "all_answered_s": self.all_answered_in_turn_s,
            },
            "times_better_p95": percentile(self.in_turn, 0.95) / percentile(self.at_once, 0.95),
        }


@dataclass(frozen=True, slots=True)
class TimeToFirstToken:
    """By minutes watched, and by askers after `crowd_after` minutes; `floor` is after one second."""

    watched: dict[int, Watched]
    crowds: dict[int, Crowd]
    crowd_after: int
    floor: Watched
    goals: dict[str, float] = field(default_factory=lambda: dict(GOALS))

    def ratio(self, one: int, other: int) -> float | None:
        """Median of `one` minutes over that of `other`; None where either was not measured."""
        if one not in self.watched or other not in self.watched:
            return None
        return median(self.watched[one].first_s) / median(self.watched[other].first_s)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": "ttft",
            "n": len(self.floor.first_s),
            "minutes": {str(minutes): row.to_json() for minutes, row in self.watched.items()},
            "240_by_60": self.ratio(240, 60),
            "60_by_1": self.ratio(60, 1),
            "askers_after_min": self.crowd_after,
            "askers": {str(number): crowd.to_json() for number, crowd in self.crowds.items()},
            "goals": self.goals,
            "floor": {"after_1_s": self.floor.to_json()},
        }


class _Bench:
    """One run: a model with a journal, and pictures and questions that are not used up."""

    def __init__(self, bundle: Bundle, journal: Journal, found: Sequence[Sequence[Picture]], runs: int) -> None:
        self._bundle, self._journal, self._runs = bundle, journal, runs
        self._model = LLaMAVID(bundle, journal=journal)
        self._features = Features(bundle.tower)
        self._found = found
        self._questions = open_questions()

    async def watched(self, frames: int, askers: Sequence[int], *, going_on: bool) -> tuple[Watched, dict[int, Crowd]]:
        """Fill a camera with `frames` seconds, watch it, and ask."""
        name = f"camera-{frames}"
        began = time.perf_counter()
        start = time.time() - frames
        entries = fill(self._bundle, self._journal, name, self._pictures(), self._features, start=start, frames=frames)
        fill_s = time.perf_counter() - began
        reel = Reel(self._pictures())
        crowds: dict[int, Crowd] = {}
        async with self._model.watch(reel, name=name) as session:
            cold = await ask(session, next(self._questions))
            warm = [await ask(session, question) for question in self._next(self._runs)]
            cached = session.memory.cached_bytes
            for number in askers:
                turn = await ask_in_turn(session, self._next(number))
                once = await ask_at_once(session, self._next(number))
                crowds[number] = Crowd(_firsts(once), _firsts(turn), _last(once), _last(turn))
            later: list[Asked] = []
            if going_on:
                seconds = session.watched_s
                reel.play()
                await session.wait_watched(seconds + 0.5)
                later = [await ask(session, question) for question in self._next(self._runs)]
                reel.pause()
            restored = session.restored
        row = Watched(
            frames, entries, fill_s, restored, cold.first_s, _firsts(warm), tuple(each.own_s for each in warm),
            tuple(each.whole_s for each in warm), cached, _firsts(later),
        )  # fmt: skip
        return row, crowds

    def _pictures(self) -> Iterator[Picture]:
        return shuffled(self._found)

    def _next(self, number: int) -> list[str]:
        return list(islice(self._questions, number))


def _apart(work: Callable[[], T]) -> T:
    """The result of `work`, done in a thread that ends with it.

    OpenMP keeps a team of workers for every living thread that ever computed, and where all of them are more than the
    processors, each waits asleep instead of awake: the model's thread would be up to twice as slow beside this one.
    A server computes in the model's thread alone.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="filling") as thread:
        return thread.submit(work).result()


def _firsts(asked: Sequence[Asked]) -> tuple[float, ...]:
    return tuple(each.first_s for each in asked)


def _last(asked: Sequence[Asked]) -> float:
    return max(each.whole_s for each in asked)


async def _measure(
    bundle: Bundle, runs: int, minutes: Sequence[int], askers: Sequence[int], number: int
) -> TimeToFirstToken:
    with tempfile.TemporaryDirectory(prefix="llama-vid-ttft-") as place:
        journal = Journal(Path(place))
        try:
            bench = _Bench(bundle, journal, scenes(number), runs)
            floor, _ = await bench.watched(1, (), going_on=False)
            crowd_after = CROWD_AFTER if CROWD_AFTER in minutes else max(minutes)
            watched: dict[int, Watched] = {}
            crowds: dict[int, Crowd] = {}
            for each in minutes:
                here = each == crowd_after
                watched[each], found = await bench.watched(60 * each, askers if here else (), going_on=here)
                crowds |= found
        finally:
            journal.close()
    return TimeToFirstToken(watched, crowds, crowd_after, floor)


def measure(
    runs: int | None = None,
    *,
    minutes: Sequence[int] = MINUTES,
    askers: Sequence[int] = ASKERS,
    bundle: Bundle | None = None,
    distinct_scenes: int = SCENES,
) -> TimeToFirstToken:
    """Ask `runs` questions (5 by default) after each of `minutes`, and `askers` at once after an hour."""
    bundle = bundle or _apart(lambda: load_bundle("mini"))
    return asyncio.run(_measure(bundle, runs or RUNS, minutes, askers, distinct_scenes))


if __name__ == "__main__":
    from evaluation.report import print_table

    print_table(measure())
