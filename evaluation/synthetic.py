"""Films with exact truth for the evaluations: drawn from photos that no training saw, encoded as ordinary video files.

The photos are Flickr8k's dev split where the folder is that data set, else every JPEG in it. Films are kept in the
program's cache folder, named by all that they depend on, so that a report made later finds their frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av import VideoFrame
from av.video.stream import VideoStream

from llama_vid.errors import ConfigError
from llama_vid.llm.converted import cache_folder
from llama_vid.stream.file import FileSource
from training.features import load_photo
from training.flickr8k import photos_in, photos_of, read_captions
from training.synthetic.plan import Mix, Plan, draw_plan
from training.synthetic.render import Painter
from training.synthetic.truth import Truth

SEED: Final = 4_000_000  # far from the seeds that training films are drawn from
QUALITY: Final = 18  # constant rate factor of H.264: what a good camera writes
#: Longer than training's films, with more that happens; a thing or the camera moves in most of them.
LONG: Final = Mix(
    frames=(14, 24),
    scenes=(0.45, 0.4, 0.15),
    things=(0.25, 0.5, 0.25),
    camera=(("still", 0.6), ("pan", 0.16), ("zoom", 0.12), ("shake", 0.12)),
    quiet=0.1,
)
#: The shape of films: changing what a plan draws changes their names.
DRAWN: Final = 1


@dataclass(frozen=True, slots=True)
class TrueFilm:
    """A film's file, and what is true of it."""

    path: Path
    truth: Truth

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.truth.instants) * 1.0


def unseen_photos(folder: Path) -> list[Path]:
    """The photos of a folder that films are drawn from. Raises ConfigError if there are none."""
    if (folder / "captions.tsv").is_file():
        return [photo.path for photo in photos_of(read_captions(folder), "dev", folder)]
    return photos_in(folder)


def true_films(folder: Path, count: int, *, seed: int = SEED, mix: Mix = LONG) -> list[TrueFilm]:
    """`count` films over the photos of a folder: the same for the same arguments. Raises ConfigError, SourceError."""
    photos, painter = unseen_photos(folder), Painter()
    place = cache_folder() / "films"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigError(
            f"{place} cannot be made ({problem.strerror}); make room or set XDG_CACHE_HOME to a folder that can be "
            "written"
        ) from None
    films = []
    for number in range(count):
        plan = draw_plan(seed + number, len(photos), painter.cast, mix)
        path = place / f"{seed + number}-{_digest(plan, photos)}.mp4"
        if not path.is_file():
            shown = {scene.photo: load_photo(photos[scene.photo]) for scene in plan.scenes}
            scenes = [(scene, t) for scene in plan.scenes for t in range(scene.first, scene.last)]
            write_film(path, [painter.frame(plan, t, shown[scene.photo]) for scene, t in scenes], plan.fps)
        films.append(TrueFilm(path, plan.truth))
    return films


def write_film(path: Path, frames: Sequence[npt.NDArray[np.uint8]], fps: float = 1.0) -> None:
    """Encode RGB frames (H, W, 3) with H.264 at `fps`, in one rename."""
    fresh = path.with_suffix(".part.mp4")
    with av.open(str(fresh), "w") as out:
        options = {"crf": str(QUALITY), "preset": "veryfast", "threads": "1"}
        stream = out.add_stream("libx264", rate=Fraction(fps).limit_denominator(100), options=options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = frames[0].shape[0], frames[0].shape[1], "yuv420p"
        for number, image in enumerate(frames):
            picture = VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1) / Fraction(fps).limit_denominator(100)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    fresh.rename(path)


def cut_out(film: TrueFilm, first: int, last: int) -> Path:
    """The frames first … last - 1 of a film as a film of their own, beside it."""
    part = film.path.with_name(f"{film.path.stem}-{first}-{last}.mp4")
    if not part.is_file():
        frames = [frame.image for frame in FileSource(film.path) if first <= round(frame.seconds) < last]
        write_film(part, frames)
    return part


def _digest(plan: Plan, photos: Sequence[Path]) -> str:
    names = [photos[scene.photo].name for scene in plan.scenes]
    return hashlib.sha256(f"{DRAWN} {QUALITY} {plan!r} {names}".encode()).hexdigest()[:12]
