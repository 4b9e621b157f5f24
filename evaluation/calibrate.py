"""Fit how evidence becomes a yes (`llm/calibration.py`) on even-numbered clips, and say what it gives on odd ones.

    python -m evaluation.calibrate [FOLDER] [--write]

Three features of each question of `yesno.jsonl` (best and mean image-text z-score, the language model's yes/no margin)
go into a ridge-penalised logistic regression. `--write` puts the result into the bundle's `bundle.json`.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.clips import YesNo, read_yesno
from evaluation.scores import auc
from llama_vid.bundle import MANIFEST, find_bundle, read_manifest
from llama_vid.llm.calibration import Calibration
from llama_vid.llm.questions import sort_question
from llama_vid.model import LLaMAVID

RIDGE = 0.02


def features(model: LLaMAVID, questions: list[YesNo]) -> Tensor:
    """(N, 3): best z-score, mean of the best quarter, and the margin, for each question."""
    find = model.responder.find
    rows = torch.zeros(len(questions), 3)
    by_clip: dict[Path, list[int]] = defaultdict(list)
    for number, question in enumerate(questions):
        by_clip[question.clip.path].append(number)
    for path, numbers in by_clip.items():
        entries = model.open(path).entries
        for number in numbers:
            text = questions[number].question
            z = find.scores(entries, sort_question(text).subject or text)
            rows[number] = torch.tensor(find.weighed(entries, z, text))
    return rows


def fit(x: Tensor, y: Tensor) -> Tensor:
    """Weights (K + 1,) of a logistic regression of y (N,) on x (N, K), the last one the bias."""
    scale = x.std(0).clamp(min=1e-6)
    inputs = torch.cat([x / scale, torch.ones(len(x), 1)], 1)
    weights = torch.zeros(inputs.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=200)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(inputs @ weights, y) + RIDGE * (weights[:-1] ** 2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    out = weights.detach().clone()
    out[:-1] /= scale
    return out


def main() -> None:
    """Fit, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("../shared/data/clips"))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    model = LLaMAVID.from_pretrained(arguments.model)
    questions = read_yesno(arguments.folder)
    x = features(model, questions)
    y = torch.tensor([float(question.answer) for question in questions])
    even = torch.tensor([question.clip.index % 2 == 0 for question in questions])
    image, mean, tokens, bias = (round(float(weight), 4) for weight in fit(x[even], y[even]))
    # On the token route training has balanced yes and no itself: a bias fitted on clips misjudges movement.
    calibration = Calibration(image, mean, tokens, bias, tokens_bias=0.0)
    p = torch.tensor([calibration.probability(*row) for row in x.tolist()])
    t = torch.tensor([calibration.of_tokens(row[2]) for row in x.tolist()])
    for name, chosen in (("even (fitted)", even), ("odd (held out)", ~even), ("all", torch.ones_like(even))):
        for route, values in (("all", p), ("tokens, best frames", t)):
            right = float(((values >= 0.5) == (y > 0.5))[chosen].float().mean())
            area = auc(values[chosen].tolist(), (y[chosen] > 0.5).tolist())
            print(f"{name:15} route {route:20} accuracy {right:.3f}  AUC {area:.3f}")
    print(json.dumps(asdict(calibration)))
    if arguments.write:
        folder = find_bundle(arguments.model)
        manifest = read_manifest(folder)
        manifest["calibration"] = asdict(calibration)
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
        print(f"written to {folder / MANIFEST}")


if __name__ == "__main__":
    main()
