"""Rules tried on what a camera has seen: how often would they have fired since yesterday?

The journal keeps each moment's image embedding and a picture. All moments are scored by their embeddings, which know
whole pictures only; the most promising LOOKED_AT of them are looked at as a camera does, from their pictures: with
regions, the tower's classes and the people probe. Where there are more moments than that, small things can be missed
in those left out. Nothing is verified.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.scoring import RuleScorer
from llama_vid.llm.rules.watcher import RuleWatcher
from llama_vid.memory.alerts import AlertEvent
from llama_vid.memory.journal import CameraJournal
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.seen import Seen
from llama_vid.tokenizer.tower import ImageTower

#: Moments scored in one step, so that no question waits longer than a moment.
AT_A_TIME: Final = 256
#: Moments whose pictures are looked at: some two seconds of work on two cores; BATCH of them in one step.
LOOKED_AT: Final = 90
BATCH: Final = 4
#: Moments around a promising one that are looked at with it: two of three in a row make an event.
AROUND: Final = 2
#: Points of a curve: more than a screen has. Where there are more moments, a point has the highest score of several.
POINTS: Final = 2000
#: Seconds without a moment that are a gap: the camera was away.
_GAP: Final = 5.0
_NOTHING: Final = TokenPair(torch.zeros(1), torch.zeros(1), 0.0, held=False, cut=False)


@dataclass(frozen=True, slots=True)
class Curve:
    """The scores of every rule, by its name, at times that ascend: each the highest until the next one."""

    times: tuple[float, ...]
    scores: dict[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Trial:
    """The events that rules would have raised, in time order, and their scores, over so many `moments`; the pictures of
    `looked_at` of them were looked at.
    """

    events: tuple[AlertEvent, ...]
    curve: Curve
    moments: int
    looked_at: int = 0


def _features(tower: ImageTower, journal: CameraJournal, moments: Sequence[tuple[float, float]]) -> list[Tensor | None]:
    """Patch features (P, C) of moments [start, end); None where no readable picture was kept within one."""
    images = {at: image for at in moments if (image := _picture(journal, *at)) is not None}
    if not images:
        return [None] * len(moments)
    with torch.inference_mode():
        found = dict(zip(images, tower.encode(list(images.values())).patches, strict=True))
    return [found.get(at) for at in moments]


def _picture(journal: CameraJournal, start: float, end: float) -> npt.NDArray[np.uint8] | None:
    jpeg = next((data for _, data in journal.pictures(start, end)), None)
    if jpeg is None:
        return None
    try:
        return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    except OSError:  # a damaged file is none
        return None


class _Anew:
    """Scores frames by themselves, whatever was seen before them. One without a picture is scored once."""

    def __init__(self, scorer: RuleScorer) -> None:
        self._scorer = scorer
        self.prepare, self.told = scorer.prepare, scorer.told
        self.known: dict[float, Sequence[float]] = {}  # by the frame's second

    def score(self, seen: Seen) -> Sequence[float]:
        """The probability of every rule in a frame."""
        if seen.patches is not None:
            return self._scorer.score_anew(seen)
        if seen.seconds not in self.known:
            self.known[seen.seconds] = self._scorer.score_anew(seen)
        return self.known[seen.seconds]


def trying(
    journal: CameraJournal,
    rules: Sequence[Rule],
    scorer: RuleScorer,
    tower: ImageTower,
    start: float,
    end: float,
    zone: tzinfo,
) -> Generator[None, None, Trial]:
    """Try rules on what was seen between two times, in short steps; returns what came of it.

    Belongs to the thread that owns the tensors.
    """
    anew = _Anew(scorer)
    watcher = RuleWatcher(journal.name, rules, anew, zone=zone)
    yield
    for group in _groups(journal, start, end, frozenset()):
        for seen in group:
            anew.score(seen)
        yield
    moments = list(anew.known)
    chosen = frozenset(moments[at] for at in promising(torch.tensor(list(anew.known.values())), LOOKED_AT))
    events: dict[str, AlertEvent] = {}
    times: list[float] = []
    scores: list[dict[str, float]] = []
    looked_at = 0
    for group in _groups(journal, start, end, chosen):
        near = [(seen.seconds, seen.end) for seen in group if seen.seconds in chosen]
        patches = dict(zip((begin for begin, _ in near), _features(tower, journal, near), strict=True))
        looked_at += sum(row is not None for row in patches.values())
        for seen in group:
            for change in watcher.see(replace(seen, patches=patches.get(seen.seconds))):
                events[change.event.id] = change.event
            second = watcher.scores[-1]
            times.append(second.start)
            scores.append(dict(second.scores))
        yield
    for change in watcher.finish():
        events[change.event.id] = change.event
    told = tuple(sorted(events.values(), key=lambda event: event.start))
    return Trial(told, curve_of(times, scores), len(times), looked_at)


def promising(scores: Tensor, most: int) -> frozenset[int]:
    """The numbers of at most `most` moments that score highest for some rule, by scores (N, rules), or lie AROUND one
    that does; the rules take turns.
    """
    if len(scores) <= most:
        return frozenset(range(len(scores)))
    wide = F.max_pool1d(scores.T[:, None], 2 * AROUND + 1, stride=1, padding=AROUND)[:, 0]
    order = wide.argsort(dim=1, descending=True, stable=True)[:, :most].T.flatten().tolist()
    return frozenset(list(dict.fromkeys(order))[:most])


def _groups(journal: CameraJournal, start: float, end: float, chosen: frozenset[float]) -> Iterator[list[Seen]]:
    """What was seen between two times, in groups of at most AT_A_TIME moments and BATCH of those that begin at `chosen`
    seconds.
    """
    last: float | None = None
    for starts, ends, embeddings in journal.embeddings(after=start, before=end, chunk=AT_A_TIME):
        group: list[Seen] = []
        near = 0
        for begin, until, embedding in zip(starts, ends, embeddings, strict=True):
            gap = last is not None and begin - last > _GAP
            group.append(Seen(begin, until, F.normalize(embedding.float(), dim=0), None, _NOTHING, gap))
            last = until
            near += begin in chosen
            if near == BATCH:
                yield group
                group, near = [], 0
        if group:
            yield group


def curve_of(times: Sequence[float], scores: Sequence[dict[str, float]], points: int = POINTS) -> Curve:
    """At most `points` of the scores, the highest of each stretch."""
    step = max(1, -(-len(times) // points))
    names = list(scores[0]) if scores else []
    return Curve(
        tuple(times[::step]),
        {
            name: tuple(
                round(max(each[name] for each in scores[at : at + step]), 4) for at in range(0, len(scores), step)
            )
            for name in names
        },
    )
