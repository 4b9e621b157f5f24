"""Questions about a synthetic film with exact, short answers, made from its truth alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from training.synthetic.sprites import COLOURS, SHAPES, thing
from training.synthetic.truth import PANS, ZOOMS, Event, Instant, Thing, Truth

NUMBERS: Final = ("None", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
TIMES: Final = ("Never.", "Once.", "Twice.")
CAMERA: Final = {
    **{way: f"It pans {way}." for way in PANS},
    **{way: f"It zooms {way}." for way in ZOOMS},
    "shake": "It shakes.",
}
_MOVING: Final = ("Is anything moving?", "Is something moving?", "Does anything move?", "Is there any movement?")
_STILL: Final = ("Is everything still?", "Does everything stay still?")
_CAMERA: Final = ("Is the camera moving?", "Does the camera move?")
_OBJECT: Final = ("Is an object moving?", "Does an object move?")
_WHICH: Final = ("Does the camera or an object move?", "What moves, the camera or an object?")
_CUT: Final = ("Does the scene change?", "Is there a cut to another scene?", "Does the picture cut to another scene?")
_ENTERED: Final = ("Does something come into view?", "Did something enter?", "Has something come in?")
_LEFT: Final = ("Does something leave?", "Did something leave the picture?", "Has something gone out of view?")
_CHANGED: Final = ("What changed?", "What has changed?", "What is different now?")
_THERE: Final = ("Is there {x} in the video?", "Is there {x}?", "Can you see {x}?", "Does the video show {x}?")


@dataclass(frozen=True, slots=True)
class QA:
    """A question of a kind with its short answer; `seconds` are the frames worth looking at."""

    kind: str
    question: str
    answer: str
    seconds: tuple[float, ...] = ()


def questions(truth: Truth, rng: random.Random) -> list[QA]:
    """Everything that can be asked of these frames and has one right answer; wordings are drawn from `rng`.

    What one frame of a window shows of the moment before it (a first frame in motion) is asked about only where it
    leaves no doubt.
    """
    if not truth.instants:
        return []
    asked: list[QA] = []
    for make in (_movement, _who_moves, _sight, _comings, _scenes, _order, _durations, _light, _difference):
        asked += make(truth, rng)
    return asked


def yes(flag: bool) -> str:
    """A yes/no answer."""
    return "Yes." if flag else "No."


def seconds(number: float) -> str:
    """A length of time in whole seconds: "3 seconds"."""
    whole = max(1, round(number))
    return f"{whole} second{'s' if whole > 1 else ''}"


def _moves(instant: Instant) -> bool:
    return instant.camera != "still" or bool(instant.moving)


def _edges(truth: Truth) -> list[Event]:
    return [event for event in truth.events if event.kind in ("enters", "leaves")]


def _movement(truth: Truth, rng: random.Random) -> list[QA]:
    moved = any(_moves(i) for i in truth.instants)
    shot = tuple(i.second for i in truth.instants if _moves(i))
    if not moved and _edges(truth):
        return []  # something came or went at once: has it moved?
    asked = [QA("moving", rng.choice(_MOVING), yes(moved), shot), QA("still", rng.choice(_STILL), yes(not moved), shot)]
    last = truth.instants[-1]
    if not any(event.end == last.second for event in _edges(truth)):
        asked.append(QA("moving now", "Is anything moving now?", yes(_moves(last)), (last.second,)))
    return asked


def _who_moves(truth: Truth, rng: random.Random) -> list[QA]:
    ways = {i.camera for i in truth.instants} - {"still"}
    numbers = sorted({number for i in truth.instants for number in i.moving})
    camera, objects = bool(ways), bool(numbers)
    asked = [QA("camera", rng.choice(_CAMERA), yes(camera))]
    if objects or not _edges(truth):
        asked.append(QA("object", rng.choice(_OBJECT), yes(objects)))
        both = {(True, True): "Both.", (True, False): "The camera.", (False, True): "An object."}
        asked.append(QA("camera or object", rng.choice(_WHICH), both.get((camera, objects), "Neither.")))
    if len(ways) == 1:
        asked.append(QA("camera way", "How does the camera move?", CAMERA[next(iter(ways))]))
    if len(numbers) == 1:
        asked.append(QA("mover", "What moves?" if not camera else "What object moves?", _the(truth, numbers[0], "A")))
    for number in numbers[:1]:
        first = next(i for i in truth.instants if number in i.moving)
        asked.append(
            QA("when", f"When does the {truth.things[number].name} move?", _after(truth, first.second), (first.second,))
        )
    return asked


def _sight(truth: Truth, rng: random.Random) -> list[QA]:
    seen = {number for i in truth.instants for number in i.seen}
    here = [truth.things[number] for number in sorted(seen)]
    names = {t.name for t in truth.things}
    asked = []
    for present in here:
        asked.append(QA("there", _there(present, rng), "Yes."))
        asked.append(QA("there", _there(_other(present, names, rng), rng), "No."))
        if present.colour and sum(t.shape == present.shape for t in here) == 1:
            asked.append(QA("colour", f"What colour is the {present.shape}?", f"{present.colour.capitalize()}."))
    if not here:
        absent = thing(rng.choice(list(SHAPES)), rng.choice(list(COLOURS)))
        asked.append(QA("there", _there(absent, rng), "No."))
    return asked


def _comings(truth: Truth, rng: random.Random) -> list[QA]:
    asked = []
    doubtful = bool(truth.instants[0].moving)
    for kind, wordings, what in (("enters", _ENTERED, "What comes into view?"), ("leaves", _LEFT, "What leaves?")):
        found = [event for event in truth.events if event.kind == kind]
        shot = tuple(event.start for event in found)
        if found or not doubtful:
            asked.append(QA(kind, rng.choice(wordings), yes(bool(found)), shot))
        if len(found) == 1 and found[0].thing is not None:
            name = truth.things[found[0].thing].name
            verb = "come into view" if kind == "enters" else "leave"
            asked.append(QA(f"what {kind}", what, _the(truth, found[0].thing, "A"), shot))
            asked.append(QA("when", f"When does the {name} {verb}?", _after(truth, found[0].start), shot))
    for number in sorted({n for i in truth.instants for n in i.seen}):
        name, last = truth.things[number].name, truth.instants[-1]
        asked.append(
            QA("still there", f"Is the {name} still there at the end?", yes(number in last.seen), (last.second,))
        )
    return asked


def _scenes(truth: Truth, rng: random.Random) -> list[QA]:
    cuts = [event for event in truth.events if event.kind == "cut"]
    count, shot = len(cuts), tuple(event.start for event in cuts)
    asked = [
        QA("cut", rng.choice(_CUT), yes(count > 0), shot),
        QA("scenes", "How many scenes are there?", f"{NUMBERS[min(count + 1, 10)]}.", shot),
        QA("cuts", "How many times does the scene change?", _often(count), shot),
    ]
    if count == 1:
        asked.append(QA("when", "When does the scene change?", _after(truth, cuts[0].start), shot))
    return asked


def _order(truth: Truth, rng: random.Random) -> list[QA]:
    asked = []
    firsts: dict[int, float] = {}
    for i in truth.instants:
        for number in i.seen:
            firsts.setdefault(number, i.second)
    if len(firsts) >= 2:
        (a, at), (b, bt) = rng.sample(sorted(firsts.items()), 2)
        if at != bt:
            one, other, shot = truth.things[a].name, truth.things[b].name, (at, bt)
            sooner = one if at < bt else other
            asked.append(
                QA("order", f"What is seen first, the {one} or the {other}?", f"The {sooner}.", tuple(sorted(shot)))
            )
            asked.append(QA("order", f"Is the {one} seen before the {other}?", yes(at < bt), tuple(sorted(shot))))
    cuts = [event.start for event in truth.events if event.kind == "cut"]
    moves = [i.second for i in truth.instants if _moves(i)]
    if len(cuts) == 1 and moves and (moves[-1] < cuts[0] or moves[0] >= cuts[0]):
        before = moves[-1] < cuts[0]
        asked.append(QA("order", "Does something move before the scene changes?", yes(before), (cuts[0], moves[0])))
    return asked


def _durations(truth: Truth, rng: random.Random) -> list[QA]:
    step = _step(truth)
    moving = sum(_moves(i) for i in truth.instants)
    asked = []
    if moving and len(truth.instants) > 2:
        asked.append(QA("how long", "How long is something moving?", f"{seconds(moving * step).capitalize()}."))
    for number in sorted({n for i in truth.instants for n in i.seen})[:1]:
        shown = sum(number in i.seen for i in truth.instants)
        asked.append(
            QA("how long", f"How long is the {truth.things[number].name} in view?", f"{seconds(shown * step)}.")
        )
    total = len({n for i in truth.instants for n in i.seen})
    if total:
        movers = len({n for i in truth.instants for n in i.moving})
        asked.append(QA("how many", "How many objects move?", f"{NUMBERS[min(movers, 10)]}."))
    return asked


def _light(truth: Truth, rng: random.Random) -> list[QA]:
    found = [event for event in truth.events if event.kind == "light"]
    steady = all(abs(b.light / a.light - 1) < 0.02 for a, b in pairwise(truth.instants) if a.scene == b.scene)
    if not found and not steady:
        return []  # too little to call it a change, too much to deny it
    asked = [QA("light", "Does the light change?", yes(bool(found)), tuple(e.start for e in found))]
    if found and len({event.how for event in found}) == 1:
        asked.append(QA("light way", "Does it get darker or brighter?", f"{found[0].how.capitalize()}."))
    return asked


def _difference(truth: Truth, rng: random.Random) -> list[QA]:
    if len(truth.instants) < 2:
        return []
    told = difference(truth)
    return [QA("changed", rng.choice(_CHANGED), told)] if told else []


def difference(truth: Truth) -> str:
    """What is different at the end of these frames against their beginning, in one sentence; "" if too much is."""
    first, last = truth.instants[0], truth.instants[-1]
    if first.scene != last.scene:
        return "The scene changed." if last.scene - first.scene == 1 else ""
    parts = [f"{_the(truth, n, 'A')[:-1]} came in." for n in sorted(set(last.seen) - set(first.seen))]
    parts += [f"{_the(truth, n, 'The')[:-1]} left." for n in sorted(set(first.seen) - set(last.seen))]
    moved = {n for i in truth.instants[1:] for n in i.moving} & set(first.seen) & set(last.seen)
    parts += [f"{_the(truth, n, 'The')[:-1]} moved." for n in sorted(moved)]
    if any(i.camera != "still" for i in truth.instants[1:]):
        parts.append("The camera moved.")
    if abs(ratio := last.light / first.light - 1) >= 0.12:
        parts.append("It got brighter." if ratio > 0 else "It got darker.")
    elif abs(ratio) >= 0.02:
        return ""
    if len(parts) > 1:
        return ""
    return parts[0] if parts else "Nothing changed."


def _the(truth: Truth, number: int, article: str) -> str:
    found = truth.things[number]
    text = f"The {found.name}" if article == "The" else found.phrase[:1].upper() + found.phrase[1:]
    return text + "."


def _there(found: Thing, rng: random.Random) -> str:
    return rng.choice(_THERE).format(x=found.phrase)


def _other(present: Thing, names: set[str], rng: random.Random) -> Thing:
    """Something that is not in the film: at times the same shape in another colour, or another shape."""
    draws: Sequence[Callable[[], Thing]] = (
        lambda: thing(present.shape, rng.choice(list(COLOURS))) if present.colour else _any(rng),
        lambda: thing(rng.choice(list(SHAPES)), present.colour) if present.colour else _any(rng),
        lambda: _any(rng),
    )
    while True:
        found = rng.choice(draws)()
        if found.name not in names:
            return found


def _any(rng: random.Random) -> Thing:
    return thing(rng.choice(list(SHAPES)), rng.choice(list(COLOURS)))


def _step(truth: Truth) -> float:
    if len(truth.instants) < 2:
        return 1.0
    return truth.instants[1].second - truth.instants[0].second


def _after(truth: Truth, second: float) -> str:
    """When, counted from the first frame: "After 3 seconds." """
    passed = second - truth.instants[0].second
    return "At the start." if passed <= 0 else f"After {seconds(passed)}."


def _often(count: int) -> str:
    return TIMES[count] if count < len(TIMES) else f"{NUMBERS[min(count, 10)]} times."
