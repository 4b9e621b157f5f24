"""A lecture of twenty minutes, made of recorded speech and drawn slides: six slides, each with its own passage.

On every slide its passage is spoken again and again, with pauses: half of the time somebody speaks. What is said, and
which photo is shown, is known to the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from llama_vid.stream.audio import RATE
from llama_vid.stream.audio_file import AudioFile

Wave = npt.NDArray[np.float32]

#: How long a slide stands, and the silence between two passages, in seconds.
SLIDE_S: Final = 200.0
PAUSE_S: Final = 9.0
WIDTH, HEIGHT = 640, 360


@dataclass(frozen=True, slots=True)
class Part:
    """One slide: its title, the stretches of `lecture.flac` (or whole other files) that are spoken, and a photo."""

    title: str
    spoken: tuple[tuple[float, float] | str, ...]
    photo: str = ""


#: Times are those of the sentences in lecture.json.
PARTS: Final = (
    Part("What is printing?", ((0.0, 12.15), (53.3, 61.3))),
    Part("Block books", ((12.15, 27.76),), photo="dog"),
    Part("Gutenberg", ((27.76, 53.33),)),
    Part("The letter", ((61.3, 87.04),), photo="horse"),
    Part("Calligraphy", ((87.04, 113.0),)),
    Part("Service", ("jfk.flac", "leopard_test.wav")),
)


@dataclass(frozen=True, slots=True)
class Lecture:
    """The film and what is known of it: `starts` are the slides', `spoken[n]` the beginnings of a slide's passages."""

    path: Path
    starts: tuple[float, ...]
    spoken: tuple[tuple[float, ...], ...]

    @property
    def seconds(self) -> float:
        return SLIDE_S * len(PARTS)


def make_lecture(speech: Path, photos: dict[str, Path], target: Path) -> Lecture:
    """Write the film; `photos` has a picture for each kind that a part names."""
    whole = sound_of(speech / "lecture.flac")
    wave = np.zeros(round(SLIDE_S * len(PARTS) * RATE), dtype=np.float32)
    spoken = []
    for number, part in enumerate(PARTS):
        pieces = [sound_of(speech / what) if isinstance(what, str) else _cut(whole, *what) for what in part.spoken]
        passage = np.concatenate(pieces)
        at, begins = number * SLIDE_S + 1.0, []
        while at + len(passage) / RATE < (number + 1) * SLIDE_S - 1.0:
            first = round(at * RATE)
            wave[first : first + len(passage)] = passage
            begins.append(at)
            at += len(passage) / RATE + PAUSE_S
        spoken.append(tuple(begins))
    slides = [_slide(part, photos) for part in PARTS]
    _write(target, slides, wave)
    return Lecture(target, tuple(n * SLIDE_S for n in range(len(PARTS))), tuple(spoken))


def sound_of(path: Path) -> Wave:
    return np.concatenate([block.samples for block in AudioFile(path)])


def _cut(wave: Wave, start: float, end: float) -> Wave:
    return wave[round(start * RATE) : round(end * RATE)]


def _slide(part: Part, photos: dict[str, Path]) -> npt.NDArray[np.uint8]:
    """A title, and a photo that fills the rest, or lines of text."""
    slide = Image.new("RGB", (WIDTH, HEIGHT), (250, 250, 245))
    draw = ImageDraw.Draw(slide)
    draw.text((24, 12), part.title, fill=(20, 20, 60), font=ImageFont.load_default(36))
    if part.photo:
        photo = Image.open(photos[part.photo]).convert("RGB").resize((WIDTH - 40, HEIGHT - 80))
        slide.paste(photo, (20, 66))
    else:
        for row in range(5):
            draw.text(
                (40, 90 + 48 * row),
                f"{part.title} – point {row + 1}",
                fill=(60, 60, 60),
                font=ImageFont.load_default(24),
            )
    return np.asarray(slide)


def _write(target: Path, slides: list[npt.NDArray[np.uint8]], wave: Wave) -> None:
    """A picture a second and the sound, as MP4."""
    with av.open(str(target), "w") as out:
        film = out.add_stream("libx264", rate=1, options={"preset": "ultrafast", "crf": "28", "g": "10"})
        film.width, film.height, film.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = out.add_stream("aac", rate=RATE, layout="mono")
        for number in range(round(len(slides) * SLIDE_S)):
            picture = av.VideoFrame.from_ndarray(slides[int(number // SLIDE_S)], format="rgb24")
            picture.pts = number
            out.mux(film.encode(picture))
            block = av.AudioFrame.from_ndarray(wave[None, number * RATE : (number + 1) * RATE], "fltp", "mono")
            block.sample_rate, block.pts = RATE, number * RATE
            for packet in sound.encode(block):
                out.mux(packet)
        out.mux(film.encode(None))
        out.mux(sound.encode(None))
