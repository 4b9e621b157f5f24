"""What a model needs: counted from configuration and headers, compared with what is free, with ways that would fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from llama_vid import memory_need
from llama_vid.bundle import find_bundle
from llama_vid.commands.need import described
from llama_vid.errors import BundleError
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.placement import LoadOptions
from llama_vid.memory_need import LanguageSize, alternatives, checked, fitting, header_bytes, needed, refusal
from tests.cli.program import llama_vid
from tests.llm.big_tiny import SHAPES, save_big_tiny

CPU = torch.device("cpu")
LLAMA2_7B = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "vocab_size": 32000, "max_position_embeddings": 4096,
}  # fmt: skip
LLAMA3_8B = LLAMA2_7B | {
    "intermediate_size": 14336, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
}  # fmt: skip


def test_the_published_numbers_of_weights() -> None:
    """6.74 and 8.03 billion, as their authors count them."""
    assert LanguageSize.of(LLAMA2_7B).parameters == 6_738_415_616
    assert LanguageSize.of(LLAMA3_8B).parameters == 8_030_261_248
    assert LanguageSize.of(LLAMA2_7B).token(2) == 524_288  # half a megabyte a token
    assert LanguageSize.of(LLAMA3_8B).token(2) == 131_072  # grouped heads: a quarter


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("quantize", ["none", "int8", "int4"])
def test_what_is_counted_is_what_is_held(tmp_path: Path, kind: str, quantize: str) -> None:
    folder = save_big_tiny(tmp_path, kind, dtype=torch.bfloat16)
    size = LanguageSize.of(json.loads((folder / "config.json").read_text()))
    stored = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            stored += sum(file.get_tensor(key).numel() for key in file.keys())  # noqa: SIM118 (not a mapping)
    assert size.parameters == stored
    model = LanguageModel.load(folder, device="cpu", dtype="bf16", options=LoadOptions(quantize=quantize))
    assert size.weights(2, quantize) == model.weight_bytes + size.rest * 2
    assert model.pool.shape.bytes_per_token == size.token(2)


def test_a_shorter_context_is_taken_where_the_whole_does_not_fit() -> None:
    size = LanguageSize.of(LLAMA3_8B)
    need = needed("llama", size, torch.bfloat16, CPU)
    assert fitting(need, size, None) == fitting(need, size, need.total) == 8192
    assert fitting(need, size, need.total - 1) == 8192 - 256
    least = needed("llama", size, torch.bfloat16, CPU, context=1024)
    assert fitting(need, size, least.total) == 1024
    assert fitting(need, size, least.total - 1) is None
    tiny = replace(size, window=512)
    assert fitting(needed("llama", tiny, torch.bfloat16, CPU), tiny, least.total - 10**9) is None


def test_a_refusal_says_what_would_fit() -> None:
    size = LanguageSize.of(LLAMA3_8B)
    need = needed("llama", size, torch.bfloat16, CPU)
    ways = alternatives("llama", size, torch.bfloat16, CPU, 13 * 10**9, 8192, 0)
    assert [(way.quantize, way.context) for way in ways] == [("int8", 8192), ("int4", 8192)]
    said = str(refusal(need, 13 * 10**9, CPU, ways))
    assert "llama needs 19.0 GB of memory: 16.1 GB for 8.03 billion weights (bfloat16)" in said
    assert "13.0 GB are free on cpu; these would fit: quantize: int8 (12.0 GB); quantize: int4 (8.9 GB)" in said
    ways = alternatives("llama", size, torch.bfloat16, CPU, 72 * 10**8, 8192, 0)
    assert [(way.quantize, way.context) for way in ways] == [("int4", 1024)]
    assert "quantize: int4 and memory.context_tokens: 1024 (" in str(refusal(need, 72 * 10**8, CPU, ways))
    assert not alternatives("llama", size, torch.bfloat16, CPU, 10**9, 8192, 0)
    gpu = str(refusal(need, 10**9, torch.device("cuda"), []))
    assert "1.0 GB are free on cuda; no way to quantise it fits; take a smaller model, or let other devices" in gpu


def test_a_folder_is_checked_before_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA3_8B))
    monkeypatch.setattr(memory_need, "free_bytes", lambda: 20 * 10**9)
    need, free = checked("llama", tmp_path, torch.bfloat16, CPU, LoadOptions())
    assert (need.context, free) == (8192, 20 * 10**9)
    monkeypatch.setattr(memory_need, "free_bytes", lambda: 18 * 10**9)
    need, _ = checked("llama", tmp_path, torch.bfloat16, CPU, LoadOptions())
    assert 1024 < need.context < 8192
    monkeypatch.setattr(memory_need, "free_bytes", lambda: 10 * 10**9)
    with pytest.raises(BundleError, match=r"these would fit: quantize: int4 \(8\.9 GB\)"):
        checked("llama", tmp_path, torch.bfloat16, CPU, LoadOptions())
    assert checked("llama", tmp_path, torch.bfloat16, CPU, LoadOptions(quantize="int4"))[0].context == 8192


def test_headers_are_counted(tmp_path: Path) -> None:
    folder = save_big_tiny(tmp_path, "llama-2")
    size = LanguageSize.of(json.loads((folder / "config.json").read_text()))
    assert sum(header_bytes(path, 1) for path in folder.glob("*.safetensors")) == size.parameters
    (tmp_path / "other.pt").write_bytes(b"12345")
    assert header_bytes(tmp_path / "other.pt") == 5
    (tmp_path / "bad.safetensors").write_bytes(b"\x05\x00\x00\x00\x00\x00\x00\x00{....")
    with pytest.raises(BundleError, match="cannot be read as safetensors"):
        header_bytes(tmp_path / "bad.safetensors")


@pytest.mark.parametrize("told", [{}, {"num_attention_heads": 0, "hidden_size": 3}, {"num_attention_heads": "many"}])
def test_a_configuration_that_tells_no_shape(told: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"does not tell the model's shape"):
        LanguageSize.of(told)


def test_a_bare_language_model_names_the_training(tmp_path: Path) -> None:
    folder = save_big_tiny(tmp_path, "llama-3")
    with pytest.raises(BundleError, match=r"without a compressor trained for it .*train with: llama-vid train RECIPE"):
        find_bundle(str(folder))
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(BundleError, match="is not a model bundle"):
        find_bundle(str(folder))
    with pytest.raises(BundleError, match=r"is of a model of type 'bert'; known: llama"):
        described(str(folder))


def test_models_need_prints_and_refuses(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA2_7B | {"num_hidden_layers": 3200}))
    done = llama_vid("models", "need", str(tmp_path), "--quantize", "int4", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["quantize"], told["context"], told["fits"]) == ("int4", 4096, False)
    assert told["total"] == sum(told["parts"].values())
    assert "no way to quantise it fits" in done.stderr.splitlines()[-1]
    (tmp_path / "config.json").write_text(json.dumps(LLAMA2_7B | {"num_hidden_layers": 2}))
    done = llama_vid("models", "need", str(tmp_path), "--context", "512", "--dtype", "bfloat16")
    assert done.returncode == 0
    assert "contexts of 512 tokens" in done.stdout
    assert "fits: --quantize int8 --context 512" in done.stdout
    done = llama_vid("models", "need", str(tmp_path), "--quantize", "int2")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_options_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QUANTIZE", "DEVICE_MAP", "MAX_MEMORY", "COMPILE"):
        monkeypatch.delenv(f"LLAMA_VID_MODEL_{name}", raising=False)
    assert LoadOptions.of_environment() == LoadOptions()
    monkeypatch.setenv("LLAMA_VID_MODEL_QUANTIZE", "int8")
    monkeypatch.setenv("LLAMA_VID_MODEL_DEVICE_MAP", "auto")
    monkeypatch.setenv("LLAMA_VID_MODEL_MAX_MEMORY", '{"0": "20GiB", "cpu": 5}')
    monkeypatch.setenv("LLAMA_VID_MODEL_COMPILE", "true")
    assert LoadOptions.of_environment() == LoadOptions("int8", "auto", {0: "20GiB", "cpu": 5}, compiled=True)
    monkeypatch.setenv("LLAMA_VID_MODEL_DEVICE_MAP", '{"": "cpu"}')
    assert LoadOptions.of_environment().device_map == {"": "cpu"}
    monkeypatch.setenv("LLAMA_VID_MODEL_MAX_MEMORY", "20GiB")
    with pytest.raises(BundleError, match="LLAMA_VID_MODEL_MAX_MEMORY is no JSON object"):
        LoadOptions.of_environment()
