"""Stages 1 and 2 on real data, and the bundle that comes out of everything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llama_vid.errors import ConfigError
from llama_vid.tokenizer.compressor import Compressor, CompressorConfig
from llama_vid.tokenizer.full import FullProjector
from training.align import Trainer
from training.decoder import TrainableDecoder, named_deltas
from training.export import CARD, export_bundle
from training.feature_sets import FeatureSets
from training.films import Films, films_folder, read_films
from training.head_stages import labels_file
from training.joint import JointSpace
from training.members import Members
from training.named import check_data
from training.options import AlignOptions
from training.prepare import TRAIN, UNLABELLED, Photographs, require
from training.progress import RunLog, plot_loss, read_log
from training.qa import denials, open_questions, tidy
from training.recipe import Align, Export
from training.sampling import Photos, Sampler
from training.starting import Start
from training.towers import load_language, needs_of

ANSWERS = " Yes. No. One. Two. Three. Four. Five. Six. Seven. Eight. First, Then,"


def vocabulary(
    captions: Sequence[Sequence[str]],
    encode: Callable[[str], list[int]],
    end: int,
    size: int,
    extra: int,
    answers: Iterable[str] = (),
) -> Tensor:
    """The token ids that targets are made of and `extra` others out of `size`, sorted: what the loss compares."""
    found = {*encode(ANSWERS), end}
    for answer in (*answers, *denials()):
        found.update(encode(" " + answer))
    for texts in captions:
        for text in texts:
            found.update(encode(" " + tidy(text)), encode(" first, then, " + tidy(text).lower()))
            for _, answer in open_questions(text):
                found.update(encode(" " + answer))
    others = torch.randperm(size, generator=torch.Generator().manual_seed(0))[:extra]
    return torch.tensor(sorted(found.union(others.tolist())))


def align(recipe: Align, photos: Photographs) -> dict[str, object]:
    """Train compressor and LoRA, or go on with them; returns where they lie and their last loss."""
    torch.manual_seed(recipe.seed)
    check_data(recipe.cache, photos.train, named=photos.named)
    arrays = [np.load(require(recipe.cache / f"{name}.npy"), mmap_mode="r") for name in (TRAIN, UNLABELLED)]
    labels = [np.load(require(labels_file(recipe.out, name))) for name in (TRAIN, UNLABELLED)]
    captions = [*(photo.texts for photo in photos.train), *([] for _ in photos.unlabelled)]
    if [len(rows) for rows in labels] != [array.shape[1] for array in arrays] or sum(map(len, labels)) != len(captions):
        raise ConfigError("features, labels and photos are not of the same data; run: llama-vid train labels")
    views = [array.shape[0] for array in arrays for _ in range(array.shape[1])]
    memory = Photos(captions, np.concatenate(labels), views)
    films = None
    if recipe.films > 0:
        rows, made = read_films(films_folder(recipe.cache))
        if rows.shape[1:] != arrays[0].shape[2:]:
            raise ConfigError(
                f"{films_folder(recipe.cache)} holds features of {rows.shape[1]}×{rows.shape[2]}, those of the photos "
                f"are {arrays[0].shape[2]}×{arrays[0].shape[3]}: another tower's; delete it, and run: llama-vid train "
                "render"
            )
        films = Films(made, sum(array.shape[1] for array in arrays))
        arrays.append(rows[None])
    space = JointSpace.of(recipe)
    start = Start.of(recipe.init, recipe.out) if recipe.init else None
    language = load_language(recipe.language)
    if not language.eos:
        raise ConfigError("the language model's config.json names no eos_token_id; set the token that ends a text")
    sampler = Sampler(memory, language.tokenize, language.eos[0], recipe.seed)
    words = vocabulary(
        captions, language.tokenize, language.eos[0], len(language.module.model.embed_tokens.weight), recipe.words,
        films.answers() if films else (),
    )  # fmt: skip
    shapes = {"patches": arrays[0].shape[2], "channels": arrays[0].shape[3], "out": language.width}
    config = start.config if start else CompressorConfig(guide=space.guide, **shapes)
    if wrong := [name for name, size in shapes.items() if getattr(config, name) != size]:
        raise ConfigError(
            f"init: the compressor of {recipe.init} has {wrong[0]} {getattr(config, wrong[0])}, tower and language "
            f"model of this recipe want {shapes[wrong[0]]}; start anew or from a bundle for these parts"
        )
    full = recipe.tokens == "full"
    compressor = FullProjector(config.patches, config.channels, config.out) if full else Compressor(config)
    guides = space.guides()
    own = recipe.model_dump(include=set(AlignOptions.__dataclass_fields__))
    name = recipe.name
    told = recipe.out / f"{name}.jsonl"
    if not (recipe.out / f"{name}.pt").exists():
        told.unlink(missing_ok=True)  # of a run that was thrown away
    decoder = TrainableDecoder(language.module, recipe.rank)
    if start:
        start.apply(compressor, decoder)
    with RunLog(told, name, along="seconds", total=recipe.seconds) as log:
        trainer = Trainer(
            compressor, decoder, FeatureSets(arrays), memory, sampler, guides, words, AlignOptions(**own),
            recipe.out / f"{name}.pt", log, films,
        )  # fmt: skip
        try:
            trainer.resume()
        except RuntimeError as problem:
            raise ConfigError(
                f"{trainer.out} does not fit this recipe ({' '.join(str(problem).split())[:160]}); delete it or give "
                "the recipe another `out`"
            ) from None
        if trainer.warm < recipe.warm_seconds:
            trainer.warm_up()
        trainer.train()
    plots = []
    if points := [(entry["warm"], entry["loss"]) for entry in read_log(told) if "warm" in entry]:
        curve, title = {"both tokens": points}, "Warm start: naming words"
        plots.append(plot_loss(curve, recipe.out / "warm.png", title=title, along="seconds"))
    if points := [(entry["seconds"], entry["loss"]) for entry in trainer.log]:
        curve = {"captions, questions, clips": points}
        title = f"Stages 1 and 2: {trainer.per_frame} tokens a frame"
        plots.append(plot_loss(curve, recipe.out / f"{name}.png", title=title, along="seconds"))
    return {
        "steps": trainer.step_count,
        "seconds": round(trainer.elapsed),
        "loss": trainer.log[-1]["loss"] if trainer.log else None,
        "checkpoint": str(trainer.out),
        "plots": [str(plot) for plot in plots],
    }


def export(recipe: Export) -> dict[str, object]:
    """Write the bundle of the finished stages; returns its folder and size."""
    space = JointSpace.of(recipe)
    checkpoint = require(recipe.out / f"{recipe.run}.pt")
    weights = Start.of(recipe.run, recipe.out)
    if recipe.average_with is not None:
        weights = weights.averaged(Start.of(recipe.average_with, recipe.out), recipe.share)
    full = None
    if (recipe.out / "full.pt").is_file():
        baseline: dict[str, Any] = torch.load(recipe.out / "full.pt", map_location="cpu", weights_only=True)
        full = (baseline["compressor"], named_deltas(baseline["decoder"]))
    rng = np.random.default_rng(0)
    shown = []
    for name, count in ((UNLABELLED, recipe.photos), (TRAIN, recipe.captioned)):
        photos = np.load(require(recipe.cache / f"{name}.npy"), mmap_mode="r").shape[1]
        shown.append(space.photos(name, np.sort(rng.choice(photos, min(count, photos), False))))
    try:
        card = recipe.card.read_text("utf-8") if recipe.card else ""
    except OSError as problem:
        raise ConfigError(f"the model card {recipe.card} cannot be read ({problem.strerror})") from None
    if not card and not (recipe.bundle / CARD).is_file():
        state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        card = plain_card(space.members, state, recipe)
    manifest = export_bundle(
        space.members.states if space.members is not None else [], weights.compressor,
        weights.config, weights.lora, torch.cat(shown), recipe.bundle, calibration=recipe.calibration, card=card,
        full=full, needs=needs_of(recipe),
    )  # fmt: skip
    size = sum((recipe.bundle / file).stat().st_size for file in manifest["files"])
    return {"bundle": str(recipe.bundle), "megabytes": round(size / 1e6, 1), "files": sorted(manifest["files"])}


def plain_card(members: Members | None, state: dict[str, Any], recipe: Export) -> str:
    """A model card for a bundle that has none: what it was trained on, how long, and what its own logs say."""
    heads = [member.get("log", [{}])[-1] for member in members.states] if members is not None else []
    last = state["log"][-1] if state["log"] else {}
    language = "SmolLM2-135M-Instruct" if isinstance(recipe.language, str) else recipe.language.folder.name
    tower = "EfficientNet-Lite2" if isinstance(recipe.tower, str) else recipe.tower.name
    told = f"{len(heads)} members; last scores on the dev photos: {json.dumps(heads)}" if heads else "the tower's own"
    return (
        f"# Model card\n\nTwo tokens a frame for {language}, from {tower} features.\n\n"
        "- Trained on Flickr8k's training photos and captions (non-commercial research use) and COCO photos without "
        "captions.\n"
        f"- Image-text head: {told}\n"
        f"- Compressor and LoRA: {state['steps']} steps in {round(state['elapsed'])} s after {round(state['warm'])} s "
        f"of warm start; last training loss {last.get('loss')}\n- Recipe: `llama-vid train`\n"
    )
