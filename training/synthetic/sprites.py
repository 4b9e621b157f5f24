"""Things drawn by our own code: about twenty shapes in named colours, with shading, an outline and soft edges."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from training.synthetic.truth import Thing

Sprite = npt.NDArray[np.float32]  # (S, S, 4): RGB in 0…255 and alpha in 0…1
SIDE: Final = 128  # pixels of a drawn sprite's edge
_OVER: Final = 3  # drawn this many times larger, then averaged
_RIM: Final = 6  # pixels of the rim, as drawn

COLOURS: Final = {
    "red": (214, 38, 38),
    "blue": (38, 84, 214),
    "green": (36, 150, 62),
    "yellow": (244, 208, 44),
    "orange": (240, 132, 28),
    "purple": (130, 56, 178),
    "pink": (240, 120, 172),
    "white": (240, 240, 240),
    "black": (32, 32, 36),
    "brown": (124, 78, 42),
}

Ink = int
Draw = Callable[[ImageDraw.ImageDraw, float], None]


def thing(shape: str, colour: str) -> Thing:
    """The thing that `draw` draws."""
    return Thing(f"{colour} {shape}", shape, colour)


def drawn_things() -> list[Thing]:
    """Every shape in every colour."""
    return [thing(shape, colour) for shape in SHAPES for colour in COLOURS]


def draw(shape: str, colour: str) -> Sprite:
    """A sprite (SIDE, SIDE, 4): the shape filled with the shaded colour, its edge soft, with a thin rim around it that
    keeps a thing apart from a photo of its own colour."""
    side = SIDE * _OVER
    mask = Image.new("L", (side, side), 0)
    SHAPES[shape](ImageDraw.Draw(mask), side)
    inner = mask.filter(ImageFilter.GaussianBlur(side / 40))
    around = mask.filter(ImageFilter.MaxFilter(2 * _RIM + 1)).filter(ImageFilter.GaussianBlur(_OVER))
    alpha = np.asarray(around.resize((SIDE, SIDE)), np.float32) / 255
    fill = np.asarray(mask.filter(ImageFilter.GaussianBlur(_OVER)).resize((SIDE, SIDE)), np.float32) / 255
    depth = np.asarray(inner.resize((SIDE, SIDE)), np.float32) / 255
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE
    glow = np.exp(-((x - 0.36) ** 2 + (y - 0.3) ** 2) / 0.05)
    shade = (0.55 + 0.45 * depth) * (1.12 - 0.35 * y)
    rgb = np.asarray(COLOURS[colour], np.float32) * shade[..., None]
    rgb = rgb + (255 - rgb) * (0.35 * glow * depth)[..., None]
    rim = 30.0 if sum(COLOURS[colour]) > 450 else 240.0
    rgb = rim + (rgb - rim) * fill[..., None]
    return np.concatenate([rgb, alpha[..., None]], -1).astype(np.float32)


def _points(s: float, *points: tuple[float, float]) -> list[tuple[float, float]]:
    return [(x * s, y * s) for x, y in points]


def _polygon(*points: tuple[float, float]) -> Draw:
    def paint(d: ImageDraw.ImageDraw, s: float) -> None:
        d.polygon(_points(s, *points), fill=255)

    return paint


def _star(d: ImageDraw.ImageDraw, s: float) -> None:
    turns = [(0.47 if i % 2 == 0 else 0.2, math.pi * (i / 5 - 0.5)) for i in range(10)]
    d.polygon(_points(s, *((0.5 + r * math.cos(a), 0.5 + r * math.sin(a)) for r, a in turns)), fill=255)


def _heart(d: ImageDraw.ImageDraw, s: float) -> None:
    angles = [2 * math.pi * i / 60 for i in range(60)]
    curve = [
        (16 * math.sin(a) ** 3, 13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a))
        for a in angles
    ]
    d.polygon(_points(s, *((0.5 + x / 36, 0.47 - y / 36) for x, y in curve)), fill=255)


def _ellipse(d: ImageDraw.ImageDraw, s: float, x0: float, y0: float, x1: float, y1: float, ink: Ink = 255) -> None:
    d.ellipse((x0 * s, y0 * s, x1 * s, y1 * s), fill=ink)


def _bar(d: ImageDraw.ImageDraw, s: float, points: Sequence[tuple[float, float]], width: float) -> None:
    d.line(_points(s, *points), fill=255, width=max(1, int(width * s)), joint="curve")
    for x, y in points:
        _ellipse(d, s, x - width / 2, y - width / 2, x + width / 2, y + width / 2)


def _ball(d: ImageDraw.ImageDraw, s: float) -> None:
    _ellipse(d, s, 0.05, 0.05, 0.95, 0.95)


def _box(d: ImageDraw.ImageDraw, s: float) -> None:
    d.rounded_rectangle((0.08 * s, 0.08 * s, 0.92 * s, 0.92 * s), radius=0.05 * s, fill=255)


def _ring(d: ImageDraw.ImageDraw, s: float) -> None:
    _ellipse(d, s, 0.04, 0.04, 0.96, 0.96)
    _ellipse(d, s, 0.26, 0.26, 0.74, 0.74, 0)


def _moon(d: ImageDraw.ImageDraw, s: float) -> None:
    _ellipse(d, s, 0.06, 0.06, 0.94, 0.94)
    _ellipse(d, s, 0.36, 0.0, 1.12, 0.78, 0)


def _flag(d: ImageDraw.ImageDraw, s: float) -> None:
    _bar(d, s, [(0.14, 0.05), (0.14, 0.95)], 0.06)
    top = [(0.14 + 0.78 * i / 20, 0.1 + 0.05 * math.sin(i / 3)) for i in range(21)]
    d.polygon(_points(s, *top, *((x, y + 0.42) for x, y in reversed(top))), fill=255)


def _person(d: ImageDraw.ImageDraw, s: float) -> None:
    _ellipse(d, s, 0.38, 0.02, 0.62, 0.26)
    _bar(d, s, [(0.5, 0.3), (0.5, 0.6)], 0.2)
    _bar(d, s, [(0.5, 0.33), (0.3, 0.45), (0.22, 0.6)], 0.09)
    _bar(d, s, [(0.5, 0.33), (0.7, 0.45), (0.76, 0.58)], 0.09)
    _bar(d, s, [(0.47, 0.62), (0.4, 0.78), (0.3, 0.93)], 0.11)
    _bar(d, s, [(0.53, 0.62), (0.6, 0.78), (0.7, 0.93)], 0.11)


def _car(d: ImageDraw.ImageDraw, s: float) -> None:
    d.rounded_rectangle((0.03 * s, 0.46 * s, 0.97 * s, 0.72 * s), radius=0.08 * s, fill=255)
    d.polygon(_points(s, (0.2, 0.47), (0.32, 0.27), (0.66, 0.27), (0.82, 0.47)), fill=255)
    d.polygon(_points(s, (0.29, 0.45), (0.36, 0.32), (0.47, 0.32), (0.47, 0.45)), fill=0)
    d.polygon(_points(s, (0.52, 0.45), (0.52, 0.32), (0.63, 0.32), (0.72, 0.45)), fill=0)
    for x in (0.25, 0.75):
        _ellipse(d, s, x - 0.12, 0.6, x + 0.12, 0.84)


def _dog(d: ImageDraw.ImageDraw, s: float) -> None:
    _ellipse(d, s, 0.18, 0.4, 0.74, 0.66)
    _ellipse(d, s, 0.62, 0.22, 0.86, 0.48)
    d.rounded_rectangle((0.76 * s, 0.32 * s, 0.97 * s, 0.45 * s), radius=0.05 * s, fill=255)
    d.polygon(_points(s, (0.64, 0.28), (0.6, 0.5), (0.7, 0.42)), fill=255)
    _bar(d, s, [(0.68, 0.4), (0.64, 0.55)], 0.16)
    _bar(d, s, [(0.22, 0.48), (0.1, 0.36), (0.06, 0.24)], 0.06)
    for x, to in ((0.26, 0.2), (0.36, 0.38), (0.6, 0.58), (0.69, 0.73)):
        _bar(d, s, [(x, 0.58), (to, 0.86)], 0.08)


def _bird(d: ImageDraw.ImageDraw, s: float) -> None:
    _ellipse(d, s, 0.3, 0.44, 0.76, 0.66)
    _ellipse(d, s, 0.68, 0.36, 0.86, 0.54)
    d.polygon(_points(s, (0.84, 0.42), (0.97, 0.46), (0.84, 0.49)), fill=255)
    d.polygon(_points(s, (0.36, 0.5), (0.04, 0.44), (0.08, 0.62), (0.36, 0.6)), fill=255)
    d.polygon(_points(s, (0.42, 0.5), (0.26, 0.1), (0.66, 0.5)), fill=255)


def _house(d: ImageDraw.ImageDraw, s: float) -> None:
    d.polygon(_points(s, (0.03, 0.5), (0.5, 0.06), (0.97, 0.5)), fill=255)
    d.rectangle((0.16 * s, 0.48 * s, 0.84 * s, 0.94 * s), fill=255)
    d.rectangle((0.42 * s, 0.66 * s, 0.58 * s, 0.94 * s), fill=0)


def _tree(d: ImageDraw.ImageDraw, s: float) -> None:
    for top, half in ((0.03, 0.24), (0.22, 0.33), (0.42, 0.42)):
        d.polygon(_points(s, (0.5, top), (0.5 - half, top + 0.36), (0.5 + half, top + 0.36)), fill=255)
    d.rectangle((0.43 * s, 0.76 * s, 0.57 * s, 0.97 * s), fill=255)


def _fish(d: ImageDraw.ImageDraw, s: float) -> None:
    _ellipse(d, s, 0.26, 0.26, 0.97, 0.74)
    d.polygon(_points(s, (0.36, 0.5), (0.03, 0.22), (0.03, 0.78)), fill=255)
    _ellipse(d, s, 0.8, 0.4, 0.87, 0.47, 0)


def _boat(d: ImageDraw.ImageDraw, s: float) -> None:
    d.polygon(_points(s, (0.06, 0.68), (0.94, 0.68), (0.78, 0.92), (0.22, 0.92)), fill=255)
    d.polygon(_points(s, (0.5, 0.05), (0.5, 0.62), (0.14, 0.62)), fill=255)
    d.polygon(_points(s, (0.56, 0.16), (0.56, 0.62), (0.86, 0.62)), fill=255)


def _balloon(d: ImageDraw.ImageDraw, s: float) -> None:
    _ellipse(d, s, 0.2, 0.02, 0.8, 0.7)
    d.polygon(_points(s, (0.5, 0.66), (0.44, 0.75), (0.56, 0.75)), fill=255)
    _bar(d, s, [(0.5, 0.74), (0.46, 0.84), (0.52, 0.97)], 0.025)


def _cup(d: ImageDraw.ImageDraw, s: float) -> None:
    _ellipse(d, s, 0.58, 0.3, 0.95, 0.72)
    _ellipse(d, s, 0.66, 0.39, 0.87, 0.63, 0)
    d.polygon(_points(s, (0.1, 0.16), (0.74, 0.16), (0.68, 0.9), (0.16, 0.9)), fill=255)


def _cross(d: ImageDraw.ImageDraw, s: float) -> None:
    d.rectangle((0.36 * s, 0.06 * s, 0.64 * s, 0.94 * s), fill=255)
    d.rectangle((0.06 * s, 0.36 * s, 0.94 * s, 0.64 * s), fill=255)


SHAPES: Final[dict[str, Draw]] = {
    "ball": _ball,
    "box": _box,
    "star": _star,
    "ring": _ring,
    "triangle": _polygon((0.5, 0.05), (0.97, 0.92), (0.03, 0.92)),
    "arrow": _polygon((0.04, 0.36), (0.54, 0.36), (0.54, 0.12), (0.97, 0.5), (0.54, 0.88), (0.54, 0.64), (0.04, 0.64)),
    "flag": _flag,
    "stick figure": _person,
    "car": _car,
    "dog": _dog,
    "bird": _bird,
    "heart": _heart,
    "moon": _moon,
    "house": _house,
    "tree": _tree,
    "fish": _fish,
    "boat": _boat,
    "balloon": _balloon,
    "cup": _cup,
    "cross": _cross,
}
