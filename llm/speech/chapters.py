"""A lecture's chapters: where what is spoken of changes, and the slides with it.

Between every two sentences, what was said in the time before is compared with what is said after (TextTiling, Hearst
1997, with sentence embeddings for words); valleys of likeness are boundaries, the more so where the picture changes or
the speaker pauses. Each chapter is told by the sentence nearest to all of it, and titled by the phrase that stands out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.llm.speech.words import Line, key

Encode = Callable[[Sequence[str]], Tensor]

#: How much of the talk on both sides of a sentence is compared, in seconds.
SIDE_S: Final = 60.0
#: Chapters are not shorter than this, nor than a twelfth of the talk.
SHORTEST_S: Final = 45.0
#: A change of picture so near counts for a boundary, and gives it its time.
NEAR_S: Final = 6.0
#: What a change of picture and a pause of two seconds are worth beside the depth of a valley (0…2).
CUT_WORTH: Final = 0.15
PAUSE_WORTH: Final = 0.10
#: A valley must be this deep, worth included: sentences on one subject wander by half of it.
DEEP: Final = 0.35
#: So much of a dip does not end the way up to a hill: a sentence of three words is like nothing.
RIPPLE: Final = 0.03

_SMALL_WORDS: Final = (
    "a about above after again against all also am an and any are as at be because been before being below between "
    "both but by can could did do does doing down during each even every few first for from further get go going good "
    "got had has have having he her here hers him his how however i if in into is it its itself just know last let "
    "like made make many may me might more most much must my never new no nor not now of off often on once one only "
    "or other our ours out over own quite rather really said same say see shall she should since so some still such "
    "than that the their theirs them then there therefore these they thing things this those though through thus to "
    "today too two under until up upon us use used very want was way we well were what when where whether which while "
    "who whom why will with within without would yet you your yours come came look take took think thank"
)
#: Words that carry no meaning of their own.
STOP_WORDS: Final = frozenset(_SMALL_WORDS.split())


@dataclass(frozen=True, slots=True)
class Chapter:
    """Media seconds [start, end), a title of one to four words, and the key sentence."""

    start: float
    end: float
    title: str
    text: str


def chapters(
    lines: Sequence[Line], encode: Encode, *, cuts: Sequence[float] = (), end: float | None = None
) -> list[Chapter]:
    """The chapters of a talk from its sentences in order; `cuts` are times at which the picture changes wholly.

    `encode` gives unit-length embeddings (N, D). `end` is when the last chapter ends (by default with the last line).
    """
    work = dividing(lines, encode, cuts=cuts, end=end)
    while True:
        try:
            next(work)
        except StopIteration as done:
            found: list[Chapter] = done.value
            return found


def dividing(
    lines: Sequence[Line], encode: Encode, *, cuts: Sequence[float] = (), end: float | None = None
) -> Generator[None, None, list[Chapter]]:
    """As `chapters`, in short steps."""
    if not lines:
        return []
    embeddings = encode([line.text for line in lines]).float()
    yield
    starts = [0, *_boundaries(lines, embeddings, cuts)]
    groups = [range(a, b) for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
    times = [_begin(lines, group.start, cuts) for group in groups]
    ends = [*times[1:], max(lines[-1].end, end or 0.0)]
    titles = yield from _titles([[lines[n].text for n in group] for group in groups], embeddings, groups, encode)
    return [
        Chapter(start, until, title, lines[_key(embeddings, lines, group)].text)
        for start, until, title, group in zip(times, ends, titles, groups, strict=True)
    ]


def _boundaries(lines: Sequence[Line], embeddings: Tensor, cuts: Sequence[float]) -> list[int]:
    """Which lines begin a new chapter."""
    total = lines[-1].end - lines[0].start
    shortest = min(max(SHORTEST_S, total / 12), max(10.0, total / 3))
    side = min(SIDE_S, max(shortest, 10.0))
    alike = [1.0]
    first = last = 0  # the sentences within `side` of the place
    for n in range(1, len(lines)):
        at = lines[n].start
        while lines[first].end <= at - side and first < n - 1:
            first += 1
        while last < len(lines) and lines[last].start < at + side:
            last += 1
        before, after = range(first, n), range(n, last)
        alike.append(float(_mean(embeddings, lines, before) @ _mean(embeddings, lines, after)))
    scores = []
    for n in range(1, len(lines)):
        pause = lines[n].start - lines[n - 1].end
        worth = PAUSE_WORTH * min(1.0, max(0.0, pause) / 2)
        worth += CUT_WORTH * any(lines[n - 1].end - NEAR_S <= cut <= lines[n].start + NEAR_S for cut in cuts)
        scores.append((_depth(alike, n) + worth, n))
    chosen: list[int] = []
    for score, n in sorted(scores, reverse=True):
        at = lines[n].start
        edges = [lines[0].start, lines[-1].end, *(lines[m].start for m in chosen)]
        if score >= DEEP and all(abs(at - edge) >= shortest for edge in edges):
            chosen.append(n)
    return sorted(chosen)


def _mean(embeddings: Tensor, lines: Sequence[Line], rows: Sequence[int]) -> Tensor:
    weight = torch.tensor([float(len(lines[n].text.split())) for n in rows])
    return F.normalize((embeddings[list(rows)] * weight[:, None]).sum(0), dim=0)


def _depth(alike: Sequence[float], n: int) -> float:
    """How deep the valley at `n` is below the hills on both sides of it."""
    depth = 0.0
    for step in (-1, 1):
        at, hill = n, alike[n]
        while 0 < at + step < len(alike) and alike[at + step] >= hill - RIPPLE:
            at += step
            hill = max(hill, alike[at])
        depth += hill - alike[n]
    return depth


def _begin(lines: Sequence[Line], n: int, cuts: Sequence[float]) -> float:
    """When a chapter begins: with a change of picture that comes just before its first sentence, or with that."""
    start = lines[n].start
    earliest = lines[n - 1].end - 1.0 if n else 0.0
    near = [cut for cut in cuts if max(earliest, start - NEAR_S) <= cut <= start + 1.0]
    return max(near, default=start if n else min(start, lines[0].start))


def _key(embeddings: Tensor, lines: Sequence[Line], group: range) -> int:
    """The sentence nearest to its chapter; very short and very long ones are no summary."""
    centre = _mean(embeddings, lines, group)
    worth = {n: float(embeddings[n] @ centre) - 0.2 * (not 5 <= len(lines[n].text.split()) <= 40) for n in group}
    return max(worth, key=lambda n: worth[n])


def _titles(
    texts: list[list[str]], embeddings: Tensor, groups: list[range], encode: Encode
) -> Generator[None, None, list[str]]:
    """For each chapter the phrase that is frequent in it, rare in the others, and near to what it is about."""
    counts = [Counter(phrase for text in chapter for phrase in _phrases(text)) for chapter in texts]
    shown = {key(phrase): phrase for chapter in counts for phrase in chapter}
    titles: list[str] = []
    for count, group in zip(counts, groups, strict=True):
        held = [set(map(key, other)) for other in counts]
        merged = Counter[str]()
        for phrase, times in count.items():
            merged[key(phrase)] += times
        worth = {name: times**0.5 / sum(name in other for other in held) for name, times in merged.items()}
        best = sorted(worth, key=lambda name: -worth[name])[:40]
        best = [name for name in best if shown[name].casefold() not in {title.casefold() for title in titles}]
        if not best:
            titles.append("Untitled")
            continue
        centre = F.normalize(embeddings[list(group)].sum(0), dim=0)
        near = encode([shown[name] for name in best]).float() @ centre
        score = [worth[name] * max(0.05, float(close)) for name, close in zip(best, near, strict=True)]
        phrase = shown[best[max(range(len(best)), key=score.__getitem__)]]
        titles.append(phrase[0].upper() + phrase[1:])
        yield
    return titles


def _phrases(text: str) -> list[str]:
    """Runs of one to three words that carry meaning."""
    phrases, run = [], list[str]()
    for word in [*text.split(), "."]:
        bare = word.strip(".,;:!?\"'“”‘’()[]–—")
        if bare and key(bare) not in STOP_WORDS and len(bare) > 2 and not bare.isdigit():
            run.append(bare)
        if not bare or key(bare) in STOP_WORDS or len(bare) <= 2 or word[-1] in ".,;:!?":
            phrases += [" ".join(run[a:b]) for a in range(len(run)) for b in range(a + 1, min(a + 3, len(run)) + 1)]
            run = []
    return phrases
