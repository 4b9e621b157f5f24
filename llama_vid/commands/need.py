"""`models need`: how much memory a model takes, before anything of it is loaded, and what fits here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from llama_vid.commands.terminal import Device, Json, busy, write_json
from llama_vid.errors import BundleError

if TYPE_CHECKING:
    from llama_vid.memory_need import LanguageSize

#: Weights of a published checkpoint beside its language model: EVA-ViT-g, Q-Former, projectors.
BESIDE_PUBLISHED: Final = 1_220_000_000
#: EfficientNet-Lite2, MiniLM, heads and people probe of `mini`, in float32.
MINI_TOWER: Final = 150_000_000


@dataclass(frozen=True, slots=True)
class Told:
    """A model by its files: the language model's shape, and bytes of the towers (`beside` numbers are in its dtype)."""

    name: str
    size: LanguageSize
    tower: int
    beside: int = 0


def need(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A bundle, its folder, a language model's, or a hub id.")],
    quantize: Annotated[str, typer.Option("--quantize", help="none, int8 or int4.")] = "none",
    context: Annotated[
        int | None, typer.Option("--context", min=1, metavar="TOKENS", help="The window; by default the model's own.")
    ] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="auto, bfloat16, float16 or float32.")] = "auto",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Say how much memory a model takes, and whether it fits here. Reads no weights; exits 1 if it does not fit."""
    import torch

    from llama_vid.llm.language import chosen_dtype
    from llama_vid.llm.quantized import QUANTIZE
    from llama_vid.memory_need import alternatives, free_on, gigabytes, needed, refusal

    if quantize not in QUANTIZE:
        raise BundleError(f"unknown way to quantise {quantize!r}; use {', '.join(QUANTIZE)}")
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    kind = chosen_dtype(dtype, where)
    with busy("Reading the files' headers"):
        told = described(name)
    tower = told.tower + told.beside * kind.itemsize
    asked = needed(told.name, told.size, kind, where, quantize=quantize, context=context, tower=tower)
    free = free_on(where)
    others = alternatives(told.name, told.size, kind, where, free or 2**62, asked.context, tower)
    fits = free is None or asked.total <= free
    if as_json:
        ways = [{key: other.to_json()[key] for key in ("quantize", "context", "total")} for other in others]
        write_json(asked.to_json() | {"device": str(where), "free": free, "fits": fits, "would_fit": ways})
    else:
        print(asked.line())
        for part, count in asked.to_json()["parts"].items():
            print(f"  {part:8} {gigabytes(count):>9}")
        print(f"  {'free':8} {gigabytes(free) if free is not None else 'unknown':>9}  on {where}")
        for other in others:
            if (other.quantize, other.context) != (asked.quantize, asked.context):
                print(f"  fits: --quantize {other.quantize} --context {other.context}: {gigabytes(other.total)}")
    if not fits:
        assert free is not None
        raise refusal(asked, free, where, others)


def described(name: str) -> Told:
    """A model by its name, from configurations and headers. Raises BundleError."""
    from llama_vid.bundle import MANIFEST, find_bundle, read_manifest
    from llama_vid.hub import fetched_config, hub_id
    from llama_vid.llm.converted import converted
    from llama_vid.llm.language import SMOLLM2
    from llama_vid.memory_need import header_bytes
    from llama_vid.needs import LanguageNeed, TowerNeed, place

    folder = Path(name)
    if (folder / "config.json").is_file() and not (folder / MANIFEST).is_file():
        return _configured(folder.name, folder / "config.json")
    if hub_id(name) is not None:
        return _configured(name, fetched_config(name))
    folder = find_bundle(name)
    manifest = read_manifest(folder)
    language, tower = LanguageNeed.of(manifest), TowerNeed.of(manifest)
    path = converted(SMOLLM2) if language is None else place(language.folder, folder)
    if path is None:
        assert language is not None
        language.find(folder)  # says how to get it
        raise BundleError(f"the language model of {folder.name} is not here")
    weights = place(tower.weights, folder) if tower is not None else None
    bytes_of = header_bytes(weights) if weights is not None else MINI_TOWER
    told = _configured(folder.name, path / "config.json")
    return Told(told.name, told.size, bytes_of, told.beside)


def _configured(name: str, config: Path) -> Told:
    from llama_vid.llm.loading import FAMILY
    from llama_vid.memory_need import LanguageSize

    try:
        told: dict[str, Any] = json.loads(config.read_text("utf-8"))
        kind = told.get("model_type")
    except (OSError, ValueError, AttributeError) as problem:
        raise BundleError(f"{config} cannot be read ({problem}); give a model's folder") from None
    if kind not in (*FAMILY, "llava"):
        raise BundleError(f"{config} is of a model of type {kind!r}; known: {', '.join(FAMILY)}, and published ones")
    size = LanguageSize.of(told, str(config))
    return Told(name, size, 0 if kind != "llava" else MINI_TOWER, BESIDE_PUBLISHED if kind == "llava" else 0)
