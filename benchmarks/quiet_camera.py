"""A day before a quiet camera, frame by frame: what makes stillness hard, with real clips as the events in it.

Sensor noise, light that changes slowly, a shadow that wanders, an on-screen clock that ticks, picture quality that
pumps with the key frames, and a night in infrared: grey, darker and noisier, switched from one second to the next.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from llama_vid.stream.file import FileSource
from llama_vid.tokenizer.tower import squash

Picture = npt.NDArray[np.uint8]

SIDE: Final = 260  # pixels: frames are made at the tower's size, so that a day fits into minutes
DAY_NOISE, NIGHT_NOISE = 3.0, 8.0  # grey levels, standard deviation
SUNRISE, SUNSET = 6.5, 19.0  # hours of the day between which the camera sees in colour
GROUP: Final = 10  # frames from key frame to key frame
LIGHT_STEP: Final = 20  # seconds for which the light is computed once
EVENT_SECONDS: Final = 15  # of a clip, at most


@dataclass(frozen=True, slots=True)
class Event:
    """A clip that fills the picture from `start` (seconds into the day) on, one of its frames a second."""

    start: int
    path: Path
    frames: tuple[Picture, ...]

    @property
    def end(self) -> int:
        """The first second after it."""
        return self.start + len(self.frames)


def planned(paths: Sequence[Path], seconds: int, seed: int = 3) -> list[Event]:
    """One event for each clip, in shuffled order, spread over `seconds` with quiet between any two."""
    dice = random.Random(seed)
    order = dice.sample(list(paths), len(paths))
    room = seconds // max(1, len(order))
    events = []
    for number, path in enumerate(order):
        frames = []
        for frame in FileSource(path):
            frames.append(squash(frame.image, SIDE))
            if len(frames) == EVENT_SECONDS:
                break
        slack = max(1, room - len(frames) - 40)
        events.append(Event(number * room + 20 + dice.randrange(slack), path, tuple(frames)))
    return events


def empty_scene(path: Path, most: int = 200) -> Picture:
    """What a camera that does not move sees when nobody is there: the median over a clip's frames."""
    frames = []
    for frame in FileSource(path, fps=5):
        frames.append(squash(frame.image, SIDE))
        if len(frames) == most:
            break
    median: Picture = np.median(np.stack(frames), axis=0).astype(np.uint8)
    return median


class QuietCamera:
    """The frames of a day, second by second from `hour` o'clock on."""

    def __init__(self, scene: Picture, events: Sequence[Event], *, hour: float = 0.0, seed: int = 5) -> None:
        dice = np.random.default_rng(seed)
        self._scene = scene.astype(np.float32)
        self._grey = np.repeat(self._scene.mean(axis=2, keepdims=True), 3, axis=2)
        self._pool = [dice.normal(0, 1, (SIDE, SIDE, 3)).astype(np.float32) for _ in range(24)]
        self._dice = random.Random(seed)
        self._hour = hour
        self._by_second = {event.start + index: image for event in events for index, image in enumerate(event.frames)}
        self._lit: tuple[int, list[npt.NDArray[np.float32]]] | None = None
        self._font = ImageFont.load_default(11)

    def frames(self, start: int, end: int) -> Iterator[Picture]:
        """The pictures of the seconds [start, end)."""
        for second in range(start, end):
            yield self.frame(second)

    def frame(self, second: int) -> Picture:
        """The picture of one second, its clock painted in."""
        night = self._is_night(second)
        event = self._by_second.get(second)
        base = event.astype(np.float32) if event is not None else self._quiet(second, night)
        noise = self._pool[self._dice.randrange(len(self._pool))]
        noise = np.roll(noise, (self._dice.randrange(SIDE), self._dice.randrange(SIDE)), axis=(0, 1))
        # Events are shown as their clips are: a comparison with the clip alone must not be one of image quality.
        level = 1.0 if event is not None else NIGHT_NOISE if night else DAY_NOISE
        image = (base + level * noise).clip(0, 255).astype(np.uint8)
        return self._stamped(image, second)

    def _quiet(self, second: int, night: bool) -> npt.NDArray[np.float32]:
        """The empty scene in the light of the moment; worst just before a key frame."""
        step = second // LIGHT_STEP
        if self._lit is None or self._lit[0] != step:
            self._lit = (step, self._pumping(self._light(step * LIGHT_STEP, night)))
        return self._lit[1][second % GROUP]

    def _light(self, second: int, night: bool) -> npt.NDArray[np.float32]:
        hour = (self._hour + second / 3600) % 24
        if night:
            return self._grey * np.float32(0.6) + np.float32(10)
        height = np.sin(np.pi * (hour - SUNRISE) / (SUNSET - SUNRISE))
        gain = 0.55 + 0.5 * max(0.0, float(height)) + 0.06 * np.sin(second / 700.0)  # clouds pass
        # A soft shadow goes from left to right over the day.
        edge = (hour - SUNRISE) / (SUNSET - SUNRISE) * SIDE
        shade = 1.0 - 0.25 / (1.0 + np.exp((np.abs(np.arange(SIDE) - edge) - 25) / 6))
        lit: npt.NDArray[np.float32] = (self._scene * gain * shade[None, :, None]).clip(0, 255).astype(np.float32)
        return lit

    @staticmethod
    def _pumping(scene: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """The scene as it looks in each frame of a group: sharp at the key frame, then ever coarser."""
        whole = scene.clip(0, 255).astype(np.uint8)
        out = io.BytesIO()
        Image.fromarray(whole).save(out, "JPEG", quality=35)
        coarse = np.asarray(Image.open(out).convert("RGB"), dtype=np.float32)
        return [scene + (coarse - scene) * np.float32(index / GROUP) for index in range(GROUP)]

    def _is_night(self, second: int) -> bool:
        hour = (self._hour + second / 3600) % 24
        return not SUNRISE <= hour < SUNSET

    def _stamped(self, image: Picture, second: int) -> Picture:
        """The picture with the time of day in its corner."""
        whole = (int(self._hour * 3600) + second) % 86_400
        text = f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
        patch = Image.fromarray(np.ascontiguousarray(image[4:18, 4:64]))
        draw = ImageDraw.Draw(patch)
        draw.rectangle((0, 0, 59, 13), fill=(0, 0, 0))
        draw.text((2, 0), text, fill=(255, 255, 255), font=self._font)
        image[4:18, 4:64] = np.asarray(patch)
        return image
