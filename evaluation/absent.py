"""`eval absent`: questions that presuppose something, put to clips with it and to clips without.

"What colour is the dog?" of a clip without a dog must be denied or refused ("I have not seen a dog"); of a clip with
one it must not be (a false denial). What is there and what is not is known exactly: from the answers of `yesno.jsonl`
and from `rules.jsonl`, whose labels are complete (where a rule neither holds nor is uncertain, the thing is not there).
The same forms of questions are put to as many clips with as without.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evaluation.asking import Route, ask_all
from evaluation.case import Case
from evaluation.clips import Clip, read_clips, read_lines, read_yesno
from evaluation.model import Missing, VideoModel
from evaluation.scores import accuracy, spread
from evaluation.tally import Tally, side_by_side, systems_of

_LIVING: Final = ("What is {the} doing?", "Where is {the}?", "When does {the} appear?", "How many {many} are there?")
_ANIMAL: Final = ("What colour is {the}?", *_LIVING)
_PERSON: Final = ("What is {the} wearing?", *_LIVING)
_THING: Final = ("What colour is {the}?", "Where is {the}?", "When does {the} appear?", "How many {many} are there?")
_MASS: Final = ("Where is {the}?", "When is {the} seen?", "What is on {the}?")
#: What the labels name: "the …" in a question, its plural, and the forms that fit.
CONCEPTS: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "dog": ("the dog", "dogs", _ANIMAL),
    "cat": ("the cat", "cats", _ANIMAL),
    "bird": ("the bird", "birds", _ANIMAL),
    "animal": ("the animal", "animals", _ANIMAL),
    "woman": ("the woman", "women", _PERSON),
    "man": ("the man", "men", _PERSON),
    "person": ("the person", "people", _PERSON),
    "child": ("the child", "children", _PERSON),
    "baby": ("the baby", "babies", _PERSON),
    "car": ("the car", "cars", _THING),
    "motorcycle": ("the motorcycle", "motorcycles", _THING),
    "bicycle": ("the bicycle", "bicycles", _THING),
    "snow": ("the snow", "", _MASS),
    "grass": ("the grass", "", _MASS),
    "toy": ("the toy", "toys", _THING),
    "dance": ("", "", ("Who is dancing?", "When does someone dance?", "Where are they dancing?")),
    "music": ("", "", ("Which instrument is played?", "Who plays the instrument?")),
    "cooking": ("", "", ("What food is being cooked?", "Who is cooking?", "When does someone cook?")),
}
#: What counts as denying or refusing, at the answer's beginning or as a whole clause.
_DENIED: Final = re.compile(
    r"^\W*(?:no\b|none\b|never\b|nothing\b|nobody\b|no one\b|zero\b|0\b)"
    r"|\b(?:have|has|had|do|does|did|is|are|was|were|can|could) (?:probably )?(?:not|no|never)\b"
    r"|\b(?:haven't|hasn't|don't|doesn't|didn't|isn't|aren't|wasn't|weren't|cannot|can't|couldn't)\b"
    r"|\bnot (?:seen|visible|shown|there|in the video)\b|\bthere (?:is|are|was|were) no\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Presupposing:
    """A question about a clip that takes `concept` for granted; `present` says whether it is there."""

    clip: Clip
    concept: str
    question: str
    present: bool


@dataclass(frozen=True, slots=True)
class AbsentFigures:
    """`denied` of what is absent, `false_denials` of what is present, and the share of right answers; by halves."""

    denied: float | None
    false_denials: float | None
    accuracy: float | None
    even: float | None
    odd: float | None

    def to_json(self) -> dict[str, float | None]:
        return {
            "denied": self.denied,
            "false_denials": self.false_denials,
            "accuracy": self.accuracy,
            "accuracy_even": self.even,
            "accuracy_odd": self.odd,
        }


def denies(answer: str) -> bool:
    """Whether an answer denies what was asked about, or refuses. An empty one says nothing, and so denies nothing."""
    return bool(_DENIED.search(answer))


def read_absent(folder: Path) -> list[Presupposing]:
    """The questions, clip by clip: with and without in equal number for each concept. Raises ConfigError."""
    labels: dict[tuple[str, bool], list[Clip]] = defaultdict(list)
    for item in read_yesno(folder):
        labels[item.concept, item.answer].append(item.clip)
    if (folder / "rules.jsonl").is_file():
        clips = read_clips(folder)
        for rule in read_lines(folder / "rules.jsonl"):
            holds = {str(file) for file in rule.get("true_in", ())}
            unsure = {str(file) for file in rule.get("uncertain_in", ())}
            there = [clip for clip in clips if clip.path.name in holds]
            not_there = [clip for clip in clips if clip.path.name not in holds | unsure]
            name = str(rule.get("name", ""))
            labels[name, True] += there
            labels[name, False] += spread(not_there, len(there))
    asked: dict[tuple[str, str, bool], Presupposing] = {}
    for concept, (the, many, forms) in CONCEPTS.items():
        pairs = zip(labels[concept, True], labels[concept, False], strict=False)
        for number, (with_, without) in enumerate(pairs):
            text = forms[number % len(forms)].format(the=the, many=many)
            pair = Presupposing(with_, concept, text, True), Presupposing(without, concept, text, False)
            keys = [(item.clip.path.name, text, item.present) for item in pair]
            if not any(key in asked for key in keys):  # both files may put a form to the same clip
                asked.update(zip(keys, pair, strict=True))
    return sorted(asked.values(), key=lambda item: (item.clip.index, item.concept, item.question))


def evaluate_absent(
    model: VideoModel,
    folder: Path,
    *,
    route: Route = "all",
    system: str = "",
    limit: int | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Tally:
    """Run the evaluation over a folder of clips; `system` measures that one alone, `limit` asks fewer questions."""
    asked = spread(read_absent(folder), limit)

    def measured(name: str) -> tuple[AbsentFigures, list[Case]] | Missing:
        answers = ask_all(model, name, route, [(item.clip, item.question) for item in asked], tick)
        if isinstance(answers, Missing):
            return answers
        cases = []
        for item, text in zip(asked, answers, strict=True):
            wanted = f"{item.concept} is there" if item.present else f"denied: no {item.concept}"
            right = denies(text) != item.present
            cases.append(
                Case(item.concept, item.clip.path, item.question, wanted, text, right, item.clip.moments, name)
            )
        return measure(asked, answers), cases

    over = {"clips": len({item.clip for item in asked})}
    return side_by_side("absent", len(asked), over, route, systems_of(system), measured)


def measure(asked: Sequence[Presupposing], answers: Sequence[str]) -> AbsentFigures:
    """The figures of one system's answers."""
    pairs = [(item, denies(text)) for item, text in zip(asked, answers, strict=True)]
    right = [(item.clip.index % 2, said != item.present) for item, said in pairs]
    return AbsentFigures(
        denied=accuracy([said for item, said in pairs if not item.present]),
        false_denials=accuracy([said for item, said in pairs if item.present]),
        accuracy=accuracy([yes for _, yes in right]),
        even=accuracy([yes for half, yes in right if half == 0]),
        odd=accuracy([yes for half, yes in right if half == 1]),
    )
