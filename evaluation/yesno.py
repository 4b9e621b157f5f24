"""`eval yesno`: is it in the video? Accuracy over `yesno.jsonl`, beside the blind language model and the last frame.

Route `all` asks as a user would and reads the answer's first word; route `tokens` compares p(yes) from the two tokens a
frame and the language model alone with one half. Calibration may have been fitted on even-numbered clips, so odd ones
are reported apart.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evaluation.clips import Clip, YesNo, read_yesno
from evaluation.model import VideoModel
from evaluation.scores import accuracy, auc, spread
from llama_vid.errors import SourceError

logger = logging.getLogger(__name__)

Route = Literal["all", "tokens"]
SYSTEMS = ("llama-vid", "blind", "last-frame")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One system's answer to one question: None where it was neither yes nor no; p(yes) where there is one."""

    said: bool | None
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """One system's figures: shares of right answers (over all, even- and odd-numbered clips), AUC, and by concept."""

    accuracy: float | None
    even: float | None
    odd: float | None
    auc: float | None
    neither: int
    concepts: dict[str, float | None]

    def to_json(self) -> dict[str, Any]:
        figures: dict[str, Any] = {"accuracy": self.accuracy, "accuracy_even": self.even, "accuracy_odd": self.odd}
        if self.auc is not None:
            figures["auc"] = self.auc
        if self.neither:
            figures["neither_yes_nor_no"] = self.neither
        return figures


@dataclass(frozen=True, slots=True)
class YesNoResult:
    """The evaluation's result: the system's figures, and the baselines' in the same run."""

    n: int
    clips: int
    route: Route
    system: str
    figures: Figures
    baselines: dict[str, Figures] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = {"name": "yesno", "n": self.n, "clips": self.clips, "route": self.route}
        result |= {"system": self.system} | self.figures.to_json()
        result["concepts"] = self.figures.concepts
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
    )


def run_system(
    model: VideoModel,
    questions: Sequence[YesNo],
    system: str,
    route: Route,
    tick: Callable[[], None] = lambda: None,
) -> list[Verdict]:
    """One system's verdicts, in the order of the questions; `tick` is called after each clip."""
    if system == "blind":
        return [_from_probability(p) for p in model.yesno_blind([question.question for question in questions])]
    numbered: dict[Clip, list[int]] = defaultdict(list)
    for number, question in enumerate(questions):
        numbered[question.clip].append(number)
    verdicts = [Verdict(None)] * len(questions)
    for clip, numbers in numbered.items():
        texts = [questions[number].question for number in numbers]
        try:
            answers = _ask(model, str(clip.path), texts, route, last_frame_only=system == "last-frame")
        except SourceError as problem:  # one unreadable clip must not void an hour's run; its answers count as wrong
            logger.warning("%s: %s", clip.path.name, problem)
            answers = [Verdict(None)] * len(numbers)
        for number, verdict in zip(numbers, answers, strict=True):
            verdicts[number] = verdict
        tick()
    return verdicts


def _ask(model: VideoModel, path: str, texts: list[str], route: Route, *, last_frame_only: bool) -> list[Verdict]:
    if route == "tokens":
        return [_from_probability(p) for p in model.yesno_tokens(path, texts, last_frame_only=last_frame_only)]
    film = model.open(path, last_frame_only=last_frame_only)
    return [Verdict(first_word(film.ask(text).answer)) for text in texts]


def _from_probability(probability: float) -> Verdict:
    return Verdict(probability >= 0.5, probability)


def evaluate_yesno(
    model: VideoModel,
    folder: Path,
    *,
    route: Route = "all",
    system: str = "",
    limit: int | None = None,
    tick: Callable[[], None] = lambda: None,
) -> YesNoResult:
    """Run the evaluation over a folder of clips; `system` measures that system alone, without baselines."""
    questions = spread(read_yesno(folder), limit)
    chosen = system or "llama-vid"
    figures = measure(questions, run_system(model, questions, chosen, route, tick))
    baselines: dict[str, Figures] = {}
    if not system:
        for name in SYSTEMS[1:]:
            baselines[name] = measure(questions, run_system(model, questions, name, route, tick))
        always = [Verdict(True)] * len(questions)
        baselines["always-yes"] = measure(questions, always)
    clips = len({question.clip for question in questions})
    return YesNoResult(len(questions), clips, route, chosen, figures, baselines)
