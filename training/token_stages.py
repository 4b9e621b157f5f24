"""Stages 1 and 2 on real data, and the bundle that comes out of everything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.errors import ConfigError
from llama_vid.llm.language import LanguageModel
from llama_vid.tokenizer.compressor import Compressor, CompressorConfig
from llama_vid.tokenizer.full import FullProjector
from training.align import Trainer
from training.decoder import TrainableDecoder
from training.export import CARD, export_bundle
from training.feature_sets import FeatureSets
from training.films import Films, read_films
from training.head_stages import concept_texts, labels_file
from training.members import Members
from training.options import AlignOptions
from training.prepare import TRAIN, UNLABELLED, Photographs, require
from training.progress import RunLog, plot_loss, read_log
from training.qa import denials, open_questions, tidy
from training.recipe import Align, Export
from training.sampling import Photos, Sampler
from training.starting import Start
from training.texts import TextStates

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
    arrays = [np.load(require(recipe.cache / f"{name}.npy"), mmap_mode="r") for name in (TRAIN, UNLABELLED)]
    labels = [np.load(require(labels_file(recipe.out, name))) for name in (TRAIN, UNLABELLED)]
    captions = [*(photo.texts for photo in photos.train), *([] for _ in photos.unlabelled)]
    if [len(rows) for rows in labels] != [array.shape[1] for array in arrays] or sum(map(len, labels)) != len(captions):
        raise ConfigError("features, labels and photos are not of the same data; run: llama-vid train labels")
    views = [array.shape[0] for array in arrays for _ in range(array.shape[1])]
    memory = Photos(captions, np.concatenate(labels), views)
    films = None
    if recipe.synthetic is not None:
        rows, made = read_films(recipe.synthetic)
        films = Films(made, sum(array.shape[1] for array in arrays))
        arrays.append(rows[None])
    language = LanguageModel.load()
    sampler = Sampler(memory, language.tokenize, language.eos[0], recipe.seed)
    words = vocabulary(
        captions, language.tokenize, language.eos[0], len(language.module.model.embed_tokens.weight), recipe.words,
        films.answers() if films else (),
    )  # fmt: skip
    start = Start.of(recipe.init) if recipe.init else None
    config = start.config if start else CompressorConfig()
    full = recipe.tokens == "full"
    compressor = FullProjector(config.patches, config.channels, config.out) if full else Compressor(config)
    members = Members.load([recipe.out / f"head-{seed}.pt" for seed in recipe.seeds])
    guides = F.normalize(concept_texts(members, TextStates())[:, : config.guide], dim=-1)
    own = recipe.model_dump(include=set(AlignOptions.__dataclass_fields__))
    name = "full" if full else "align"
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
    members = Members.load([recipe.out / f"head-{seed}.pt" for seed in recipe.seeds])
    state: dict[str, Any] = torch.load(require(recipe.out / "align.pt"), map_location="cpu", weights_only=True)
    config = CompressorConfig(**state.get("config", {}))
    decoder = TrainableDecoder(LanguageModel.load().module, state.get("rank") or rank_of(state["decoder"]))
    decoder.load_state_dict(state["decoder"])
    full = None
    if (recipe.out / "full.pt").is_file():
        baseline: dict[str, Any] = torch.load(recipe.out / "full.pt", map_location="cpu", weights_only=True)
        reader = TrainableDecoder(LanguageModel.load().module, baseline["rank"])
        reader.load_state_dict(baseline["decoder"])
        full = (baseline["compressor"], reader.lora_tensors())
    rng = np.random.default_rng(0)
    shown = []
    for name, count in ((UNLABELLED, recipe.photos), (TRAIN, recipe.captioned)):
        features = np.load(require(recipe.cache / f"{name}.npy"), mmap_mode="r")[0]
        shown.append(features[np.sort(rng.choice(len(features), min(count, len(features)), False))])
    try:
        card = recipe.card.read_text("utf-8") if recipe.card else ""
    except OSError as problem:
        raise ConfigError(f"the model card {recipe.card} cannot be read ({problem.strerror})") from None
    if not card and not (recipe.bundle / CARD).is_file():
        card = plain_card(members, state)
    manifest = export_bundle(
        members.states, state["compressor"], config, decoder.lora_tensors(), members.images(np.concatenate(shown)),
        recipe.bundle, calibration=recipe.calibration, card=card, full=full,
    )  # fmt: skip
    size = sum((recipe.bundle / file).stat().st_size for file in manifest["files"])
    return {"bundle": str(recipe.bundle), "megabytes": round(size / 1e6, 1), "files": sorted(manifest["files"])}


def rank_of(decoder: dict[str, Tensor]) -> int:
    """The LoRA rank of a decoder's state."""
    return int(decoder["layers.0.o.a"].shape[0])


def plain_card(members: Members, state: dict[str, Any]) -> str:
    """A model card for a bundle that has none: what it was trained on, how long, and what its own logs say."""
    heads = [member.get("log", [{}])[-1] for member in members.states]
    last = state["log"][-1] if state["log"] else {}
    return (
        "# Model card\n\nTwo tokens a frame for SmolLM2-135M-Instruct, from EfficientNet-Lite2 features.\n\n"
        "- Trained on Flickr8k's training photos and captions (non-commercial research use) and COCO photos without "
        "captions.\n"
        f"- Image-text head: {len(heads)} members; last scores on the dev photos: {json.dumps(heads)}\n"
        f"- Compressor and LoRA: {state['steps']} steps in {round(state['elapsed'])} s after {round(state['warm'])} s "
        f"of warm start; last training loss {last.get('loss')}\n- Recipe: `llama-vid train all`\n"
    )
