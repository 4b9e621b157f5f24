"""A trained bundle as a folder: compact weights, their hashes, shapes and calibration, and the model card.

The folder is what `llama_vid.bundle` reads: see there for its files. Everything is checked before anything is written,
and the manifest comes last, so that a folder is never a mixture of two exports that claims to be whole.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from llama_vid.bundle import BESIDE, FORMAT, MANIFEST
from llama_vid.compact import compacted, thin_deltas
from llama_vid.errors import BundleError
from llama_vid.llm.calibration import Calibration
from llama_vid.tokenizer.compressor import Compressor, CompressorConfig
from llama_vid.tokenizer.parts import sha256_of

CARD = "README.md"


def export_bundle(
    heads: Sequence[Mapping[str, Mapping[str, Tensor]]],
    compressor_state: Mapping[str, Tensor],
    config: CompressorConfig,
    lora_tensors: Mapping[str, Tensor],
    background: Tensor,
    out: Path,
    *,
    calibration: Mapping[str, float] | None,
    card: str,
    full: tuple[Mapping[str, Tensor], Mapping[str, Tensor]] | None = None,
    needs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a bundle into the folder `out` and return its manifest.

    `heads` are members as stage 0 saves them (`image` and `text` state dicts), `lora_tensors` those of
    `TrainableDecoder.lora_tensors()`, `background` (N, E) unit-length joined embeddings of ordinary photos, `full` the
    projector's state and the deltas of the baseline `full`, `needs` the tower and the language model where they are not
    those of `mini` (see `llama_vid/needs.py`); there are no heads if it names a tower. With `calibration` None a
    calibration that the folder holds already is kept; with an empty `card` so is its model card. So are the
    parts that are made beside training (`training/bundle_part.py`): how rare words are, and the people probe.
    Raises BundleError if the parts do not fit each other or hold numbers that are not finite.
    """
    needs = needs or {}
    if not heads and "tower" not in needs:
        raise BundleError("a bundle needs at least one member of the image-text head; run: llama-vid train head")
    _check_compressor(compressor_state, config)
    _check_background(background, heads)
    kept = _calibration(out, calibration)
    weights: dict[str, dict[str, Tensor]] = {}
    for number, head in enumerate(heads, 1):
        joined = {f"{side}.{key}": value for side in ("image", "text") for key, value in head[side].items()}
        weights[f"head-{number}.safetensors"] = compacted(joined)
    # The deltas are small and added to large weights: they stay in float16.
    weights["lora.safetensors"] = {key: value.half().contiguous() for key, value in lora_tensors.items()}
    weights["compressor.safetensors"] = compacted(compressor_state)
    weights["background.safetensors"] = {"embeddings": background.half().contiguous()}
    if full is not None:
        weights["full.safetensors"] = compacted(full[0])
        weights["full-lora.safetensors"] = thin_deltas(full[1])
    weights |= {file: load_file(out / file) for file in BESIDE if (out / file).is_file()}
    for file, tensors in weights.items():
        _check_finite(file, tensors)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        fresh = Path(scratch)
        for file, tensors in weights.items():
            save_file(tensors, fresh / file)
            (fresh / file).chmod(0o644)
        if not card and (out / CARD).is_file():
            card = (out / CARD).read_text("utf-8")
        if card:
            (fresh / CARD).write_text(card, "utf-8")
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "heads": [file for file in weights if file.startswith("head-")],
            "compressor": asdict(config),
            "calibration": kept,
            **needs,
            **({} if full is None else {"full": {"bias": 0.0}}),
            "files": {path.name: sha256_of(path) for path in sorted(fresh.iterdir())},
        }
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
        _replace(fresh, out, list(manifest["files"]))
    return manifest


def _replace(fresh: Path, out: Path, files: list[str]) -> None:
    """Move a finished export over what was there: the manifest goes first and comes back last."""
    (out / MANIFEST).unlink(missing_ok=True)
    for stale in out.glob("*.safetensors"):
        stale.unlink()
    for file in [*files, MANIFEST]:
        shutil.move(fresh / file, out / file)


def _calibration(out: Path, calibration: Mapping[str, float] | None) -> dict[str, float]:
    """The calibration to write. Raises BundleError for names that the program does not know."""
    if calibration is None:
        try:
            calibration = json.loads((out / MANIFEST).read_text("utf-8")).get("calibration", {})
        except (OSError, ValueError, AttributeError):
            calibration = {}
    known = {field.name for field in fields(Calibration)}
    if unknown := sorted(set(calibration or {}) - known):
        raise BundleError(f"unknown calibration {', '.join(unknown)}; the program knows {', '.join(sorted(known))}")
    return {key: float(value) for key, value in (calibration or {}).items()}


def _check_compressor(state: Mapping[str, Tensor], config: CompressorConfig) -> None:
    with torch.device("meta"):
        empty = Compressor(config)
    try:
        empty.load_state_dict(dict(state), assign=True)
    except RuntimeError as problem:
        detail = " ".join(str(problem).split())[:200]
        raise BundleError(f"the compressor's weights do not fit its configuration: {detail}; train it again") from None


def _check_background(background: Tensor, heads: Sequence[Mapping[str, Mapping[str, Tensor]]]) -> None:
    width = sum(int(head["image"]["down.weight"].shape[0]) for head in heads) or int(background.shape[-1])
    if background.dim() != 2 or background.shape[1] != width or len(background) < 2:
        raise BundleError(
            f"the background has shape {tuple(background.shape)}, the head's joined embedding is {width} wide; "
            "compute it with these members"
        )
    if not torch.allclose(background.float().norm(dim=1), torch.ones(len(background)), atol=1e-2):
        raise BundleError("the background's embeddings are not of unit length; normalise the joined embeddings")


def _check_finite(file: str, tensors: Mapping[str, Tensor]) -> None:
    for key, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise BundleError(
                f"{key} in {file} holds numbers that are not finite: that training diverged; lower its rate"
            )
