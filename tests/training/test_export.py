"""Exported bundles: the program reads them back, and nothing half-written claims to be whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from llama_vid.bundle import read_manifest
from llama_vid.compact import expanded
from llama_vid.errors import BundleError
from llama_vid.tokenizer.compressor import Compressor, CompressorConfig
from llama_vid.tokenizer.head import ImageHead, TextHead
from llama_vid.tokenizer.parts import sha256_of
from training.export import export_bundle

CONFIG = CompressorConfig(patches=9, channels=32, guide=16, width=24, queries=4, layers=1, heads=2, out=48)


def members(count: int) -> list[dict[str, Mapping[str, Tensor]]]:
    torch.manual_seed(count)
    return [
        {"image": ImageHead(9, 32, 16, hidden=32).state_dict(), "text": TextHead(24, 16, hidden=32).state_dict()}
        for _ in range(count)
    ]


def lora() -> dict[str, Tensor]:
    stem = "layers.0.self_attn.q_proj"
    return {f"{stem}.lora_A": torch.randn(4, 48), f"{stem}.lora_B": torch.randn(48, 4)}


def background(width: int) -> Tensor:
    return F.normalize(torch.randn(8, width), dim=-1)


def export(out: Path, **changes: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "heads": members(2),
        "compressor_state": Compressor(CONFIG).state_dict(),
        "config": CONFIG,
        "lora_tensors": lora(),
        "background": background(32),
        "out": out,
        "calibration": None,
        "card": "# A card\n",
    }
    return export_bundle(**(parts | changes))


def test_the_program_reads_what_was_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    compressor, heads = Compressor(CONFIG), members(2)
    written = export(tmp_path / "tiny", heads=heads, compressor_state=compressor.state_dict())
    manifest = read_manifest(tmp_path / "tiny")
    assert manifest == written
    assert manifest["heads"] == ["head-1.safetensors", "head-2.safetensors"]
    assert CompressorConfig(**manifest["compressor"]) == CONFIG
    files = {path.name for path in (tmp_path / "tiny").iterdir()} - {"bundle.json"}
    assert files == set(manifest["files"])
    for file, digest in manifest["files"].items():
        assert sha256_of(tmp_path / "tiny" / file) == digest
    other = Compressor(CONFIG)
    other.load_state_dict(expanded(load_file(tmp_path / "tiny" / "compressor.safetensors")))
    x = torch.randn(3, 9, 32)
    torch.testing.assert_close(other.read_context(x), compressor.read_context(x), atol=0.02, rtol=0.02)
    head = expanded(load_file(tmp_path / "tiny" / "head-2.safetensors"))
    assert {key.split(".")[0] for key in head} == {"image", "text"}
    torch.testing.assert_close(head["image.down.weight"], heads[1]["image"]["down.weight"], atol=0.01, rtol=0.01)


def test_calibration_and_card_are_kept_unless_given(tmp_path: Path) -> None:
    out = tmp_path / "tiny"
    export(out, calibration={"image": 0.9})
    assert export(out, card="")["calibration"] == {"image": 0.9}
    assert (out / "README.md").read_text() == "# A card\n"
    assert export(out, calibration={})["calibration"] == {}


def test_a_smaller_export_leaves_no_old_members(tmp_path: Path) -> None:
    out = tmp_path / "tiny"
    export(out)
    export(out, heads=members(1), background=background(16))
    assert not (out / "head-2.safetensors").exists()
    assert read_manifest(out)["heads"] == ["head-1.safetensors"]
    assert [path for path in tmp_path.iterdir() if path != out] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": []}, "at least one member"),
        ({"background": torch.ones(8, 31)}, "32 wide"),
        ({"background": torch.ones(8, 32)}, "not of unit length"),
        ({"config": CompressorConfig()}, "do not fit its configuration"),
        ({"lora_tensors": {"layers.0.mlp.up_proj.lora_A": torch.full((4, 48), torch.nan)}}, "not finite"),
        ({"calibration": {"imagge": 1.0}}, "unknown calibration imagge"),
    ],
)
def test_parts_that_do_not_fit_are_refused_and_the_old_bundle_stays(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    out = tmp_path / "tiny"
    export(out)
    before = json.loads((out / "bundle.json").read_text())
    with pytest.raises(BundleError, match=message):
        export(out, **changes)
    assert read_manifest(out) == before
