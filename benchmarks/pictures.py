"""Real pictures to fill hours with: scenes of eight frames a second apart, cut from real clips and played shuffled.

Hours of distinct film would have to be fetched and decoded; a few hundred distinct pictures in shuffled scenes give a
memory as many different entries, cuts and motion, and every picture goes through the program as a camera's would.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.samples import sample_film
from evaluation.run import data_folder
from llama_vid.errors import ConfigError
from llama_vid.stream.file import FileSource

SCENE: Final = 8  # frames of a scene
WIDTH: Final = 640  # pixels: wider pictures are made smaller, as a camera's second stream is
CLIP_FPS: Final = 4.0  # a scene lasts two seconds of the clip and eight of the memory
SAMPLES: Final = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")
SAMPLE_FPS: Final = 16.0  # the sample films last seconds: more frames of each are taken


@dataclass(frozen=True, slots=True)
class Picture:
    """One RGB picture (H, W, 3) uint8; `number` tells it from every other one."""

    number: int
    image: npt.NDArray[np.uint8]


def clip_files() -> list[tuple[Path, float]]:
    """The clips with the frames a second to take of each: the evaluation's (LLAMA_VID_DATA), else the sample films.

    Raises ConfigError where neither is there.
    """
    data = data_folder()
    found = sorted((data / "clips").glob("*.mp4")) if data is not None else []
    return [(path, CLIP_FPS) for path in found] or [(sample_film(name), SAMPLE_FPS) for name in SAMPLES]


def scenes(limit: int, files: Sequence[tuple[Path, float]] | None = None) -> list[list[Picture]]:
    """Up to `limit` scenes of SCENE pictures each, an equal share from every clip. Raises ConfigError for none."""
    files = clip_files() if files is None else files
    share = max(1, -(-limit // max(1, len(files))))
    out: list[list[Picture]] = []
    for path, fps in files:
        images: list[npt.NDArray[np.uint8]] = []
        for frame in FileSource(path, fps=fps):
            images.append(narrowed(frame.image))
            if len(images) == SCENE * share:
                break
        for at in range(0, len(images) - SCENE + 1, SCENE):
            number = SCENE * len(out)
            out.append([Picture(number + i, image) for i, image in enumerate(images[at : at + SCENE])])
        if len(out) >= limit:
            break
    if not out:
        raise ConfigError("no clip lasts as long as one scene; set LLAMA_VID_DATA to a folder with clips/*.mp4")
    return out[:limit]


def shuffled(found: Sequence[Sequence[Picture]], seed: int = 1) -> Iterator[Picture]:
    """The scenes' pictures without end, scene after scene, each round in another order."""
    dice = random.Random(seed)
    while True:
        for scene in dice.sample(found, len(found)):
            yield from scene


def narrowed(image: npt.NDArray[np.uint8], width: int = WIDTH) -> npt.NDArray[np.uint8]:
    """The picture at most `width` pixels wide."""
    if image.shape[1] <= width:
        return image
    height = max(2, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
