"""Fit how evidence becomes a yes (`llm/calibration.py`) on even-numbered clips, and say what it gives on odd ones.

    python -m evaluation.calibrate [FOLDER] [--write] [--model BUNDLE]

Features of each question of `yesno.jsonl` (best and mean image-text z-score, the language model's yes/no margin, the
z-score of regions of the best frames) go into a ridge-penalised logistic regression, once without the regions and once
with them. As even-numbered clips ask few questions, it also says what is right of each clip by weights fitted on all
other clips. `--write` puts the result into the bundle's `bundle.json`.
"""

from __future__ import annotations

import argparse
import json
from copy import copy
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.clips import YesNo, by_clip, read_yesno
from evaluation.scores import auc
from llama_vid.bundle import MANIFEST, find_bundle, read_manifest
from llama_vid.llm.calibration import Calibration
from llama_vid.llm.questions import sort_question
from llama_vid.model import LLaMAVID

RIDGE = 0.02


def features(model: LLaMAVID, questions: list[YesNo]) -> Tensor:
    """(N, 4): best z-score, mean of the best quarter, the margin, and the regions' z-score, for each question.

    The regions' is not a number where the tower has none.
    """
    find = copy(model.responder.find)
    find.calibration = replace(find.calibration, closer_regions=1.0)  # looked at whatever the bundle says
    rows = torch.zeros(len(questions), 4)
    for clip, numbers in by_clip(question.clip for question in questions).items():
        film = model.open(clip.path)
        entries = film.entries
        for number in numbers:
            text = questions[number].question
            subject = sort_question(text).subject or text
            z = find.scores(entries, subject)
            closer = find.closer(entries, z, subject, film.regions)
            rows[number] = torch.tensor([*find.weighed(entries, z, text), float("nan") if closer is None else closer])
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


def calibrated(x: Tensor, y: Tensor) -> Calibration:
    """The calibration fitted on features (N, 4) and answers (N,)."""
    # On the token route training has balanced yes and no itself: a bias fitted on clips misjudges movement.
    image, mean, tokens, bias = (round(float(weight), 4) for weight in fit(x[:, :3], y))
    if not bool(x[:, 3].isfinite().all()):
        return Calibration(image, mean, tokens, bias)
    near = [round(float(weight), 4) for weight in fit(x, y)]
    return Calibration(
        image, mean, tokens, bias, closer_image=near[0], closer_mean=near[1], closer_tokens=near[2],
        closer_regions=near[3], closer_bias=near[4],
    )  # fmt: skip


def probabilities(calibration: Calibration, x: Tensor, *, closer: bool) -> Tensor:
    """p(yes) (N,) of features (N, 4), with or without the regions."""
    rows = [(*row[:3], row[3] if closer else None) for row in x.tolist()]
    return torch.tensor([calibration.probability(*row) for row in rows])


def left_out(x: Tensor, y: Tensor, clips: Tensor, *, closer: bool) -> Tensor:
    """p(yes) (N,) where each clip's questions are judged by weights fitted on all other clips; `clips` (N,)."""
    p = torch.zeros(len(y))
    for clip in sorted(set(clips.tolist())):
        own = clips == clip
        p[own] = probabilities(calibrated(x[~own], y[~own]), x[own], closer=closer)
    return p


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
    clips = torch.tensor([question.clip.index for question in questions])
    even, every = clips % 2 == 0, torch.ones_like(clips, dtype=torch.bool)
    calibration = calibrated(x[even], y[even])
    routes = {"all": probabilities(calibration, x, closer=False)}
    if calibration.looks_closer:
        routes["all, regions"] = probabilities(calibration, x, closer=True)
    routes["tokens, best frames"] = torch.tensor([calibration.of_tokens(float(margin)) for margin in x[:, 2]])
    for name, chosen in (("even (fitted)", even), ("odd (held out)", ~even), ("all", every)):
        for route, values in routes.items():
            print(f"{name:22} route {route:20} {_figures(values[chosen], y[chosen])}")
    for closer in (False, True) if calibration.looks_closer else (False,):
        for name, chosen in (("even, a clip left out", even), ("all, a clip left out", every)):
            values = left_out(x[chosen], y[chosen], clips[chosen], closer=closer)
            print(f"{name:22} route {'all, regions' if closer else 'all':20} {_figures(values, y[chosen])}")
    print(json.dumps(asdict(calibration)))
    if arguments.write:
        folder = find_bundle(arguments.model)
        manifest = read_manifest(folder)
        manifest["calibration"] = asdict(calibration)
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
        print(f"written to {folder / MANIFEST}")


def _figures(p: Tensor, y: Tensor) -> str:
    right = float(((p >= 0.5) == (y > 0.5)).float().mean())
    loss = float(F.binary_cross_entropy(p.clamp(1e-6, 1 - 1e-6), y))
    return f"accuracy {right:.3f}  AUC {auc(p.tolist(), (y > 0.5).tolist()):.3f}  log loss {loss:.3f}"


if __name__ == "__main__":
    main()
