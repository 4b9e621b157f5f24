"""The best frames of what is, or may become, an event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from llama_vid.tokenizer.seen import Seen

#: Frames that are kept for the second look, the best ones: what a yes/no question reads.
KEPT: Final = 8
#: Pictures that stand for an event, and the seconds that lie between two of them at least.
PICTURES: Final = 3
APART: Final = 2.0


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame (its patch features not kept) and how likely it satisfies the rule."""

    seen: Seen
    probability: float


class Album:
    """Frames of one rule as they come, of which the KEPT best stay."""

    def __init__(self) -> None:
        self._frames: list[Shown] = []  # best first, earlier ones first among equals

    def add(self, seen: Seen, probability: float) -> None:
        """Take in the next frame."""
        self._frames.append(Shown(replace(seen, patches=None), probability))
        self._frames.sort(key=lambda shown: (-shown.probability, shown.seen.seconds))
        del self._frames[KEPT:]

    def drop_before(self, seconds: float) -> None:
        """Forget what was shown before a time."""
        self._frames = [shown for shown in self._frames if shown.seen.seconds >= seconds]

    def __iter__(self) -> Iterator[Shown]:
        """The kept frames in time order."""
        return iter(sorted(self._frames, key=lambda shown: shown.seen.seconds))

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def best(self) -> Shown | None:
        """The best frame."""
        return self._frames[0] if self._frames else None

    @property
    def pictures(self) -> tuple[float, ...]:
        """The times of the pictures to show, the best first, APART seconds from each other."""
        found: list[float] = []
        for shown in self._frames:
            if len(found) < PICTURES and all(abs(shown.seen.seconds - other) >= APART for other in found):
                found.append(shown.seen.seconds)
        return tuple(found)
