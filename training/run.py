"""`llama-vid train RECIPE`: one stage or several in order; what is finished is skipped, the interrupted goes on."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from llama_vid.errors import ConfigError
from training.plan import Plan, make_plan
from training.prepare import Photographs, prepare
from training.recipe import Align, Export, Head, Labels, Prepare, Render, Sequence, Single, Tower, load_recipe, parts_of


def run_recipe(recipe: str) -> dict[str, object]:
    """Run a recipe, a YAML file's path or the name of one of `training/recipes/`; returns what came out, JSON-ready.

    Its plan is printed on stderr first. Raises ConfigError for a recipe, data or weights that are missing or wrong,
    BundleError for a missing pretrained part.
    """
    # All parts are read before the first one runs: a mistake in the last must not show after an hour.
    parts, single = _parts(recipe)
    plan = make_plan(recipe, parts)
    print(*plan.lines(), sep="\n", file=sys.stderr, flush=True)
    if plan.problems:
        raise ConfigError("; ".join(plan.problems))
    if single:
        return {"recipe": recipe, **_run(parts[0][2], parts[0][0])}
    return {"recipe": recipe, **{name: _run(part, file.stem) for name, file, part in parts}}


def plan_recipe(recipe: str) -> Plan:
    """What a run would do, and nothing else. Raises ConfigError for a recipe that is wrong."""
    return make_plan(recipe, _parts(recipe)[0])


def _parts(recipe: str) -> tuple[list[tuple[str, Path, Single]], bool]:
    """The stages of a recipe by name and file, and whether it is a single one."""
    path, found = load_recipe(recipe)
    return (parts_of(found, path), False) if isinstance(found, Sequence) else ([(path.stem, path, found)], True)


def _run(recipe: Single, title: str) -> dict[str, object]:
    """One stage, timed; the heavy imports wait until its recipe is known to be sound."""
    began = time.monotonic()
    print(f"train: {title}", file=sys.stderr, flush=True)
    match recipe:
        case Prepare():
            report = prepare(recipe, Photographs(recipe.data))
        case Head(tower=Tower(name=name)):
            report = {"skipped": f"{name} has a text side of its own"}
        case Head():
            from training.head_stages import train_heads
            from training.named import check_data

            photos = Photographs(recipe.data)
            check_data(recipe.cache, photos.train, named=photos.named)
            report = train_heads(recipe, photos)
        case Labels():
            from training.label_stage import label_concepts

            report = label_concepts(recipe, Photographs(recipe.data))
        case Render():
            from training.render_stage import render

            report = render(recipe, Photographs(recipe.data))
        case Align():
            from training.token_stages import align

            report = align(recipe, Photographs(recipe.data))
        case Export():
            from training.token_stages import export

            report = export(recipe)
    return {**report, "took_s": round(time.monotonic() - began, 1)}
