"""An hour of film made of a clip set: each clip once, in a drawn order, with photos held still between them.

The photos are of Flickr8k's test split, never trained on; those whose captions share a word with a rule are left out,
so that the clips' labels say where in the hour a rule is true.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evaluation.clips import Clip
from evaluation.flickr import CaptionedPhoto, load_photo
from evaluation.model import Photo
from evaluation.moments import written
from llama_vid.errors import SourceError
from llama_vid.stream.file import FileSource
from llama_vid.tokenizer.vocabulary import looked_for

logger = logging.getLogger(__name__)

SECONDS: Final = 3600
#: Seconds that a photo is held.
HELD: Final = 6
SEED: Final = 0
#: Words of rules that say nothing about what is seen.
PLAIN: Final = frozenset({"a", "an", "the", "of", "on", "in", "with", "at", "and", "or", "to", "is", "are", "some"})


@dataclass(frozen=True, slots=True)
class Placed:
    """A clip and the seconds [start, end) that it takes in the hour."""

    clip: Clip
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Hour:
    """The film's file, its length in seconds, and the clips in time order."""

    path: Path
    seconds: int
    placed: tuple[Placed, ...]

    def at(self, second: float) -> Clip | None:
        """The clip that is shown at a second; None for a photo."""
        return next((each.clip for each in self.placed if each.start <= second < each.end), None)


def words_of(text: str) -> set[str]:
    """A text's words, lower-cased, plurals cut."""
    return {word.rstrip("s") for word in re.findall(r"[a-z]+", text.lower()) if word not in PLAIN}


def unlike(photos: Sequence[CaptionedPhoto], texts: Sequence[str]) -> list[CaptionedPhoto]:
    """The photos whose captions share no word with the texts, nor with the kinds of what these name."""
    words = set().union(*(words_of(phrase) for text in texts for phrase in (text, *looked_for(text))))
    return [photo for photo in photos if not words & words_of(" ".join(photo.captions))]


def make_hour(
    clips: Sequence[Clip],
    photos: Sequence[CaptionedPhoto],
    path: Path,
    *,
    seconds: int = SECONDS,
    tick: Callable[[], None] = lambda: None,
) -> Hour:
    """Write the film, one frame a second. A clip that cannot be read, or does not fit any more, is left out.

    Between two clips stand as many photos as fill the hour evenly; they begin again when they run out.
    """
    order = random.Random(SEED).sample(list(clips), len(clips))
    between = max(HELD, int((seconds - sum(clip.seconds for clip in clips)) / (len(order) + 1)))
    stills = _held(photos)
    placed: list[Placed] = []
    at = 0
    with written(path) as show:
        for clip in order:
            for _ in range(min(between, seconds - at)):
                show(next(stills))
                at += 1
            start = at
            try:
                for frame in FileSource(clip.path):
                    if at < seconds:
                        show(frame.image)
                        at += 1
            except SourceError as problem:
                logger.warning("%s: %s", clip.path.name, problem)
            if at > start:
                placed.append(Placed(clip, start, at))
            tick()
        while at < seconds:
            show(next(stills))
            at += 1
    return Hour(path, at, tuple(placed))


def _held(photos: Sequence[CaptionedPhoto]) -> Iterator[Photo]:
    while True:
        for photo in photos:
            picture = load_photo(photo.path)
            for _ in range(HELD):
                yield picture
