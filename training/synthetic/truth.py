"""What is true of a synthetic film: the state of every frame, and the events that follow from the states.

Frame `t` is shown at second `t / fps`. What a frame says of movement is the change against the frame before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final, Literal

Camera = Literal["still", "left", "right", "up", "down", "in", "out", "shake"]
Kind = Literal["cut", "enters", "leaves", "starts", "stops", "camera starts", "camera stops", "light"]

PANS: Final = ("left", "right", "up", "down")
ZOOMS: Final = ("in", "out")
LIGHT_STEP, LIGHT_CHANGE = 0.02, 0.12  # of a frame's gain: the smallest step of a change, and the smallest change


@dataclass(frozen=True, slots=True)
class Thing:
    """Something drawn into a film: its name without article, its shape and its colour ("" if it has many)."""

    name: str
    shape: str
    colour: str = ""

    @property
    def phrase(self) -> str:
        """The name with its article: "a red ball"."""
        return f"{'an' if self.name[:1] in 'aeiou' else 'a'} {self.name}"


@dataclass(frozen=True, slots=True)
class Instant:
    """One frame: its scene (from 0) and photo, how the camera moved into it, the light's gain, and the numbers of the
    things in sight and of those that moved since the frame before."""

    second: float
    scene: int
    photo: int
    camera: Camera = "still"
    light: float = 1.0
    seen: tuple[int, ...] = ()
    moving: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens between two seconds; `thing` is its number, `how` the camera's or the light's way."""

    kind: Kind
    start: float
    end: float
    thing: int | None = None
    how: str = ""


@dataclass(frozen=True, slots=True)
class Truth:
    """The instants of a film in order, and the things that play in it."""

    instants: tuple[Instant, ...]
    things: tuple[Thing, ...] = ()

    @property
    def events(self) -> tuple[Event, ...]:
        """What happens, in the order of its start."""
        found = [*_cuts(self), *_things(self), *_camera(self), *_light(self)]
        return tuple(sorted(found, key=lambda event: (event.start, event.kind, event.thing or 0)))

    @property
    def scenes(self) -> int:
        """How many scenes are shown."""
        return len({instant.scene for instant in self.instants})

    def window(self, first: int, last: int) -> Truth:
        """The truth of the frames first … last - 1 alone; the seconds stay those of the film."""
        return Truth(self.instants[first:last], self.things)

    def to_json(self) -> dict[str, Any]:
        """As plain lists and dicts."""
        return {"instants": [asdict(i) for i in self.instants], "things": [asdict(t) for t in self.things]}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Truth:
        """What `to_json` gave."""
        instants = [Instant(**{**i, "seen": tuple(i["seen"]), "moving": tuple(i["moving"])}) for i in found["instants"]]
        return cls(tuple(instants), tuple(Thing(**thing) for thing in found["things"]))


def runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """The (first, last) indices of every unbroken run of True."""
    found: list[tuple[int, int]] = []
    for i, flag in enumerate(flags):
        if flag and found and found[-1][1] == i - 1:
            found[-1] = (found[-1][0], i)
        elif flag:
            found.append((i, i))
    return found


def _cuts(truth: Truth) -> list[Event]:
    pairs = pairwise(truth.instants)
    return [Event("cut", b.second, b.second) for a, b in pairs if a.scene != b.scene]


def _things(truth: Truth) -> list[Event]:
    found = []
    for number in range(len(truth.things)):
        for a, b in pairwise(truth.instants):
            if a.scene == b.scene and (number in a.seen) != (number in b.seen):
                kind: Kind = "enters" if number in b.seen else "leaves"
                found.append(Event(kind, b.second, b.second, number))
        for first, last in runs([number in instant.moving for instant in truth.instants]):
            start, end = truth.instants[first].second, truth.instants[last].second
            found.append(Event("starts", start, end, number))
            following = truth.instants[last + 1 : last + 2]
            if following and following[0].scene == truth.instants[last].scene and number in following[0].seen:
                found.append(Event("stops", end, end, number))
    return found


def _camera(truth: Truth) -> list[Event]:
    found = []
    for way in (*PANS, *ZOOMS, "shake"):
        for first, last in runs([instant.camera == way for instant in truth.instants]):
            start, end = truth.instants[first].second, truth.instants[last].second
            found.append(Event("camera starts", start, end, None, way))
            following = truth.instants[last + 1 : last + 2]
            if following and following[0].scene == truth.instants[last].scene:
                found.append(Event("camera stops", end, end, None, way))
    return found


def _light(truth: Truth) -> list[Event]:
    pairs = list(pairwise(truth.instants))
    found = []
    for sign, how in ((1, "brighter"), (-1, "darker")):
        flags = [a.scene == b.scene and sign * (b.light / a.light - 1) >= LIGHT_STEP for a, b in pairs]
        for first, last in runs(flags):
            before, after = pairs[first][0], pairs[last][1]
            if abs(after.light / before.light - 1) >= LIGHT_CHANGE:
                found.append(Event("light", pairs[first][1].second, after.second, None, how))
    return found
