"""`eval open`: free answers to the clips' open questions, judged by key words and by meaning (`evaluation/judge.py`).

Four systems in one run: ours, `full`, the last frame only, and the blind language model. Nothing about answers is
trained or tuned on odd-numbered clips, which are reported apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.asking import Route, ask_all
from evaluation.case import Case
from evaluation.clips import Clip, read_clips
from evaluation.judge import Judgement, judge
from evaluation.meaning import Meaning
from evaluation.model import Missing, VideoModel
from evaluation.scores import accuracy, spread
from evaluation.tally import Tally, side_by_side, systems_of
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
) -> Tally:
    """Run the evaluation over a folder of clips; `system` measures that one alone, `limit` asks fewer questions.

    Raises ConfigError if the clips have no questions.
    """
    every = [Asked(clip, question, answer) for clip in read_clips(folder) for question, answer in clip.asked]
    if not every:
        raise ConfigError(f'{folder / "clips.jsonl"} asks nothing: its lines need "qa": [{{"q": …, "a": …}}]')
    asked, judged = spread(every, limit), meaning or Meaning()

    def measured(name: str) -> tuple[OpenFigures, list[Case]] | Missing:
        answers = ask_all(model, name, route, [(item.clip, item.question) for item in asked], tick)
        if isinstance(answers, Missing):
            return answers
        verdicts = [
            judge(item.question, item.answer, answer, judged) for item, answer in zip(asked, answers, strict=True)
        ]
        cases = [
            Case(
                item.clip.kind, item.clip.path, item.question, item.answer, text, verdict.right, item.clip.moments, name
            )
            for item, text, verdict in zip(asked, answers, verdicts, strict=True)
        ]
        return measure(asked, verdicts), cases

    over = {"clips": len({item.clip for item in asked})}
    return side_by_side("open", len(asked), over, route, systems_of(system), measured)


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
