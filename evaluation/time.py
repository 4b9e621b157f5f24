"""`eval time`: when did it happen, in which order, and how long, on films whose truth is known to the frame.

A time is right within 2 s of the truth, a length within 20 % or 2 s. Route `all` asks as a user would and reads the
first time of the answer. Route `tokens` lets the language model alone find the time, from the two tokens of each frame:
a yes/no question is put to every window of one or two pairs, and where its margin crosses the middle is the time
(`windows.py`). `blind` sees no video: it names the median of the other films' times for that kind of question, and of
two things the one that is named first. `last-frame` has the film's last frame alone in memory.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from evaluation.case import Case
from evaluation.model import Missing, VideoModel
from evaluation.synthetic import SEED, TrueFilm, true_films
from evaluation.tally import Shares, Tally, shares, side_by_side, systems_of
from evaluation.tasks import ABLATIONS
from evaluation.windows import Windows, begins, ends, lasts, shown
from evaluation.yesno import first_word
from llama_vid.memory.entry import MemoryEntry
from training.synthetic.truth import Event, Instant, runs

FILMS: Final = 60
PER_FILM: Final = 3
NEAR, SHARE = 2.0, 0.2  # seconds, and a share of a length
WHEN: Final = ("cut", "moves", "camera", "enters", "leaves")
FIGURES: Final = {"within_2s": WHEN, "order": ("order",), "how_long": ("how long",)}
YES_NO: Final = ("Yes", "No")
NO_FULL: Final = "the full baseline reads eight frames of a whole film and is not asked for times"
_CLOCK: Final = re.compile(r"\b(\d+):(\d\d)(?::(\d\d))?\b")
_LENGTH: Final = re.compile(r"\b(\d+(?:\.\d+)?) (second|minute|hour)s?\b")
_UNITS: Final = {"second": 1.0, "minute": 60.0, "hour": 3600.0}


@dataclass(frozen=True, slots=True)
class Timed:
    """A question about a film whose answer is `wanted`: a second, a length, or the name of what came first.

    `probes` are the yes/no questions that the tokens are asked instead, each with the pairs of a window.
    """

    film: TrueFilm
    kind: str
    question: str
    wanted: float | str
    probes: tuple[tuple[str, int], ...]
    seconds: tuple[float, ...] = ()
    choices: tuple[str, ...] = ()


_MOVES: Final = ("Is anything moving?", 2)
_CAMERA: Final = ("Is the camera moving?", 2)
_CUT: Final = ("Does the scene change?", 2)


def questions_about(film: TrueFilm, rng: random.Random) -> list[Timed]:
    """Everything with one right time, length or order that can be asked of a film."""
    truth, asked = film.truth, list[Timed]()

    def when(kind: str, question: str, at: float, probe: tuple[str, int]) -> None:
        asked.append(Timed(film, kind, question, at, (probe,), (at,)))

    cuts = [event for event in truth.events if event.kind == "cut"]
    if len(cuts) == 1:
        when("cut", "When does the scene change?", cuts[0].start, _CUT)
    moved = runs([_moves(instant) for instant in truth.instants])
    # A thing that comes or goes at once has not moved, but the picture has changed: then movement has no one time.
    popped = any(event.kind in ("enters", "leaves") and not _moving_at(film, event) for event in truth.events)
    if len(moved) == 1 and not popped:
        first, last = moved[0]
        when("moves", "When does something move?", truth.instants[first].second, _MOVES)
        length = truth.instants[last].second - truth.instants[first].second + 1
        shot = (truth.instants[first].second, truth.instants[last].second)
        asked.append(Timed(film, "how long", "How long is something moving?", length, (_MOVES,), shot))
    camera = runs([instant.camera != "still" for instant in truth.instants])
    if len(camera) == 1:
        when("camera", "When does the camera move?", truth.instants[camera[0][0]].second, _CAMERA)
    firsts: dict[int, float] = {}
    for number, thing in enumerate(truth.things):
        spans = runs([number in instant.seen for instant in truth.instants])
        if len(spans) != 1:
            continue
        name, probe = thing.name, (f"Is there {thing.phrase}?", 1)
        first, last = spans[0]
        start, end = truth.instants[first].second, truth.instants[last].second
        firsts[number] = start
        if any(event.kind == "enters" and event.thing == number for event in truth.events):
            when("enters", f"When does the {name} come into view?", start, probe)
        if any(event.kind == "leaves" and event.thing == number for event in truth.events):
            when("leaves", f"When does the {name} leave?", end + 1, probe)
        asked.append(
            Timed(film, "how long", f"How long is the {name} in view?", end - start + 1, (probe,), (start, end))
        )
    if len(cuts) == 1 and moved:
        early, late = truth.instants[moved[0][0]].second, truth.instants[moved[-1][1]].second
        if late < cuts[0].start or early > cuts[0].start:
            question, sooner = (
                "Does something move before the scene changes?",
                YES_NO[0] if late < cuts[0].start else YES_NO[1],
            )
            asked.append(Timed(film, "order", question, sooner, (_MOVES, _CUT), (early, cuts[0].start), YES_NO))
    pairs = [(a, b) for a in firsts for b in firsts if abs(firsts[a] - firsts[b]) > NEAR]
    if pairs:
        one, other = (truth.things[number] for number in rng.choice(pairs))
        order = sorted((firsts[truth.things.index(thing)], thing.name) for thing in (one, other))
        asked.append(
            Timed(
                film, "order", f"What is seen first, the {one.name} or the {other.name}?", order[0][1],
                ((f"Is there {one.phrase}?", 1), (f"Is there {other.phrase}?", 1)),
                (order[0][0], order[1][0]), (one.name, other.name),
            )
        )  # fmt: skip
    return asked


def chosen(films: Sequence[TrueFilm], seed: int = SEED) -> list[Timed]:
    """PER_FILM questions of each film, those of rare kinds first."""
    rng = random.Random(seed)
    pool = [questions_about(film, rng) for film in films]
    counts: dict[str, int] = {}
    out: list[Timed] = []
    for asked in pool:
        left = list(asked)
        rng.shuffle(left)
        for _ in range(min(PER_FILM, len(left))):
            rarest = min(left, key=lambda item: counts.get(item.kind, 0))
            left.remove(rarest)
            counts[rarest.kind] = counts.get(rarest.kind, 0) + 1
            out.append(rarest)
    return out


def evaluate_time(
    model: VideoModel,
    folder: Path,
    *,
    route: str = "all",
    system: str = "",
    limit: int | None = None,
    drop: str = "",
    tick: Callable[[], None] = lambda: None,
) -> Tally:
    """Run the evaluation on films drawn over the photos of `folder`; `limit` draws fewer films.

    `system` measures that one alone; `drop` takes a token away on the token route. Raises ConfigError, SourceError.
    """
    films = true_films(folder, limit or FILMS)
    asked = chosen(films)

    def measured(name: str) -> tuple[Shares, list[Case]] | Missing:
        if name == "full":
            return Missing(NO_FULL)
        answers = _answers(model, asked, name, route, ABLATIONS.get(name, drop), tick)
        cases = [case_of(item, text, name) for item, text in zip(asked, answers, strict=True)]
        return shares(cases, name, FIGURES), cases

    over = {"films": len(films)}
    return side_by_side("time", len(asked), over, route, systems_of(system, route), measured)


def case_of(item: Timed, text: str, system: str) -> Case:
    """The case of an answer."""
    wanted = item.wanted if isinstance(item.wanted, str) else f"{item.wanted:g} s"
    return Case(item.kind, item.film.path, item.question, wanted, text, is_right(item, text), item.seconds, system)


def is_right(item: Timed, text: str) -> bool:
    """Whether an answer names the right time, length or thing."""
    if isinstance(item.wanted, str) and item.wanted in YES_NO:
        return first_word(text) == (item.wanted == "Yes")
    if isinstance(item.wanted, str):
        places = {name: text.lower().find(name) for name in item.choices}
        named = [name for name, place in places.items() if place >= 0]
        return bool(named) and min(named, key=lambda name: places[name]) == item.wanted
    if item.kind == "how long":
        length = length_in(text)
        return length is not None and abs(length - item.wanted) <= max(NEAR, SHARE * item.wanted)
    second = second_in(text)
    return second is not None and abs(second - item.wanted) <= NEAR


def second_in(text: str) -> float | None:
    """The first time that a text names, in seconds: "At 0:07–0:12" is 7; None if it names none."""
    if match := _CLOCK.search(text):
        parts = [float(part) for part in match.groups() if part is not None]
        seconds = 0.0
        for part in parts:
            seconds = seconds * 60 + part
        return seconds
    return None


def length_in(text: str) -> float | None:
    """The length that a text names before any time: "About 1 minute 5 seconds: 0:03–0:09" is 65."""
    clock = _CLOCK.search(text)
    before = text[: clock.start()] if clock else text
    found = _LENGTH.findall(before)
    return sum(float(number) * _UNITS[unit] for number, unit in found) if found else None


def _answers(
    model: VideoModel, asked: Sequence[Timed], system: str, route: str, drop: str, tick: Callable[[], None]
) -> list[str]:
    if system == "blind":
        return [guessed(item, [other for other in asked if other.film != item.film]) for item in asked]
    windows, last = Windows(model, drop=drop), system == "last-frame"
    if drop == "context":
        windows.average_over(sorted({str(item.film.path) for item in asked}))
    out = []
    for item in asked:
        path = str(item.film.path)
        if route == "tokens":
            out.append(probed(windows, windows.entries(path, last_frame_only=last), item))
        else:
            out.append(model.open(path, last_frame_only=last).ask(item.question).answer)
        tick()
    return out


def guessed(item: Timed, others: Sequence[Timed]) -> str:
    """What can be said without a video."""
    if item.choices:
        return item.choices[0]
    known = [other.wanted for other in others if other.kind == item.kind and isinstance(other.wanted, float)]
    if not known:
        return ""
    return said_length(median(known)) if item.kind == "how long" else said_second(median(known))


def probed(windows: Windows, entries: Sequence[MemoryEntry], item: Timed) -> str:
    """What the language model reads in the pairs, window by window, as a time, a length or a name."""
    flags = [shown(windows.margins(entries, question, size)) for question, size in item.probes]
    if item.choices:
        starts = [begins(entries, each) for each in flags]
        known = [(start, name) for start, name in zip(starts, item.choices, strict=True) if start is not None]
        if item.choices == YES_NO and len(known) < len(starts):
            return ""
        return min(known)[1] if known else ""
    if item.kind == "how long":
        return said_length(lasts(entries, flags[0]))
    second = ends(entries, flags[0]) if item.kind == "leaves" else begins(entries, flags[0])
    return "" if second is None else said_second(second)


def said_second(second: float) -> str:
    """A time as answers write it."""
    return f"At {int(second) // 60}:{int(second) % 60:02}."


def said_length(length: float) -> str:
    """A length as answers write it."""
    return f"About {length:g} seconds."


def _moves(instant: Instant) -> bool:
    return instant.camera != "still" or bool(instant.moving)


def _moving_at(film: TrueFilm, event: Event) -> bool:
    return any(instant.second == event.start and event.thing in instant.moving for instant in film.truth.instants)
