"""A bundle's language model as a folder for others: what it says is what the bundle says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from llama_vid.errors import BundleError
from llama_vid.language_export import export_language
from llama_vid.llm.language import LanguageModel
from tests.bundles import mini, skip_without_mini


def test_export_is_the_merged_model(tmp_path: Path) -> None:
    bundle = mini()
    size = export_language("mini", tmp_path / "out", dtype="bf16")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    assert size == pytest.approx((tmp_path / "out" / "model.safetensors").stat().st_size, rel=0.01)
    again = LanguageModel.load(tmp_path / "out", device="cpu", dtype="bf16")
    embeds = again.embed_text("[0 min]\nCaption:")
    reference = LanguageModel.load(tmp_path / "out", device="cpu", dtype="fp32")
    ours = bundle.language
    one, two = (model.logits(model.forward(embeds.float())[-1]) for model in (ours, reference))
    assert torch.cosine_similarity(one, two, dim=0) > 0.999
    with pytest.raises(BundleError, match="not empty"):
        export_language("mini", tmp_path / "out")


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    skip_without_mini()
    with pytest.raises(BundleError, match="unknown dtype"):
        export_language("mini", tmp_path / "x", dtype="int4")
    with pytest.raises(BundleError, match="there is no model"):
        export_language("nope", tmp_path / "x")
