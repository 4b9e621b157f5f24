"""`eval yesno`: is it in the video? Accuracy over `yesno.jsonl`, in four columns.

Route `all` asks as a user would and reads the answer's first word; route `tokens` compares p(yes) from the two tokens a
frame and the language model alone with one half, and shows beside it what is left when one of the two tokens is taken
away. Calibration may have been fitted on even-numbered clips, so odd ones are reported apart.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from evaluation.case import Case, by_kind
from evaluation.clips import YesNo, by_clip, read_yesno
from evaluation.model import FilmLike, Missing, VideoModel, full_of
from evaluation.scores import accuracy, auc, spread
from evaluation.tasks import ABLATIONS, COLUMNS
from llama_vid.errors import ConfigError, SourceError

logger = logging.getLogger(__name__)

#: The most times of an answer whose frames a case names.
LOOKED_AT: Final = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """One system's answer to one question: None where it was neither yes nor no; p(yes) where there is one.

    `text` is what it said, `seconds` the times that it named.
    """

    said: bool | None
    probability: float | None = None
    text: str = ""
    seconds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """One system's figures: shares of right answers (over all, even- and odd-numbered clips), AUC, by concept and by
    kind of clip.
    """

    accuracy: float | None
    even: float | None
    odd: float | None
    auc: float | None
    neither: int
    concepts: dict[str, float | None]
    kinds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        figures: dict[str, Any] = {"accuracy": self.accuracy, "accuracy_even": self.even, "accuracy_odd": self.odd}
        if self.auc is not None:
            figures["auc"] = self.auc
        if self.neither:
            figures["neither_yes_nor_no"] = self.neither
        return figures | {"by_kind": self.kinds, "concepts": self.concepts}


@dataclass(frozen=True, slots=True)
class YesNoResult:
    """The evaluation's result: the system's figures, the baselines' in the same run, and every case."""

    n: int
    clips: int
    route: str
    system: str
    figures: Figures
    baselines: dict[str, Figures | Missing] = field(default_factory=dict)
    cases: tuple[Case, ...] = ()

    @property
    def over_blind(self) -> float | None:
        """Accuracy above the blind language model's."""
        blind = self.baselines.get("blind")
        if not isinstance(blind, Figures) or self.figures.accuracy is None or blind.accuracy is None:
            return None
        return self.figures.accuracy - blind.accuracy

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = {"name": "yesno", "n": self.n, "clips": self.clips, "route": self.route}
        result |= {"system": self.system} | self.figures.to_json()
        if self.over_blind is not None:
            result["over_blind"] = self.over_blind
        result["baselines"] = {name: figures.to_json() for name, figures in self.baselines.items()}
        return result


def first_word(answer: str) -> bool | None:
    """Yes or no as the answer's first word says it; None if it says neither."""
    found = re.match(r"\W*(yes|no)\b", answer, re.IGNORECASE)
    return found[1].lower() == "yes" if found else None


def measure(questions: Sequence[YesNo], verdicts: Sequence[Verdict]) -> Figures:
    """A system's figures. An answer that is neither yes nor no is wrong."""
    right = [verdict.said == question.answer for question, verdict in zip(questions, verdicts, strict=True)]
    by_half: dict[int, list[bool]] = defaultdict(list)
    by_concept: dict[str, list[bool]] = defaultdict(list)
    for question, is_right in zip(questions, right, strict=True):
        by_half[question.clip.index % 2].append(is_right)
        by_concept[question.concept].append(is_right)
    known = [(v.probability, q.answer) for q, v in zip(questions, verdicts, strict=True) if v.probability is not None]
    return Figures(
        accuracy=accuracy(right),
        even=accuracy(by_half[0]),
        odd=accuracy(by_half[1]),
        auc=auc([p for p, _ in known], [label for _, label in known]) if len(known) == len(questions) else None,
        neither=sum(verdict.said is None for verdict in verdicts),
        concepts={concept: accuracy(rights) for concept, rights in sorted(by_concept.items())},
        kinds=by_kind(cases_of(questions, verdicts, "llama-vid")),
    )


def cases_of(questions: Sequence[YesNo], verdicts: Sequence[Verdict], system: str) -> tuple[Case, ...]:
    """Each question with what a system said to it."""
    return tuple(
        Case(
            question.clip.kind,
            question.clip.path,
            question.question,
            "yes" if question.answer else "no",
            verdict.text or "(no answer)",
            verdict.said == question.answer,
            verdict.seconds or question.clip.moments,
            system,
        )
        for question, verdict in zip(questions, verdicts, strict=True)
    )


