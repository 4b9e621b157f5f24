"""The parts of a scene: how the camera looks at the photo, how the light goes, and the paths that things take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from training.synthetic.truth import Camera, Thing

SMALLEST, LARGEST = 0.11, 0.35  # a thing's edge as a share of the picture's
SHAKES: Final = (0.025, 0.06)  # of the picture's edge: how far a hand-held camera jumps from frame to frame


@dataclass(frozen=True, slots=True)
class Shot:
    """What the camera shows in one frame: a square of the photo (left, top, edge) and how it moved since the last."""

    left: float
    top: float
    edge: float
    move: Camera = "still"


@dataclass(frozen=True, slots=True)
class Actor:
    """A thing and its path: edge (a share of the photo's), whether it is mirrored, the frames it exists in, and places
    of its middle at some frames, between which it goes straight."""

    thing: Thing
    edge: float
    mirrored: bool
    first: int
    last: int
    places: tuple[tuple[int, float, float], ...]

    def place(self, t: int) -> tuple[float, float]:
        """The middle (x, y) in frame `t`."""
        times = [place[0] for place in self.places]
        return (
            float(np.interp(t, times, [place[1] for place in self.places])),
            float(np.interp(t, times, [place[2] for place in self.places])),
        )

    def moved(self, t: int) -> float:
        """How far it went since the frame before, as a share of the photo's edge."""
        if not self.first < t < self.last:
            return 0.0
        (x, y), (u, v) = self.place(t), self.place(t - 1)
        return float(np.hypot(x - u, y - v))

    def inside(self, t: int, shot: Shot) -> float:
        """The share of its square that is in the picture, 0 where it does not exist."""
        if not self.first <= t < self.last:
            return 0.0
        share = 1.0
        for middle, start in zip(self.place(t), (shot.left, shot.top), strict=True):
            low, high = middle - self.edge / 2, middle + self.edge / 2
            share *= max(0.0, min(high, start + shot.edge) - max(low, start)) / self.edge
        return share


def draw_shot(rng: np.random.Generator, mode: str, frames: int) -> tuple[Shot, ...]:
    """A camera over `frames` frames: still, or a pan, zoom or shake between two of them."""
    begin = int(rng.integers(1, max(2, frames - 1)))
    end = int(rng.integers(begin, frames)) if rng.random() < 0.6 else frames - 1
    if mode == "still" or frames < 2:
        edge = float(rng.uniform(0.75, 1.0))
        left, top = (float(rng.uniform(0, 1 - edge)) for _ in range(2))
        return (Shot(left, top, edge),) * frames
    if mode == "pan":
        return _pan(rng, frames, begin, end)
    if mode == "zoom":
        return _zoom(rng, frames, begin, end)
    edge = float(rng.uniform(0.7, 0.86))
    left, top = (float(rng.uniform(0.07, 0.93 - edge)) for _ in range(2))
    reach = float(rng.uniform(*SHAKES)) * edge
    shots, before = [], (0.0, 0.0)
    for t in range(frames):
        if begin <= t <= end:
            angle = float(rng.uniform(0, 2 * np.pi))
            before = (reach * float(np.cos(angle)), reach * float(np.sin(angle)))
            shots.append(Shot(left + before[0], top + before[1], edge, "shake"))
        else:
            shots.append(Shot(left + before[0], top + before[1], edge))
    return tuple(shots)


def _pan(rng: np.random.Generator, frames: int, begin: int, end: int) -> tuple[Shot, ...]:
    edge = float(rng.uniform(0.5, 0.75))
    ways: tuple[Camera, ...] = ("left", "right", "up", "down")
    way = ways[int(rng.integers(4))]
    step = float(rng.uniform(0.05, 0.16))
    end = min(end, begin + int((1 - edge) / step) - 1) if step <= 1 - edge else begin
    length = min(1 - edge, step * (end - begin + 1))
    start = float(rng.uniform(0, 1 - edge - length))
    across = float(rng.uniform(0, 1 - edge))
    shots = []
    for t in range(frames):
        along = start + length * float(np.clip((t - begin + 1) / (end - begin + 1), 0, 1))
        if way in ("left", "up"):
            along = 1 - edge - along
        move: Camera = way if begin <= t <= end else "still"
        shots.append(Shot(along, across, edge, move) if way in ("left", "right") else Shot(across, along, edge, move))
    return tuple(shots)


def _zoom(rng: np.random.Generator, frames: int, begin: int, end: int) -> tuple[Shot, ...]:
    way: Camera = "in" if rng.random() < 0.5 else "out"
    end = min(end, begin + 4)
    factor = float(rng.uniform(0.82, 0.92)) ** (end - begin + 1)
    factor = max(factor, 0.5)
    wide = float(rng.uniform(0.9, 1.0))
    x, y = (float(rng.uniform(0.3, 0.7)) for _ in range(2))
    shots = []
    for t in range(frames):
        share = float(np.clip((t - begin + 1) / (end - begin + 1), 0, 1))
        edge = wide * factor ** (share if way == "in" else 1 - share)
        left, top = (float(np.clip(m - edge / 2, 0, 1 - edge)) for m in (x, y))
        shots.append(Shot(left, top, edge, way if begin <= t <= end else "still"))
    return tuple(shots)


def draw_light(rng: np.random.Generator, frames: int) -> tuple[float, ...]:
    """Gains of a light that goes on or off at once, or grows or fades slowly."""
    low, high = sorted((float(rng.uniform(0.5, 0.8)), float(rng.uniform(0.95, 1.3))))
    first, last = (low, high) if rng.random() < 0.5 else (high, low)
    if frames < 2:
        return (first,) * frames
    if rng.random() < 0.5:
        at = int(rng.integers(1, frames))
        return tuple(first if t < at else last for t in range(frames))
    return tuple(float(gain) for gain in np.geomspace(first, last, frames))


def draw_actor(
    rng: np.random.Generator, thing: Thing, shots: Sequence[Shot], others: Sequence[Actor], *, still: bool = False
) -> Actor:
    """A thing's part over `shots`: there from the start or coming in, still or moving, staying or going out."""
    frames, shot = len(shots), shots[0]
    size = float(rng.uniform(SMALLEST, LARGEST)) * shot.edge
    left, top = max(s.left for s in shots), max(s.top for s in shots)
    right, bottom = min(s.left + s.edge for s in shots), min(s.top + s.edge for s in shots)

    def spot() -> tuple[float, float]:
        spread = [
            float(rng.uniform(min(a + size / 2, (a + b) / 2), max(b - size / 2, (a + b) / 2)))
            for a, b in ((left, right), (top, bottom))
        ]
        return spread[0], spread[1]

    def apart(tries: int = 8) -> tuple[float, float]:
        taken = [(u, v, a.edge) for a in others for _, u, v in a.places]
        for _ in range(tries):
            x, y = spot()
            if all(max(abs(x - u), abs(y - v)) > (size + edge) / 2 for u, v, edge in taken):
                break
        return x, y

    def outside(of: tuple[float, float]) -> tuple[float, float]:
        way = int(rng.integers(4))
        far = [(shot.left - size * 0.7, of[1]), (shot.left + shot.edge + size * 0.7, of[1])]
        far += [(of[0], shot.top - size * 0.7), (of[0], shot.top + shot.edge + size * 0.7)]
        return far[way]

    def steps(a: tuple[float, float], b: tuple[float, float]) -> int:
        """Frames for the way: 0.1 to 0.3 of the picture each."""
        return max(1, round(float(np.hypot(a[0] - b[0], a[1] - b[1])) / (shot.edge * float(rng.uniform(0.1, 0.3)))))

    here, first, last = apart(), 0, frames
    if still:
        return Actor(thing, size, bool(rng.random() < 0.5), first, last, ((0, *here),))
    places: list[tuple[int, float, float]] = []
    t = 0
    if rng.random() < 0.55 and frames >= 3:  # it comes in
        begin = int(rng.integers(0, max(1, frames - 2)))
        if rng.random() < 0.2:
            first = begin + 1
            t = first
            places.append((t, *here))
        else:
            far = outside(here)
            t = min(begin + min(steps(far, here), 4), frames - 1)
            places += [(begin, *far), (t, *here)]
    else:
        places.append((0, *here))
    if rng.random() < 0.45 and t + 2 < frames:  # it moves on
        begin = int(rng.integers(t, frames - 2))
        there = apart()
        taken = min(steps(here, there), frames - 1 - begin)
        if np.hypot(there[0] - here[0], there[1] - here[1]) / taken > 0.05 * shot.edge:
            places += [(begin, *here), (begin + taken, *there)]
            here, t = there, begin + taken
    if rng.random() < 0.6 and t + 2 < frames:  # it goes out
        begin = int(rng.integers(t, frames - 2))
        if rng.random() < 0.2:
            last = begin + 1
        else:
            far = outside(here)
            taken = min(steps(here, far), 4, frames - 1 - begin)
            places += [(begin, *here), (begin + taken, *far)]
    mirrored = next((b[1] < a[1] for a, b in pairwise(places) if b[1] != a[1]), False)
    return Actor(thing, size, mirrored, first, last, tuple(places))
