"""`eval open`: free answers to the clips' open questions, judged by key words and by meaning (`evaluation/judge.py`).

Four systems in one run: ours, `full`, the last frame only, and the blind language model. Nothing about answers is
trained or tuned on odd-numbered clips, which are reported apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evaluation.asking import SYSTEMS, Route, ask_all
from evaluation.case import Case, by_kind
from evaluation.clips import Clip, read_clips
from evaluation.judge import Judgement, judge
from evaluation.meaning import Meaning
from evaluation.model import Missing, VideoModel
from evaluation.scores import accuracy, spread
from llama_vid.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class OpenFigures:
    """Shares of right answers: over all, even and odd clips, and by key words or meaning alone."""

    accuracy: float | None
    even: float | None
    odd: float | None
    by_key_words: float | None
    by_meaning: float | None

    def to_json(self) -> dict[str, float | None]:
        return {
            "accuracy": self.accuracy,
            "accuracy_even": self.even,
            "accuracy_odd": self.odd,
            "by_key_words": self.by_key_words,
            "by_meaning": self.by_meaning,
        }


@dataclass(frozen=True, slots=True)
class OpenResult:
    """The system's figures, the baselines', and every question with its answer."""

    n: int
    clips: int
    route: Route
    system: str
    figures: OpenFigures | Missing
    baselines: dict[str, OpenFigures | Missing] = field(default_factory=dict)
    cases: tuple[Case, ...] = ()

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = {"name": "open", "n": self.n, "clips": self.clips, "route": self.route}
        result |= {"system": self.system} | self.figures.to_json()
        result["by_kind"] = by_kind(self.cases, self.system)
        result["baselines"] = {name: figures.to_json() for name, figures in self.baselines.items()}
        return result


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a clip with its reference answer."""

    clip: Clip
    question: str
    answer: str


def evaluate_open(
    model: VideoModel,
    folder: Path,
    *,
    route: Route = "all",
    system: str = "",
    limit: int | None = None,
    tick: Callable[[], None] = lambda: None,
    meaning: Meaning | None = None,
) -> OpenResult:
    """Run the evaluation over a folder of clips; `system` measures that one alone, `limit` asks fewer questions.

    Raises ConfigError if the clips have no questions.
    """
    every = [Asked(clip, question, answer) for clip in read_clips(folder) for question, answer in clip.asked]
    if not every:
        raise ConfigError(f'{folder / "clips.jsonl"} asks nothing: its lines need "qa": [{{"q": …, "a": …}}]')
    asked, chosen, judged = spread(every, limit), system or SYSTEMS[0], meaning or Meaning()
    figures: dict[str, OpenFigures | Missing] = {}
    cases: list[Case] = []
    for name in (chosen,) if system else SYSTEMS:
        answers = ask_all(model, name, route, [(item.clip, item.question) for item in asked], tick)
        if isinstance(answers, Missing):
            figures[name] = answers
            continue
        verdicts = [
            judge(item.question, item.answer, answer, judged) for item, answer in zip(asked, answers, strict=True)
        ]
        figures[name] = measure(asked, verdicts)
        cases += [
            Case(
                item.clip.kind, item.clip.path, item.question, item.answer, text, verdict.right, item.clip.moments, name
            )
            for item, text, verdict in zip(asked, answers, verdicts, strict=True)
        ]
    first = figures.pop(chosen)
    clips = len({item.clip for item in asked})
    return OpenResult(len(asked), clips, route, chosen, first, figures, tuple(cases))


def measure(asked: Sequence[Asked], verdicts: Sequence[Judgement]) -> OpenFigures:
    """The figures of one system's judged answers."""
    halves: tuple[list[bool], list[bool]] = ([], [])
    for item, verdict in zip(asked, verdicts, strict=True):
        halves[item.clip.index % 2].append(verdict.right)
    return OpenFigures(
        accuracy=accuracy([verdict.right for verdict in verdicts]),
        even=accuracy(halves[0]),
        odd=accuracy(halves[1]),
        by_key_words=accuracy([verdict.keys for verdict in verdicts]),
        by_meaning=accuracy([verdict.meaning for verdict in verdicts]),
    )
