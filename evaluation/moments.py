"""`eval moments`: all clips joined into one film; each clip's caption must find its clip.

The film is made of the frames that the program samples (one a second), squashed to one square picture size, as the
image tower sees them anyway, and taken in like any other file. A query's clips are ranked by their best-scoring moment.
Baselines in the same run: chance, and the image-text score of each clip's last frame alone.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image

from evaluation.case import Case, by_kind
from evaluation.clips import Clip, read_clips
from evaluation.model import Photo, VideoModel
from evaluation.retrieval import encode_texts, unit
from evaluation.scores import first_hits, recall, spread
from llama_vid.errors import SourceError
from llama_vid.llm.answer import Moment
from llama_vid.stream.file import FileSource

logger = logging.getLogger(__name__)

SIDE = 448  # pixels: above every tower's input, so that joining costs no detail that the tower would have seen
SYSTEMS = ("llama-vid", "last-frame")


@dataclass(frozen=True, slots=True)
class Finds:
    """Recall at 1 and 5 over the clips."""

    at_1: float | None
    at_5: float | None

    def to_json(self) -> dict[str, float | None]:
        return {"r@1": self.at_1, "r@5": self.at_5}


@dataclass(frozen=True, slots=True)
class MomentsResult:
    """The system's recalls, the baselines', and the film's length in seconds."""

    n: int
    seconds: int
    system: str
    finds: Finds
    baselines: dict[str, Finds] = field(default_factory=dict)
    missed: tuple[str, ...] = ()
    cases: tuple[Case, ...] = ()

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = {"name": "moments", "n": self.n, "seconds": self.seconds, "system": self.system}
        result |= self.finds.to_json()
        result["by_kind"] = by_kind(self.cases, self.system)
        result["baselines"] = {name: finds.to_json() for name, finds in self.baselines.items()}
        result["not_in_first_five"] = ", ".join(self.missed)
        return result


@dataclass(frozen=True, slots=True)
class Joined:
    """The joined film: its file, the places in the list of the clips that could be read (`kept`), whose each second is
    (a place in `kept`), and each clip's last picture.
    """

    path: Path
    owners: tuple[int, ...]
    last: tuple[Photo, ...]
    kept: tuple[int, ...]


def join_clips(clips: Sequence[Clip], path: Path, tick: Callable[[], None] = lambda: None) -> Joined:
    """Write the clips' sampled frames one after the other, one a second, into one file.

    A clip that cannot be read is left out with a warning. Raises SourceError if none can.
    """
    owners: list[int] = []
    last: list[Photo] = []
    kept: list[int] = []
    with written(path) as show:
        for number, clip in enumerate(clips):
            image: Photo | None = None
            try:
                for frame in FileSource(clip.path):
                    image = frame.image
                    show(image)
                    owners.append(len(kept))
            except SourceError as problem:
                logger.warning("%s: %s", clip.path.name, problem)
            if image is not None:
                kept.append(number)
                last.append(np.array(image))
            tick()
        if not kept:
            raise SourceError(f"none of the {len(clips)} clips can be read; the last is {clips[-1].path}")
    return Joined(path, tuple(owners), tuple(last), tuple(kept))


@contextmanager
def written(path: Path) -> Iterator[Callable[[Photo], None]]:
    """A film of one frame a second in a file, open to be shown pictures of any size."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=1, options={"preset": "veryfast", "crf": "14"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"

        def show(picture: Photo) -> None:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(squashed(picture), format="rgb24")))

        yield show
        container.mux(stream.encode())


def squashed(image: Photo) -> Photo:
    """A picture as the square that the image tower makes of it, in a size that costs no detail."""
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def rank_of(moments: Sequence[Moment], owners: Sequence[int], wanted: int) -> int:
    """The rank (from 0) of the wanted clip among the clips that the moments, best first, fall into.

    A moment falls into the clip that it covers most of. A clip that no moment falls into ranks last.
    """
    seen: list[int] = []
    for moment in sorted(moments, key=lambda moment: -moment.score):
        owner = owner_of(moment, owners)
        if owner not in seen:
            seen.append(owner)
    return seen.index(wanted) if wanted in seen else max(owners)


def owner_of(moment: Moment, owners: Sequence[int]) -> int:
    """The clip that a moment covers most of."""
    start = min(len(owners) - 1, max(0, int(moment.start)))
    covered = owners[start : max(start + 1, round(moment.end))]
    return max(sorted(set(covered)), key=covered.count)


def evaluate_moments(
    model: VideoModel,
    folder: Path,
    *,
    system: str = "",
    limit: int | None = None,
    tick: Callable[[], None] = lambda: None,
) -> MomentsResult:
    """Run the evaluation over a folder of clips; `limit` joins fewer of them."""
    clips = spread(read_clips(folder), limit)
    chosen = system or "llama-vid"
    with tempfile.TemporaryDirectory(prefix="llama-vid-moments-") as place:
        film = join_clips(clips, Path(place) / "joined.mp4", tick)
        clips = [clips[number] for number in film.kept]
        ranks: list[int] = []
        found: list[list[Moment]] = [[] for _ in clips]
        if chosen == "llama-vid":
            watched = model.open(str(film.path))
            # As many moments as seconds: enough to rank every clip.
            found = [watched.search(clip.caption, limit=len(film.owners)) for clip in clips]
            ranks = [rank_of(moments, film.owners, number) for number, moments in enumerate(found)]
    last = _last_frames(model, clips, film)
    if chosen == "last-frame":
        ranks = last
    baselines: dict[str, Finds] = {}
    if not system:
        baselines["last-frame"] = Finds(recall(last, 1), recall(last, 5))
        baselines["chance"] = Finds(1 / len(clips), min(1.0, 5 / len(clips)))
    missed = tuple(clip.path.name for clip, rank in zip(clips, ranks, strict=True) if rank >= 5)
    finds = Finds(recall(ranks, 1), recall(ranks, 5))
    cases = tuple(
        _case(clips, film.owners, number, rank, moments, chosen)
        for number, (rank, moments) in enumerate(zip(ranks, found, strict=True))
    )
    return MomentsResult(len(clips), len(film.owners), chosen, finds, baselines, missed, cases)


def _case(
    clips: Sequence[Clip], owners: Sequence[int], number: int, rank: int, moments: Sequence[Moment], system: str
) -> Case:
    """One sentence: which clip was found first, and where the right one stood."""
    clip, said = clips[number], f"rank {rank + 1}"
    if moments and rank:
        best = max(moments, key=lambda moment: moment.score)
        said = f"{clips[owner_of(best, owners)].caption} (the right clip is at rank {rank + 1})"
    elif not rank:
        said = clip.caption
    return Case(clip.kind, clip.path, f"Find: {clip.caption}", clip.path.name, said, rank == 0, clip.moments, system)


def _last_frames(model: VideoModel, clips: Sequence[Clip], film: Joined) -> list[int]:
    tower = model.bundle.tower
    with torch.inference_mode():
        images = np.concatenate([unit(tower.encode([image]).embedding) for image in film.last])
    scores = encode_texts(tower, [clip.caption for clip in clips]) @ images.T
    order = np.arange(len(clips))
    return [int(rank) for rank in first_hits(scores, order, order)]
