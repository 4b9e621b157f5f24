"""Multiple choice over clips: which of four captions tells of the clip, and which of four answers is right.

The other captions are those of other clips; the other answers are given about other clips to questions that begin alike
("What colour …"), and share no word with the right one. Asked as the benchmarks' multiple-choice prompts are answered
(`llm/choosing.py`). Weights are fitted on even-numbered clips; figures are of odd ones, beside each part alone.

    python -m evaluation.lmms.choices [FOLDER] [--limit N] [--model NAME]
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from evaluation.clips import Clip, read_clips
from evaluation.scores import spread
from llama_vid.llm.choosing import Chooser, Parts, Weights
from llama_vid.llm.options import Choices

if TYPE_CHECKING:
    from llama_vid.model import LLaMAVID

OPTIONS: Final = 4
SEED: Final = 0
#: What is tried for the parts beside the tokens, whose weight is 1.
BLIND: Final = (0.5, 0.7, 0.85, 1.0)
IMAGE: Final = (0.0, 0.25, 0.5, 1.0, 2.0)
#: Parts alone, to compare with.
ALONE: Final = {
    "tokens": Weights(1.0, 1.0, 0.0),
    "tokens, not less blind": Weights(1.0, 0.0, 0.0),
    "image": Weights(0.0, 0.0, 1.0),
    "blind": Weights(0.0, -1.0, 0.0),
}
_CAPTION: Final = "Which of these describes the video?"
_PLAIN: Final = frozenset({"a", "an", "the", "in", "on", "at"})


@dataclass(frozen=True, slots=True)
class Item:
    """A multiple-choice question about a clip, `kind` caption or answer; `right` is the right option's number."""

    kind: str
    clip: Clip
    choices: Choices
    right: int


def items(clips: Sequence[Clip], seed: int = SEED) -> list[Item]:
    """The questions about clips, the same for the same seed. A clip whose question has no three rivals is left out."""
    chance = random.Random(seed)
    found = []
    for clip in clips:
        others = [other.caption for other in clips if other is not clip]
        if len(others) >= OPTIONS - 1:
            found.append(_item("caption", clip, _CAPTION, clip.caption, others, chance))
    asked = [(clip, q, a) for clip in clips for q, a in clip.asked if not re.match(r"(?:yes|no)\b", a, re.IGNORECASE)]
    for clip, question, answer in asked:
        rivals = _rivals(clip, question, answer, asked)
        if rivals:
            found.append(_item("answer", clip, question, answer, rivals, chance))
    return found


def measure(parts: Sequence[tuple[Item, Parts]], weights: Weights) -> dict[str, float]:
    """The share of right choices over all questions and by kind."""
    groups: dict[str, list[bool]] = {"all": []}
    for item, part in parts:
        right = int(weights.worth(part).argmax()) == item.right
        groups["all"].append(right)
        groups.setdefault(item.kind, []).append(right)
    return {name: sum(rights) / len(rights) for name, rights in sorted(groups.items()) if rights}


def fitted(parts: Sequence[tuple[Item, Parts]]) -> Weights:
    """The weights that choose best; of equals the first."""
    grid = [Weights(1.0, blind, image) for blind, image in product(BLIND, IMAGE)]
    return max(grid, key=lambda weights: measure(parts, weights).get("all", 0.0))


def evaluate(
    model: LLaMAVID, clips: Sequence[Clip], tick: Callable[[str], None] = lambda _name: None
) -> dict[str, Any]:
    """The figures as JSON: what was fitted on even-numbered clips, and shares of right choices on odd ones."""
    chooser = Chooser(model.responder.find)
    asked = items(clips)
    parts = []
    for clip in clips:
        entries = model.open(str(clip.path)).entries
        pairs = model.tokens.pairs(str(clip.path))
        parts += [(item, chooser.parts(item.choices, pairs, entries)) for item in asked if item.clip is clip]
        tick(clip.path.name)
    even = [(item, part) for item, part in parts if item.clip.index % 2 == 0]
    odd = [(item, part) for item, part in parts if item.clip.index % 2]
    best = fitted(even)
    return {
        "name": "choices",
        "n": len(parts),
        "n_odd": len(odd),
        "chance": 1 / OPTIONS,
        "fitted": asdict(best) | {"odd": measure(odd, best), "even": measure(even, best)},
        "shipped": asdict(Weights()) | {"odd": measure(odd, Weights()), "all clips": measure(parts, Weights())},
        "alone": {name: {"odd": measure(odd, w), "all clips": measure(parts, w)} for name, w in ALONE.items()},
    }


def _item(kind: str, clip: Clip, question: str, right: str, others: Sequence[str], chance: random.Random) -> Item:
    options = [right, *chance.sample(list(others), OPTIONS - 1)]
    chance.shuffle(options)
    return Item(kind, clip, Choices(question, tuple(options)), options.index(right))


def _rivals(clip: Clip, question: str, answer: str, asked: Sequence[tuple[Clip, str, str]]) -> list[str]:
    """Answers about other clips to the questions that begin most alike, three or more; none where there are fewer."""
    for words in (3, 2, 1):
        start = question.lower().split()[:words]
        alike = {
            other
            for elsewhere, further, other in asked
            if elsewhere is not clip and further.lower().split()[:words] == start and not _words(other) & _words(answer)
        }
        if len(alike) >= OPTIONS - 1:
            return sorted(alike)
    return []


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower())) - _PLAIN


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a bundle and print the figures."""
    from evaluation.run import data_folder
    from llama_vid.bundle import find_bundle, fingerprint
    from llama_vid.model import LLaMAVID

    parser = argparse.ArgumentParser(
        prog="python -m evaluation.lmms.choices", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("folder", nargs="?", type=Path, help="holds clips.jsonl and its videos")
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--model", default="mini")
    options = parser.parse_args(arguments)
    data = data_folder()
    folder = options.folder or (data / "clips" if data is not None else None)
    if folder is None:
        parser.error("no evaluation data: give the folder, or set LLAMA_VID_DATA")
    clips = spread(read_clips(folder), options.limit)
    figures = evaluate(LLaMAVID.from_pretrained(options.model), clips)
    print(json.dumps(figures | {"bundle": fingerprint(find_bundle(options.model))}, indent=1))


if __name__ == "__main__":
    main()
