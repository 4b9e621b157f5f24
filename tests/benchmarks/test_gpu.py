"""The GPU benchmark as a rehearsal: every step runs on a CPU, and it says that it is one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from benchmarks import gpu
from llama_vid.errors import ConfigError
from llama_vid.tokenizer.tower import ImageTower, moved


@pytest.mark.slow
def test_a_rehearsal_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    short = replace(gpu.SHAPES["tiny"], memory=300, answer=4, batches=(1,), side=64, copied=2**16)
    monkeypatch.setitem(gpu.SHAPES, "tiny", short)
    found = json.loads(json.dumps(gpu.measure(1).to_json()))
    assert (found["rehearsal"], found["device"], found["shape"]) == (True, "cpu", "tiny")
    assert "no figure says anything about one" in found["notes"]
    for name in ("prefill_s", "append_pair_ms", "first_token_s", "decode_tokens_per_s", "prefill_tflops", "peak_gb"):
        assert found[name] > 0, name
    assert found["frames_per_s"]["1"] > 0
    assert all(value > 0 for value in (*found["ceiling"].values(), *found["peer"].values()))


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown --shape '70b'; use 7b or tiny"):
        gpu.measure(1, shape="70b")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="measured on a GPU, and torch finds none here"):
            gpu.measure(1, shape="7b")


def test_the_shape_is_llama_2_7b() -> None:
    told = gpu.SHAPES["7b"]
    assert told.memory == 7200
    with torch.device("meta"):
        module = gpu.random_llama(told, torch.device("meta"), torch.bfloat16)
    assert sum(each.numel() for each in module.parameters()) == 6_738_415_616
    assert torch.get_default_dtype() is torch.float32


def test_pixels_stay_where_they_are_on_a_cpu() -> None:
    pixels = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    assert moved(pixels, torch.device("cpu")) is pixels


@pytest.mark.slow
def test_a_compiled_tower_sees_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    from llama_vid.tokenizer.open_clip_tower import open_clip_tower
    from tests.training.tiny_parts import tiny_tower

    name, weights = tiny_tower(tmp_path_factory.mktemp("tower"), "ViT-L-14")
    tower: ImageTower = open_clip_tower(name, weights)
    pixels = torch.randint(0, 256, (2, 3, tower.size, tower.size), dtype=torch.uint8)
    with torch.inference_mode():
        plain = tower.encode_pixels(pixels)
        assert tower.compile_blocks()
        compiled = tower.encode_pixels(pixels)
    torch.testing.assert_close(compiled.patches, plain.patches, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(compiled.embedding, plain.embedding, rtol=1e-4, atol=1e-4)
