"""`llama-vid train RECIPE`: one stage or several in order; what is finished is skipped, the interrupted goes on."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from llama_vid.errors import ConfigError
from training.prepare import Photographs, prepare
from training.recipe import Align, Export, Head, Labels, Prepare, Sequence, Single, load_recipe


def run_recipe(recipe: str) -> dict[str, object]:
    """Run a recipe, a YAML file's path or the name of one of `training/recipes/`; returns what came out, JSON-ready.

    Raises ConfigError for a recipe or data that are missing or wrong, BundleError for a missing pretrained part.
    """
    path, found = load_recipe(recipe)
    if not isinstance(found, Sequence):
        return {"recipe": recipe, **_run(found, path.stem)}
    # All are read before the first one runs: a mistake in the last must not show after an hour.
    parts = [(name, *_part(name, found, path)) for name in found.recipes]
    return {"recipe": recipe, **{name: _run(part, file.stem) for name, file, part in parts}}


def _part(name: str, whole: Sequence, path: Path) -> tuple[Path, Single]:
    file, part = load_recipe(name, beside=path.parent)
    if isinstance(part, Sequence):
        raise ConfigError(f"{path}: recipes: {name} is a list of recipes itself; name its parts")
    shared: dict[str, Any] = {key: getattr(whole, key) for key in ("out", "cache") if key in whole.model_fields_set}
    return file, part.model_copy(update=shared)


def _run(recipe: Single, title: str) -> dict[str, object]:
    """One stage, timed; the heavy imports wait until its recipe is known to be sound."""
    began = time.monotonic()
    print(f"train: {title}", file=sys.stderr, flush=True)
    match recipe:
        case Prepare():
            report = prepare(recipe, Photographs())
        case Head() | Labels():
            from training.head_stages import label_concepts, train_heads

            photos = Photographs()
            report = train_heads(recipe, photos) if isinstance(recipe, Head) else label_concepts(recipe, photos)
        case Align():
            from training.token_stages import align

            report = align(recipe, Photographs())
        case Export():
            from training.token_stages import export

            report = export(recipe)
    return {**report, "took_s": round(time.monotonic() - began, 1)}
