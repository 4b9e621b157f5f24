"""What a film will show, drawn from a seed before any pixel is: scenes, camera, light, and the parts things play.

Places are shares of the photo's edge, whatever its size. The truth of a film follows from its plan alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from training.synthetic.stage import Actor, Shot, draw_actor, draw_light, draw_shot
from training.synthetic.truth import Instant, Thing, Truth

SHORTEST: Final = 3  # frames of a scene
IN_SIGHT: Final = 0.3  # share of a thing's square inside the picture from which on it counts as seen
NUDGE: Final = 0.01  # of the photo's edge: a thing that went further moved


@dataclass(frozen=True, slots=True)
class Mix:
    """How films are drawn: frames each, weights of 1, 2, 3 … scenes, of 0, 1, 2 … things a scene, of each camera;
    chances of a quiet film (nothing moves), of changing light and of sensor noise; the strongest noise, in grey
    levels."""

    frames: tuple[int, int] = (4, 12)
    scenes: tuple[float, ...] = (0.5, 0.35, 0.15)
    things: tuple[float, ...] = (0.3, 0.45, 0.25)
    camera: tuple[tuple[str, float], ...] = (("still", 0.55), ("pan", 0.17), ("zoom", 0.13), ("shake", 0.15))
    quiet: float = 0.25
    light: float = 0.25
    noise: float = 0.6
    strongest: float = 6.0
    fps: float = 1.0


@dataclass(frozen=True, slots=True)
class Scene:
    """The frames first … last - 1: one photo, seen through `shots`, under `light`, with actors on it."""

    photo: int
    first: int
    last: int
    shots: tuple[Shot, ...]
    light: tuple[float, ...]
    actors: tuple[Actor, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A film before it is drawn; `noise` in grey levels; `actors` and `truth` number things in their order."""

    seed: int
    scenes: tuple[Scene, ...]
    noise: float
    fps: float

    @property
    def frames(self) -> int:
        """How many frames the film has."""
        return self.scenes[-1].last

    @property
    def things(self) -> tuple[Thing, ...]:
        """All things, in the order of their scenes."""
        return tuple(actor.thing for scene in self.scenes for actor in scene.actors)

    @property
    def truth(self) -> Truth:
        """What is true of every frame."""
        instants, number = [], 0
        for index, scene in enumerate(self.scenes):
            for t in range(scene.last - scene.first):
                shot = scene.shots[t]
                seen, moving = [], []
                for i, actor in enumerate(scene.actors, number):
                    inside = actor.inside(t, shot) >= IN_SIGHT
                    before = t > 0 and actor.inside(t - 1, scene.shots[t - 1]) >= IN_SIGHT
                    if inside:
                        seen.append(i)
                    if t > 0 and (inside or before) and actor.moved(t) >= NUDGE:
                        moving.append(i)
                second = (scene.first + t) / self.fps
                instants.append(
                    Instant(second, index, scene.photo, shot.move, scene.light[t], tuple(seen), tuple(moving))
                )
            number += len(scene.actors)
        return Truth(tuple(instants), self.things)


def draw_plan(seed: int, photos: int | Sequence[int], cast: Sequence[Thing], mix: Mix | None = None) -> Plan:
    """The plan of film `seed`: its scenes show some of `photos` (a count, or the numbers allowed), its things are of
    `cast`, no two of one name."""
    mix = mix or Mix()
    rng = np.random.default_rng([seed, 20])
    frames = int(rng.integers(mix.frames[0], mix.frames[1] + 1))
    most = max(1, min(len(mix.scenes), frames // SHORTEST))
    weights = np.array(mix.scenes[:most])
    count = 1 + int(rng.choice(most, p=weights / weights.sum()))
    allowed = np.arange(photos) if isinstance(photos, int) else np.array(photos)
    shown = rng.choice(allowed, count, replace=count > len(allowed))
    left = frames - min(SHORTEST, frames) * count
    ends = [SHORTEST * (i + 1) + int(at) for i, at in enumerate(np.sort(rng.integers(0, left + 1, count)))]
    ends[-1] = frames
    quiet = bool(rng.random() < mix.quiet)
    names: set[str] = set()
    scenes, first = [], 0
    for photo, last in zip(shown, ends, strict=True):
        modes, chances = zip(*mix.camera, strict=True)
        mode = "still" if quiet else str(rng.choice(modes, p=np.array(chances) / sum(chances)))
        shots = draw_shot(rng, mode, last - first)
        weights = np.array(mix.things) * (1.0 if mode == "still" else 0.4)
        weights[0] = max(weights[0], 1 - weights[1:].sum())
        actors: list[Actor] = []
        for _ in range(int(rng.choice(len(weights), p=weights / weights.sum())) if len(cast) else 0):
            free = rng.choice(len(cast), min(8, len(cast)), replace=False).tolist()
            chosen = next((cast[i] for i in free if cast[i].name not in names), None)
            if chosen is not None:
                names.add(chosen.name)
                actors.append(draw_actor(rng, chosen, shots, actors, still=quiet))
        light = draw_light(rng, last - first) if rng.random() < mix.light else (1.0,) * (last - first)
        scenes.append(Scene(int(photo), first, last, shots, light, tuple(actors)))
        first = last
    noise = float(rng.uniform(0.5, mix.strongest)) if rng.random() < mix.noise else 0.0
    return Plan(seed, tuple(scenes), noise, mix.fps)
