"""`python -m evaluation.reliability`: does 0.8 mean 0.8? Probabilities against how often they are right.

Two kinds of probability: that of a yes to a question about a clip (`yesno.jsonl`; fitted on even-numbered clips, shown
on odd ones), and that with which a frame counts as showing a thing, over COCO's captioned photos. A photo's captions
are weak labels there: what they name is there, what none of five names may be there all the same, so that the share
found is a lower bound. Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599 (expected calibration error).
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from evaluation.calibrate import calibrated, features, probabilities
from evaluation.clips import read_yesno
from llama_vid.errors import ConfigError
from llama_vid.model import LLaMAVID
from training.concepts import CONCEPTS, named_in
from training.features import load_photo

BINS: Final = 10
PHOTOS_A_BATCH: Final = 8


@dataclass(frozen=True, slots=True)
class Bin:
    """The probabilities from `low` to `high`: how many, their mean, and the share of them that came true."""

    low: float
    high: float
    n: int
    mean: float
    share: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """`error` is the expected calibration error, `brier` the mean squared error; bins without a probability are left
    out.
    """

    name: str
    n: int
    error: float
    brier: float
    bins: tuple[Bin, ...]

    @classmethod
    def of(cls, name: str, p: Sequence[float], truth: Sequence[bool], bins: int = BINS) -> Reliability:
        """From probabilities in 0…1 and what came true. Raises ValueError for none."""
        if not p or len(p) != len(truth):
            raise ValueError(
                f"{name}: {len(p)} probabilities and {len(truth)} outcomes; there must be as many, and some"
            )
        values, came = np.asarray(p, float), np.asarray(truth, bool)
        which = np.minimum((values * bins).astype(int), bins - 1)
        found = tuple(
            Bin(b / bins, (b + 1) / bins, int(own.sum()), float(values[own].mean()), float(came[own].mean()))
            for b in range(bins)
            if (own := which == b).any()
        )
        error = sum(each.n * abs(each.mean - each.share) for each in found) / len(values)
        return cls(name, len(values), float(error), float(((values - came) ** 2).mean()), found)


@dataclass(frozen=True, slots=True)
class ReliabilityResult:
    """All diagrams of a run."""

    diagrams: tuple[Reliability, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": "reliability",
            "n": sum(each.n for each in self.diagrams),
            "diagrams": {each.name: asdict(each) for each in self.diagrams},
        }


def evaluate_reliability(model: LLaMAVID, data: Path) -> ReliabilityResult:
    """Reliability over a data folder (`clips/`, `coco/`). Raises ConfigError, SourceError."""
    questions = read_yesno(data / "clips")
    x = features(model, questions)
    answers = torch.tensor([float(question.answer) for question in questions])
    even = torch.tensor([question.clip.index % 2 == 0 for question in questions])
    calibration = calibrated(x[even], answers[even])
    odd = (answers[~even] > 0.5).tolist()
    diagrams = [Reliability.of("yes/no, odd clips", probabilities(calibration, x, closer=False)[~even].tolist(), odd)]
    if calibration.looks_closer:
        p = probabilities(calibration, x, closer=True)[~even].tolist()
        diagrams.append(Reliability.of("yes/no with regions, odd clips", p, odd))
    p, named = photo_probabilities(model, data / "coco")
    return ReliabilityResult((*diagrams, Reliability.of("things in COCO photos", p, named)))


def photo_probabilities(model: LLaMAVID, folder: Path) -> tuple[list[float], list[bool]]:
    """p(a thing is shown) and whether a caption names it, for each captioned photo and each thing.

    Raises ConfigError, SourceError.
    """
    captions: dict[str, set[int]] = {}
    source = folder / "captions.tsv"
    try:
        with source.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                captions.setdefault(row["image"], set()).update(named_in(row["caption"]))
    except (OSError, KeyError, TypeError) as problem:
        raise ConfigError(f"{source} needs the columns image and caption ({problem}); fetch it again") from None
    if not captions:
        raise ConfigError(f"{source} holds no captions; fetch it again")
    photos = [load_photo(folder / "photos" / name) for name in captions]
    with torch.inference_mode():
        parts = [
            model.bundle.tower.encode(photos[at : at + PHOTOS_A_BATCH]).embedding.cpu()
            for at in range(0, len(photos), PHOTOS_A_BATCH)
        ]
    find, seen = model.responder.find, torch.cat(parts)
    p, named = list[float](), list[bool]()
    for number, concept in enumerate(CONCEPTS):
        if concept.kind == "thing":
            p += [find.sure(float(z)) for z in find.score(seen, concept.phrase)]
            named += [number in told for told in captions.values()]
    return p, named


def plot(result: ReliabilityResult, out: Path) -> None:
    """One diagram beside the other: the share that came true over the probability; a dot's area is how many it is."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(result.diagrams), 4), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(1, len(result.diagrams), squeeze=False)
    for axes, each in zip(rows[0], result.diagrams, strict=True):
        axes.plot([0, 1], [0, 1], color="#b3b3b3", linewidth=1)
        at, came = [each.mean for each in each.bins], [each.share for each in each.bins]
        axes.plot(at, came, color="#0072b2", linewidth=1)
        axes.scatter(at, came, [20 + 400 * bin_.n / each.n for bin_ in each.bins], color="#0072b2", alpha=0.7)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability", ylabel="share that is so")
        axes.set_title(f"{each.name}\n{each.n} in all, expected calibration error {each.error:.3f}", fontsize=9)
    figure.savefig(out, format="png", dpi=110)


def main() -> None:
    """Measure, print, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, default=Path("reliability.png"))
    arguments = parser.parse_args()
    result = evaluate_reliability(LLaMAVID.from_pretrained(arguments.model), arguments.data)
    plot(result, arguments.out)
    print(json.dumps(result.to_json(), indent=1))


if __name__ == "__main__":
    main()
