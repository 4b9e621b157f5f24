"""`eval sofar`: ten clips joined into one film, "What has happened so far?": what is told, when, and what is invented.

A scene (one clip) is *named* if a sentence of the answer begins inside it or within 5 s of its start, and MiniLM finds
the sentence more like the clip's caption than like the captions of the nine others. How often that happens by chance is
measured in the same answer: the same sentences against the captions of all other scenes. Invented things are counted by
`evaluation/truth.py`. The joinings are seeded; half of them join even-numbered clips, half odd-numbered ones.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from evaluation.asking import Route, ask
from evaluation.case import Case
from evaluation.clips import Clip, read_clips
from evaluation.meaning import Meaning
from evaluation.model import Missing, VideoModel
from evaluation.moments import join_clips
from evaluation.scores import accuracy
from evaluation.tally import Tally, side_by_side, systems_of
from evaluation.truth import Checked, Known, check, read_truth, share
from llama_vid.errors import ConfigError

QUESTION: Final = "What has happened so far?"
JOININGS: Final = 4
SCENES: Final = 10
NEAR: Final = 5.0  # seconds
_TIMED: Final = re.compile(r"(?P<start>\d+:\d\d(?::\d\d)?)(?:\s*[–-]\s*(?P<end>\d+:\d\d(?::\d\d)?))?\s*:\s+")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an answer, and the seconds that it is about (None: it names none)."""

    text: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A scene of a joined film: its clip and its seconds."""

    clip: Clip
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class SofarFigures:
    """Shares: of scenes `named` (and by chance), told at all at their time, and named at any time; of decidable things
    `invented`, of things `decidable`, and of sentences that invent something."""

    named: float | None
    by_chance: float | None
    told: float | None
    at_any_time: float | None
    even: float | None
    odd: float | None
    invented: float | None
    decidable: float | None
    sentences_inventing: float | None

    def to_json(self) -> dict[str, float | None]:
        return {
            "scenes_named": self.named,
            "named_by_chance": self.by_chance,
            "scenes_told": self.told,
            "named_at_any_time": self.at_any_time,
            "named_even": self.even,
            "named_odd": self.odd,
            "invented": self.invented,
            "decidable": self.decidable,
            "sentences_inventing": self.sentences_inventing,
        }


@dataclass(frozen=True, slots=True)
class Told:
    """What one answer says of one scene: whether it is named, at its time or anywhere, and how likely by chance."""

    scene: Shown
    sentences: tuple[Sentence, ...]
    named: bool
    anywhere: bool
    chance: float


def parse(answer: str) -> list[Sentence]:
    """The sentences of an answer with their times; "the same" repeats the sentence before it."""
    found = list(_TIMED.finditer(answer))
    out = [Sentence(text) for text in _sentences(answer[: found[0].start()] if found else answer)]
    for here, after in zip(found, [*found[1:], None], strict=False):
        start = _seconds(here["start"])
        end = _seconds(here["end"]) if here["end"] else start + 1
        for text in _sentences(answer[here.end() : after.start() if after else len(answer)]):
            same = text.lower().rstrip(". ") == "the same"
            out.append(Sentence(out[-1].text if same and out else text, start, end))
    return out


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCE.split(text) if re.search(r"\w", part)]


def _seconds(clock: str) -> float:
    total = 0.0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return total


def tell(scenes: Sequence[Shown], sentences: Sequence[Sentence], meaning: Meaning) -> list[Told]:
    """What the sentences say of each scene."""
    captions = meaning.vectors([scene.clip.caption for scene in scenes])
    rows = meaning.vectors([sentence.text for sentence in sentences]) if sentences else captions[:0]
    nearest = [int(best) for best in (rows @ captions.T).argmax(1)]
    out = []
    for number, scene in enumerate(scenes):
        here = [
            (sentence, best)
            for sentence, best in zip(sentences, nearest, strict=True)
            if sentence.start is not None
            and (scene.start <= sentence.start < scene.end or abs(sentence.start - scene.start) <= NEAR)
        ]
        kinds = {best for _, best in here}
        out.append(
            Told(
                scene,
                tuple(sentence for sentence, _ in here),
                number in kinds,
                number in nearest,
                len(kinds - {number}) / max(1, len(scenes) - 1),
            )
        )
    return out


def evaluate_sofar(
    model: VideoModel,
    folder: Path,
    *,
    route: Route = "all",
    system: str = "",
    limit: int | None = None,
    tick: Callable[[], None] = lambda: None,
    meaning: Meaning | None = None,
) -> Tally:
    """Run the evaluation over a folder of clips; `limit` makes fewer joinings. Raises ConfigError for too few clips."""
    joined = joinings(read_clips(folder))[:limit]
    truth, sense, systems = read_truth(folder), meaning or Meaning(), systems_of(system)
    told: dict[str, list[tuple[list[Told], list[Checked]]]] = {name: [] for name in systems}
    missing: dict[str, Missing] = {}
    with tempfile.TemporaryDirectory(prefix="llama-vid-sofar-") as place:
        for number, clips in enumerate(joined):
            film = join_clips(clips, Path(place) / f"joined-{number}.mp4", tick)
            owners = np.array(film.owners)
            scenes = [
                Shown(clips[kept], float(at.min()), float(at.max()) + 1)
                for at, kept in ((np.flatnonzero(owners == owner), kept) for owner, kept in enumerate(film.kept))
            ]
            whole = Clip(number, film.path, float(len(owners)), "")
            for name in systems:
                if name in missing:
                    continue
                answers = ask(model, name, route, whole, [QUESTION])
                if isinstance(answers, Missing):
                    missing[name] = answers
                    continue
                sentences = parse(answers[0])
                told[name].append((tell(scenes, sentences, sense), checked(scenes, sentences, truth)))
                tick()

    def measured(name: str) -> tuple[SofarFigures, list[Case]] | Missing:
        cases = [_case(item, name) for found, _ in told[name] for item in found]
        return missing.get(name) or (measure(told[name]), cases)

    over = {"joinings": len(joined)}
    return side_by_side("sofar", sum(map(len, joined)), over, route, systems, measured)


def joinings(clips: Sequence[Clip], count: int = JOININGS) -> list[list[Clip]]:
    """The clips of each joined film, drawn and shuffled by its number: even-numbered clips, odd ones, and so on.

    Raises ConfigError if either half has fewer than two clips.
    """
    halves = [[clip for clip in clips if clip.index % 2 == half] for half in (0, 1)]
    if min(map(len, halves)) < 2:
        raise ConfigError("sofar joins clips: give a folder with at least two clips of even and two of odd index")
    return [
        random.Random(number).sample(halves[number % 2], min(SCENES, len(halves[number % 2])))
        for number in range(count)
    ]


def checked(scenes: Sequence[Shown], sentences: Sequence[Sentence], truth: dict[Clip, Known]) -> list[Checked]:
    """What each sentence names, checked against the clip that is shown at its middle; sentences without times are left
    out, since nothing says what they are about."""
    out = []
    for sentence in sentences:
        if sentence.start is not None:
            middle = (sentence.start + max(sentence.start, sentence.end or sentence.start)) / 2
            about = [scene for scene in scenes if scene.start <= middle < scene.end] or [scenes[-1]]
            out.append(check(sentence.text, truth[about[0].clip]))
    return out


def measure(items: Sequence[tuple[Sequence[Told], Sequence[Checked]]]) -> SofarFigures:
    """The figures over the answers to all joinings."""
    told = [item for answer, _ in items for item in answer]
    checks = [item for _, answer in items for item in answer]
    invented, decidable = share(checks)
    return SofarFigures(
        named=accuracy([item.named for item in told]),
        by_chance=float(np.mean([item.chance for item in told])) if told else None,
        told=accuracy([bool(item.sentences) for item in told]),
        at_any_time=accuracy([item.anywhere for item in told]),
        even=accuracy([item.named for item in told if item.scene.clip.index % 2 == 0]),
        odd=accuracy([item.named for item in told if item.scene.clip.index % 2 == 1]),
        invented=invented,
        decidable=decidable,
        sentences_inventing=accuracy([bool(item.invented) for item in checks]),
    )


def _case(item: Told, system: str) -> Case:
    said = " ".join(f"[{sentence.start:.0f} s] {sentence.text}" for sentence in item.sentences) or "(not told)"
    clip = item.scene.clip
    return Case(clip.kind, clip.path, QUESTION, clip.caption, said, item.named, clip.moments, system)
