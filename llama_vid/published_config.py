"""The configuration of a published LLaMA-VID checkpoint: what its config.json says that matters here.

Its `model_type` is "llava", which transformers takes for another model: so it is read by us.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from llama_vid.errors import BundleError

CONFIG: Final = "config.json"
#: What of it is the language model's, in LlamaConfig's names.
_LANGUAGE: Final = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "rms_norm_eps", "hidden_act", "bos_token_id", "eos_token_id", "max_position_embeddings",
)  # fmt: skip
_REQUIRED: Final = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")


@dataclass(frozen=True, slots=True)
class PublishedConfig:
    """`language` are LlamaConfig's fields; `context` tokens are the window, stretched where `rope_factor` is over 1;
    `grid` is the pooling of content (1: the mean, n: n × n, 0: none); `size` the pictures' edge where the configuration
    names it; `vision_file` the tower's own file.
    """

    language: Mapping[str, Any]
    context: int
    rope_theta: float = 10000.0
    rope_factor: float = 1.0
    grid: int = 1
    size: int | None = None
    vision_file: str = ""

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Of a checkpoint's folder. Raises BundleError that says what is not LLaMA-VID about it."""
        told = _told(folder)
        if told.get("model_type") != "llava" or "bert_type" not in told:
            raise BundleError(
                f"{folder / CONFIG} is not that of a LLaMA-VID checkpoint (model_type {told.get('model_type')!r}, "
                f"{'no ' if 'bert_type' not in told else ''}bert_type): give a bundle's folder or a LLaMA-VID one"
            )
        for name, wanted in (("bert_type", "qformer_pretrain"), ("mm_projector_type", "mlp2x_gelu")):
            if not str(told.get(name, "")).startswith(wanted):
                raise BundleError(f"{folder / CONFIG}: {name} is {told.get(name)!r}; this program reads {wanted!r}")
        for name in ("mm_use_im_start_end", "mm_use_im_patch_token"):
            if told.get(name):
                raise BundleError(f"{folder / CONFIG}: {name} is on, which no published LLaMA-VID has; not supported")
        if told.get("mm_vision_select_feature", "patch") != "patch":
            raise BundleError(f"{folder / CONFIG}: mm_vision_select_feature is not 'patch'; not supported")
        if lacking := [name for name in _REQUIRED if not isinstance(told.get(name), int)]:
            raise BundleError(f"{folder / CONFIG} does not say {lacking[0]}; fetch it again")
        factor = _factor(folder, told.get("rope_scaling"))
        return cls(
            {name: told[name] for name in _LANGUAGE if told.get(name) is not None},
            context=int(told.get("max_position_embeddings", 4096) * factor),
            rope_theta=float(told.get("rope_theta") or 10000.0),
            rope_factor=factor,
            grid=_grid(folder, told.get("compress_type")),
            size=_size(str(told.get("image_processor") or "")),
            vision_file=Path(str(told.get("mm_vision_tower") or "")).name,
        )

    def rope(self) -> dict[str, Any]:
        """Rotary positions as transformers 5 wants them told."""
        if self.rope_factor == 1:
            return {"rope_type": "default", "rope_theta": self.rope_theta}
        return {"rope_type": "linear", "factor": self.rope_factor, "rope_theta": self.rope_theta}


def is_published(folder: Path) -> bool:
    """Whether a folder has the LLaVA family's layout, of which LLaMA-VID is one: `PublishedConfig` says exactly."""
    if not (folder / CONFIG).is_file() or (folder / "bundle.json").exists():
        return False
    try:
        return bool(_told(folder).get("model_type") == "llava")
    except BundleError:
        return False


def _told(folder: Path) -> dict[str, Any]:
    try:
        told = json.loads((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError) as problem:
        raise BundleError(f"{folder / CONFIG} cannot be read ({problem}); fetch it again") from None
    if not isinstance(told, dict):
        raise BundleError(f"{folder / CONFIG} is no configuration; fetch it again")
    return told


def _factor(folder: Path, told: Any) -> float:
    """The factor of linear position scaling, in the old form `{"type": "linear", "factor": 16.0}` or the new one."""
    if not told:
        return 1.0
    kind = told.get("rope_type", told.get("type")) if isinstance(told, dict) else told
    factor = told.get("factor") if isinstance(told, dict) else None
    if kind == "default":
        return 1.0
    if kind != "linear" or not isinstance(factor, int | float) or factor < 1:
        raise BundleError(f"{folder / CONFIG}: rope_scaling is {told!r}; this program reads linear scaling by a factor")
    return float(factor)


def _grid(folder: Path, told: Any) -> int:
    if told is None:
        return 0
    if told == "mean":
        return 1
    if (match := re.fullmatch(r"grid:(\d+)", str(told))) and int(match[1]) > 1:
        return int(match[1])
    raise BundleError(f"{folder / CONFIG}: compress_type is {told!r}; this program reads 'mean', 'grid:N' and none")


def _size(processor: str) -> int | None:
    """The pictures' edge that the name of an image processor ends with: …/clip-patch14-336."""
    match = re.search(r"-(\d{3})/?$", processor)
    return int(match[1]) if match else None
