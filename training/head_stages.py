"""Stage 0: the members of the image-text head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from llama_vid.errors import ConfigError
from training.contrastive import recall_at, train_member
from training.members import Members
from training.prepare import DEV, TRAIN, UNLABELLED, Photographs, require, text_states
from training.progress import RunLog, plot_loss
from training.recipe import Head


def train_heads(recipe: Head, photos: Photographs) -> dict[str, object]:
    """Train the members that are not there yet; returns the recall of all together on the dev photos."""
    for name in (TRAIN, DEV, UNLABELLED):
        require(recipe.cache / f"{name}.npy")
    captions, dev = text_states(recipe.cache, photos.train), text_states(recipe.cache, photos.dev)
    options: dict[str, Any] = recipe.model_dump(include={"epochs", "batch", "rate", "decay", "soft", "drop"})
    options["batch"] = min(recipe.batch, len(captions))
    curves, trained = {}, []
    for seed in recipe.seeds:
        out = recipe.out / f"head-{seed}.pt"
        if not _finished(out, {"seed": seed, **options}):
            out.parent.mkdir(parents=True, exist_ok=True)
            with RunLog(recipe.out / "head.jsonl", f"head {seed}", along="epoch", total=recipe.epochs) as log:
                train_member(recipe.cache, captions, dev, out, seed=seed, report=log, **options)
            trained.append(seed)
        history = torch.load(out, weights_only=True)["log"]
        curves[f"seed {seed}"] = [(entry["epoch"], entry["loss"]) for entry in history]
    plot = plot_loss(curves, recipe.out / "head.png", title="Stage 0: image-text head", along="epoch")
    members = Members.load([recipe.out / f"head-{seed}.pt" for seed in recipe.seeds])
    features = np.load(require(recipe.cache / f"{DEV}.npy"), mmap_mode="r")[0]
    recall = recall_at(members.images(features), members.texts(dev.flatten(0, 1)).view(*dev.shape[:2], -1))
    return {"members": recipe.seeds, "trained_now": trained, "dev": recall, "plot": str(plot)}


def labels_file(out: Path, name: str) -> Path:
    """Where the labels of a set lie."""
    return out / "labels" / f"{name}.npy"


def _finished(out: Path, options: dict[str, Any]) -> bool:
    """Whether a member is there. Raises ConfigError if it was trained with other options."""
    if not out.is_file():
        return False
    found: dict[str, Any] | None = torch.load(out, weights_only=True).get("options")
    changed = [key for key in options if found is not None and found.get(key) != options[key]]
    if changed and found is not None:
        key = changed[0]
        raise ConfigError(
            f"{out} was trained with {key} {found.get(key)}, the recipe says {options[key]}; "
            "delete it to train it again, or give the recipe another `out`"
        )
    return True
