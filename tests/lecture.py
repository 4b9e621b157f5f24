"""A lecture as a film for pictures of the page: slides that change, and read speech where the evaluation data is."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from evaluation.run import data_folder

#: What the slides say and from which second on; the speech is about the history of printing.
SLIDES = (
    (0, "The art of printing", ("Older than the press: wood blocks", "China, then the Netherlands")),
    (28, "Movable type", ("Metal letters, about 1450", "The forty-two line Bible, 1455")),
    (61, "What makes a page", ("The letter comes first", "Then the space around it")),
)
SIZE = (960, 540)
RATE = 5  # pictures a second


def speech() -> Path | None:
    """The read lecture of the evaluation data; None where it is not."""
    folder = data_folder()
    path = folder / "speech" / "lecture.flac" if folder is not None else None
    return path if path is not None and path.is_file() else None


def slide(title: str, lines: tuple[str, ...]) -> Image.Image:
    """One slide."""
    picture = Image.new("RGB", SIZE, "#f5f1e8")
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, 18, SIZE[1]), fill="#7a3b2e")
    pen.text((80, 120), title, fill="#2c2320", font=ImageFont.load_default(60))
    for number, line in enumerate(lines):
        pen.text((84, 250 + 62 * number), f"-  {line}", fill="#5a4c46", font=ImageFont.load_default(32))
    return picture


def write_lecture(path: Path, sound: Path) -> Path:
    """The slides with that sound, as long as it is."""
    with av.open(str(sound)) as heard, av.open(str(path), "w") as out:
        film = out.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "g": str(RATE)})
        film.width, film.height, film.pix_fmt = *SIZE, "yuv420p"
        voice = out.add_stream("aac", rate=heard.streams.audio[0].rate, layout="mono")
        seconds = 0.0
        for block in heard.decode(audio=0):
            seconds = float((block.pts + block.samples) * block.time_base) if block.pts is not None else seconds
            out.mux(voice.encode(block))
        out.mux(voice.encode(None))
        pictures = [(start, np.asarray(slide(title, lines))) for start, title, lines in SLIDES]
        for number in range(int(seconds * RATE)):
            shown = [pixels for start, pixels in pictures if start <= number / RATE][-1]
            out.mux(film.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        out.mux(film.encode(None))
    return path