def run_system(
    model: VideoModel,
    questions: Sequence[YesNo],
    system: str,
    route: str,
    tick: Callable[[], None] = lambda: None,
    *,
    drop: str = "",
) -> list[Verdict] | Missing:
    """One system's verdicts, in the order of the questions; `tick` is called after each clip."""
    drop = ABLATIONS.get(system, drop)
    full = full_of(model) if system == "full" else None
    if isinstance(full, Missing):
        return full
    if system == "blind":
        return [from_probability(p) for p in model.tokens.yesno_blind([question.question for question in questions])]
    numbered = by_clip(question.clip for question in questions)
    if drop == "context":
        model.tokens.average_over([str(path) for path in _readable(model, [clip.path for clip in numbered])])
    verdicts = [Verdict(None)] * len(questions)
    for clip, numbers in numbered.items():
        texts, path = [questions[number].question for number in numbers], str(clip.path)
        last = system == "last-frame"
        try:
            if full is not None:
                answers = [from_probability(p) for p in full.yesno(path, texts)]
            elif route == "tokens":
                answers = [
                    from_probability(p) for p in model.tokens.yesno(path, texts, last_frame_only=last, drop=drop)
                ]
            else:
                film = model.open(path, last_frame_only=last)
                asked = [questions[number] for number in numbers]
                answers = [
                    decided(film, each.question) if last else explained(film, each.question, each.answer)
                    for each in asked
                ]
        except SourceError as problem:  # one unreadable clip must not void an hour's run; its answers count as wrong
            logger.warning("%s: %s", clip.path.name, problem)
            answers = [Verdict(None, text=f"({problem})")] * len(numbers)
        for number, verdict in zip(numbers, answers, strict=True):
            verdicts[number] = verdict
        tick()
    return verdicts


def decided(film: FilmLike, question: str) -> Verdict:
    """The verdict of an answer that is read no further than its yes or no: what follows costs most of the time."""
    text = ""
    for piece in film.stream(question):
        text += piece.delta
        said = first_word(text)
        if said is not None:
            return Verdict(said, None, text.strip())
    return Verdict(None, None, text)


def explained(film: FilmLike, question: str, wanted: bool) -> Verdict:
    """As `decided` where that is the `wanted` answer; else the whole answer with its times, to be looked into."""
    verdict = decided(film, question)
    if verdict.said == wanted:
        return verdict
    answer = film.ask(question)
    return Verdict(first_word(answer.answer), None, answer.answer, tuple(answer.timestamps[:LOOKED_AT]))


def _readable(model: VideoModel, paths: Sequence[Path]) -> list[Path]:
    """The films that can be taken in."""
    found = []
    for path in paths:
        try:
            model.tokens.yesno(str(path), ())
        except SourceError as problem:
            logger.warning("%s: %s", path.name, problem)
        else:
            found.append(path)
    return found


def from_probability(probability: float) -> Verdict:
    """A verdict from p(yes): yes from one half on."""
    said = probability >= 0.5
    return Verdict(said, probability, f"{'Yes' if said else 'No'} (p(yes) = {probability:.2f})")


def evaluate_yesno(
    model: VideoModel,
    folder: Path,
    *,
    route: str = "all",
    system: str = "",
    limit: int | None = None,
    drop: str = "",
    tick: Callable[[], None] = lambda: None,
) -> YesNoResult:
    """Run the evaluation over a folder of clips; `system` measures that system alone, without baselines.

    `drop` takes the motion or the context token away on the token route. Raises ConfigError if `system` alone is asked
    for and is not there.
    """
    questions = spread(read_yesno(folder), limit)
    chosen = system or "llama-vid"
    found = run_system(model, questions, chosen, route, tick, drop=drop)
    if isinstance(found, Missing):
        raise ConfigError(f"{chosen} cannot be measured: {found.reason}")
    cases = cases_of(questions, found, chosen)
    baselines: dict[str, Figures | Missing] = {}
    others = () if system else (*COLUMNS[1:], *(ABLATIONS if route == "tokens" and not drop else ()))
    for name in others:
        verdicts = run_system(model, questions, name, route, tick)
        if isinstance(verdicts, Missing):
            baselines[name] = verdicts
        else:
            baselines[name] = measure(questions, verdicts)
            cases += cases_of(questions, verdicts, name)
    if not system:
        baselines["always-yes"] = measure(questions, [Verdict(True)] * len(questions))
    clips = len({question.clip for question in questions})
    return YesNoResult(len(questions), clips, route, chosen, measure(questions, found), baselines, cases)
