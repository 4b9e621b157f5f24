"""The field's benchmarks, through lmms-eval: this package is its plugin (entry point `lmms_eval.models`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmms_eval.models.registry_v2 import ModelManifest


def manifest() -> ModelManifest:
    """What lmms-eval lists: the model `llama_vid_live`. Its own `llama_vid` is the published LLaMA-VID."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(
        model_id="llama_vid_live",
        simple_class_path="evaluation.lmms.model.LlamaVidLive",
        aliases=("llama-vid-live",),
    )
