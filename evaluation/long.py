"""`eval long`: a clip's questions, asked with the clip somewhere in an hour of film, beside the clip alone.

The hour shows every clip once, with photos between them (`evaluation/hour.py`). Each question of `yesno.jsonl` is put
with the time at which its clip is shown ("Between 12:00 and 12:10, is there a dog?"): what the clip's label says is the
truth then, whatever else the hour shows. Without a time most questions have no exact answer in an hour of photos; what
does is where a rule of `rules.jsonl` is true: the best moment of a search for it must lie in a clip in which it is. One
open question a clip is asked with its time, too, and judged as in `eval open`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from evaluation.case import Case, by_kind
from evaluation.clips import read_clips, read_yesno
from evaluation.flickr import read_split
from evaluation.hour import SECONDS, Hour, Placed, make_hour, unlike
from evaluation.judge import judge
from evaluation.meaning import Meaning
from evaluation.model import FilmLike, Missing, VideoModel
from evaluation.rules import Rule, read_rules
from evaluation.scores import accuracy, spread
from evaluation.yesno import decided, explained, first_word
from llama_vid.errors import ConfigError, SourceError
from llama_vid.llm.words import clock

SYSTEMS: Final = ("llama-vid", "last-frame", "blind")
NO_ROOM: Final = Missing("an hour of all patch tokens is forty times what the language model's context holds")
PHOTOS: Final = "flickr8k"


@dataclass(frozen=True, slots=True)
class LongFigures:
    """Shares of right answers in the hour: yes/no (by kind of clip, too) and open ones; of rules, those found first."""

    accuracy: float | None
    open: float | None = None
    found: float | None = None
    kinds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        figures: dict[str, Any] = {"accuracy": self.accuracy}
        if self.open is not None:
            figures["open"] = self.open
        if self.found is not None:
            figures["rules_found_first"] = self.found
        return figures | {"by_kind": self.kinds}


@dataclass(frozen=True, slots=True)
class LongResult:
    """Figures in the hour, those of the same questions to the clip alone, the baselines', and every case."""

    n: int
    seconds: int
    system: str
    figures: LongFigures
    alone: LongFigures | None = None
    baselines: dict[str, LongFigures | Missing] = field(default_factory=dict)
    cases: tuple[Case, ...] = ()

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = {"name": "long", "n": self.n, "seconds": self.seconds, "system": self.system}
        result |= self.figures.to_json()
        if self.alone is not None:
            result["alone"] = {"accuracy": self.alone.accuracy, "open": self.alone.open}
            if self.alone.accuracy is not None and self.figures.accuracy is not None:
                result["lost"] = self.alone.accuracy - self.figures.accuracy
            if self.alone.open is not None and self.figures.open is not None:
                result["lost_open"] = self.alone.open - self.figures.open
        result["baselines"] = {name: figures.to_json() for name, figures in self.baselines.items()}
        return result


@dataclass(frozen=True, slots=True)
class Put:
    """A question about a clip, in `text` as it is put to the hour; `answer` is yes, no, or an open answer."""

    placed: Placed
    question: str
    answer: str
    open: bool = False

    @property
    def text(self) -> str:
        """The question with the time at which the clip is shown."""
        asked = self.question[:1].lower() + self.question[1:].replace(" in the video", "")
        return f"Between {clock(self.placed.start)} and {clock(self.placed.end)}, {asked}"


