"""Rules tried on what a camera has seen: how often would they have fired since yesterday?

The journal keeps each moment's image embedding, not its patches: rules are tried on whole pictures, without regions,
the tower's classifier, the people probe and second looks. What is small, and people, are found less surely than live.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final

import torch
from torch import Tensor

from llama_vid.llm.rules.rule import Rule
from llama_vid.llm.rules.scoring import RuleScorer
from llama_vid.llm.rules.watcher import RuleWatcher
from llama_vid.memory.alerts import AlertEvent
from llama_vid.memory.journal import CameraJournal
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.seen import Seen

#: Moments scored in one step, so that no question waits longer than a moment.
AT_A_TIME: Final = 256
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
    """The events that rules would have raised, in time order, and their scores; `moments` were looked at."""

    events: tuple[AlertEvent, ...]
    curve: Curve
    moments: int


class _Anew:
    """Scores frames of which nothing but the embedding is known."""

    def __init__(self, scorer: RuleScorer) -> None:
        self.prepare, self.score, self.told = scorer.prepare, scorer.score_anew, scorer.told


def trying(
    journal: CameraJournal, rules: Sequence[Rule], scorer: RuleScorer, start: float, end: float, zone: tzinfo
) -> Generator[None, None, Trial]:
    """Try rules on what was seen between two times, in short steps; returns what came of it.

    Belongs to the thread that owns the tensors.
    """
    watcher = RuleWatcher(journal.name, rules, _Anew(scorer), zone=zone)
    yield
    events: dict[str, AlertEvent] = {}
    times: list[float] = []
    scores: list[dict[str, float]] = []
    last: float | None = None
    for starts, ends, embeddings in journal.embeddings(after=start, before=end, chunk=AT_A_TIME):
        for begin, until, embedding in zip(starts, ends, embeddings, strict=True):
            gap = last is not None and begin - last > _GAP
            for change in watcher.see(Seen(begin, until, _unit(embedding), None, _NOTHING, gap)):
                events[change.event.id] = change.event
            second = watcher.scores[-1]
            times.append(second.start)
            scores.append(dict(second.scores))
            last = until
        yield
    for change in watcher.finish():
        events[change.event.id] = change.event
    return Trial(tuple(sorted(events.values(), key=lambda event: event.start)), curve_of(times, scores), len(times))


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


def _unit(embedding: Tensor) -> Tensor:
    return torch.nn.functional.normalize(embedding.float(), dim=0)
