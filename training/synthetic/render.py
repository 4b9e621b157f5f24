"""Draws planned films frame by frame: a view of the photo, the things on it, the light and the sensor's noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.synthetic.icons import Icons
from training.synthetic.plan import Mix, Plan, Scene, draw_plan
from training.synthetic.sprites import SHAPES, Sprite, draw, drawn_things
from training.synthetic.stage import Actor
from training.synthetic.truth import Thing, Truth

Image8 = npt.NDArray[np.uint8]
EDGE = 260  # pixels of a frame's edge: what the tower of `mini` sees


@dataclass(frozen=True, slots=True)
class Clip:
    """A film's frames (H, W, 3) and what is true of it."""

    frames: list[Image8]
    truth: Truth


class Painter:
    """Draws the frames of films; `icons` are used beside our own drawings where given, in `share` of the things."""

    def __init__(self, icons: Icons | None = None, *, edge: int = EDGE, share: float = 0.5) -> None:
        self.icons, self.edge = icons, edge
        drawn = drawn_things()
        named = icons.things if icons else []
        # The cast repeats names so that a drawn choice from it keeps the share; a film holds no name twice.
        repeats = max(1, round(share / (1 - share) * len(drawn) / len(named))) if named and share < 1 else 1
        self.cast: list[Thing] = [*drawn, *named * repeats] if share < 1 or not named else named
        side = edge + edge // 4
        self._noise = np.random.default_rng(7).standard_normal((side, side, 3)).astype(np.float32)
        self._sprite = lru_cache(maxsize=512)(self._drawn)
        self._resized = lru_cache(maxsize=512)(self._scaled)

    def frame(self, plan: Plan, number: int, photo: Image8) -> Image8:
        """Frame `number` of a film; `photo` (H, W, 3) is the one its scene shows."""
        scene = next(scene for scene in plan.scenes if scene.first <= number < scene.last)
        t = number - scene.first
        canvas = self._view(scene, t, photo)
        for actor in scene.actors:
            self._place(canvas, actor, scene, t)
        if scene.light[t] != 1.0:
            canvas *= scene.light[t]
        if plan.noise:
            rng = np.random.default_rng([plan.seed, number])
            y, x = (int(rng.integers(0, self.edge // 4)) for _ in range(2))
            canvas += self._noise[y : y + self.edge, x : x + self.edge] * np.float32(rng.choice((-1, 1)) * plan.noise)
        return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)

    def film(self, plan: Plan, photos: Sequence[Image8]) -> Clip:
        """All frames of a film over `photos`, as its plan numbers them."""
        shown = {scene.photo: photos[scene.photo] for scene in plan.scenes}
        numbers = [(scene.photo, number) for scene in plan.scenes for number in range(scene.first, scene.last)]
        return Clip([self.frame(plan, number, shown[photo]) for photo, number in numbers], plan.truth)

    def _view(self, scene: Scene, t: int, photo: Image8) -> npt.NDArray[np.float32]:
        shot = scene.shots[t]
        height, width = photo.shape[:2]
        box = (
            shot.left * width,
            shot.top * height,
            min(width, (shot.left + shot.edge) * width),
            min(height, (shot.top + shot.edge) * height),
        )
        picture = Image.fromarray(photo).resize((self.edge, self.edge), Image.Resampling.BICUBIC, box=box)
        return np.asarray(picture, np.float32).copy()

    def _place(self, canvas: npt.NDArray[np.float32], actor: Actor, scene: Scene, t: int) -> None:
        shot = scene.shots[t]
        if actor.inside(t, shot) <= 0:
            return
        side = max(4, round(actor.edge / shot.edge * self.edge))
        sprite = self._resized(actor.thing, side, actor.mirrored)
        x, y = actor.place(t)
        left = round((x - shot.left) / shot.edge * self.edge - side / 2)
        top = round((y - shot.top) / shot.edge * self.edge - side / 2)
        x0, y0 = max(0, left), max(0, top)
        x1, y1 = min(self.edge, left + side), min(self.edge, top + side)
        if x0 < x1 and y0 < y1:
            part = sprite[y0 - top : y1 - top, x0 - left : x1 - left]
            alpha = part[..., 3:]
            under = canvas[y0:y1, x0:x1]
            under += (part[..., :3] - under) * alpha

    def _drawn(self, thing: Thing) -> Sprite:
        if thing.shape in SHAPES and thing.colour:
            return draw(thing.shape, thing.colour)
        assert self.icons is not None, f"{thing.name} is an icon, and no icons were given"
        return self.icons.sprite(thing.name)

    def _scaled(self, thing: Thing, side: int, mirrored: bool) -> Sprite:
        sprite = self._sprite(thing)
        alpha = sprite[..., 3:]
        whole = np.concatenate([sprite[..., :3], alpha * 255], -1)
        image = Image.fromarray(np.clip(whole, 0, 255).astype(np.uint8), "RGBA")
        rows = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), np.float32)
        rows = np.concatenate([rows[..., :3], rows[..., 3:] / 255], -1)
        return rows[:, ::-1] if mirrored else rows


def render(what: Plan | int, photos: Sequence[Image8], *, mix: Mix | None = None, sprites: Path | None = None) -> Clip:
    """A film: a plan, or the one that is drawn from a seed over `photos`; `sprites` is a folder of named icons."""
    painter = Painter(Icons(sprites) if sprites else None)
    plan = what if isinstance(what, Plan) else draw_plan(what, len(photos), painter.cast, mix)
    return painter.film(plan, photos)