def evaluate_long(
    model: VideoModel,
    folder: Path,
    *,
    system: str = "",
    limit: int | None = None,
    tick: Callable[[], None] = lambda: None,
    seconds: int = SECONDS,
    meaning: Meaning | None = None,
) -> LongResult:
    """Run the evaluation over a folder of clips; photos lie in `flickr8k/` beside it.

    `limit` asks fewer questions of the whole hour. Raises ConfigError if clips, questions or photos are missing.
    """
    questions, rules, chosen = read_yesno(folder), read_rules(folder), system or SYSTEMS[0]
    photos = unlike(read_split(folder.resolve().parent / PHOTOS, "test"), [rule.when for rule in rules])
    if not photos:
        raise ConfigError(f"every photo of {folder.resolve().parent / PHOTOS} shows what a rule watches for")
    judged = meaning or Meaning()
    with tempfile.TemporaryDirectory(prefix="llama-vid-hour-") as place:
        hour = make_hour(read_clips(folder), photos, Path(place) / "hour.mp4", seconds=seconds, tick=tick)
        at = {each.clip: each for each in hour.placed}
        asked = spread(
            [Put(at[q.clip], q.question, "yes" if q.answer else "no") for q in questions if q.clip in at], limit
        )
        first = [Put(each, *each.clip.asked[0], open=True) for each in hour.placed if each.clip.asked]
        asked += spread(first, limit)
        cases: list[Case] = []
        figures: dict[str, LongFigures] = {}
        for name in (chosen,) if system else SYSTEMS:
            if name == "blind":
                said = _blind(model, asked)
            else:
                film = model.open(str(hour.path), last_frame_only=name == "last-frame")
                said = [_said(film, put) for put in asked]
                if name == SYSTEMS[0]:
                    cases += _found(film, hour, rules)
            cases += _cases(asked, said, name, judged)
            figures[name] = _measured(cases, name)
            tick()
        alone = None
        if not system:
            alone = _measured(_cases(asked, _alone(model, asked, tick), "alone", judged), "alone")
    ours = figures.pop(chosen)
    baselines: dict[str, LongFigures | Missing] = {} if system else {"full": NO_ROOM, **figures}
    return LongResult(sum(not put.open for put in asked), hour.seconds, chosen, ours, alone, baselines, tuple(cases))


def _blind(model: VideoModel, asked: Sequence[Put]) -> list[str]:
    closed = [put.text for put in asked if not put.open]
    opened = [put.text for put in asked if put.open]
    verdicts = ["Yes." if p >= 0.5 else "No." for p in model.tokens.yesno_blind(closed)]
    return verdicts + model.tokens.ask_blind(opened)


def _said(film: FilmLike, put: Put) -> str:
    """The answer to a question: whole if it is an open one or wrong, else no further than its yes or no."""
    return film.ask(put.text).answer if put.open else explained(film, put.text, put.answer == "yes").text


def _alone(model: VideoModel, asked: Sequence[Put], tick: Callable[[], None]) -> list[str]:
    """The same questions without a time, to each clip by itself."""
    said = []
    for put in asked:
        try:
            film = model.open(str(put.placed.clip.path))
            said.append(film.ask(put.question).answer if put.open else decided(film, put.question).text)
        except SourceError:
            said.append("")
        tick()
    return said


def _cases(asked: Sequence[Put], said: Sequence[str], system: str, meaning: Meaning) -> list[Case]:
    cases = []
    for put, text in zip(asked, said, strict=True):
        clip = put.placed.clip
        if put.open:
            right = judge(put.question, put.answer, text, meaning).right
        else:
            right = first_word(text) is not None and first_word(text) == (put.answer == "yes")
        cases.append(Case(clip.kind, clip.path, put.text, put.answer, text, right, clip.moments, system))
    return cases


def _found(film: FilmLike, hour: Hour, rules: Sequence[Rule]) -> list[Case]:
    """For each rule that is true in some clip of the hour: what the search for it finds first."""
    cases = []
    for rule in rules:
        true = [each.clip for each in hour.placed if rule.truth(each.clip)]
        best = film.search(rule.when, limit=1)
        clip = hour.at((best[0].start + best[0].end) / 2) if best else None
        if not true or (clip is not None and rule.truth(clip) is None):
            continue
        where = f"{clock(best[0].start)}: {clip.caption if clip else 'a photo'}" if best else "nothing"
        right = clip is not None and bool(rule.truth(clip))
        shown = clip or true[0]
        cases.append(Case("rule", shown.path, f"Find: {rule.when}", true[0].caption, where, right, shown.moments))
    return cases


def _measured(cases: Sequence[Case], system: str) -> LongFigures:
    mine = [case for case in cases if case.system == system]
    closed = [case for case in mine if case.wanted in ("yes", "no")]
    rules = [case.right for case in mine if case.kind == "rule"]
    opened = [case.right for case in mine if case.wanted not in ("yes", "no") and case.kind != "rule"]
    return LongFigures(
        accuracy([case.right for case in closed]), accuracy(opened), accuracy(rules), by_kind(closed, system)
    )
