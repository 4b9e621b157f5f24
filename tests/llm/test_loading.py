"""Big models' folders in small: several shards, llama3 positions, grouped heads, smaller weights, maps of devices."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from llama_vid.errors import BundleError
from llama_vid.llm import loading
from llama_vid.llm.language import LanguageModel
from llama_vid.llm.lora import PROJECTIONS
from llama_vid.llm.placement import LoadOptions, Places
from llama_vid.llm.quantized import BYTES, Int4Groups, Int8Rows, quantiser
from tests.llm.big_tiny import SHAPES, save_big_tiny

TEXT = "A man walks past the red car; a dog follows him. " * 6  # beyond the original window of llama3's positions


@pytest.fixture(scope="module", params=SHAPES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = save_big_tiny(tmp_path_factory.mktemp("big"), request.param)
    assert len(list(made.glob("model-*-of-00003.safetensors"))) == 3
    return made


def loaded(folder: Path, dtype: str = "fp32", **options: Any) -> LanguageModel:
    return LanguageModel.load(folder, device="cpu", dtype=dtype, options=LoadOptions(**options))


def scores(model: LanguageModel, text: str = TEXT) -> Tensor:
    with torch.inference_mode():
        cache = model.new_cache()
        ids = model.tokenize(text)
        model.forward(model.embed(ids[:-7]), cache)  # a prefill, and what follows it
        return model.logits(model.forward(model.embed(ids[-7:]), cache))


def test_the_logits_are_those_of_transformers(folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    ours = loaded(folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        expected = theirs(input_ids=torch.tensor([ours.tokenize(TEXT)])).logits[0, -7:]
    assert expected.std() > 0.1  # they say something
    torch.testing.assert_close(scores(ours), expected, rtol=1e-4, atol=1e-4)


def test_the_end_tokens_are_the_configurations(folder: Path) -> None:
    told = json.loads((folder / "config.json").read_text())["eos_token_id"]
    assert loaded(folder).eos == (tuple(told) if isinstance(told, list) else (told,))


def test_a_smaller_window_is_kept_to(folder: Path) -> None:
    small = loaded(folder, context=320)
    assert small.context == 320
    torch.testing.assert_close(scores(small), scores(loaded(folder)))
    with pytest.raises(Exception, match="exceed the language model's context of 320"):
        small.forward(torch.zeros(321, 64))
    assert loaded(folder, context=9999).context == 512


@pytest.mark.parametrize(("how", "most"), [("int8", 0.06), ("int4", 0.6)])
def test_smaller_weights_say_nearly_the_same(folder: Path, how: str, most: float) -> None:
    plain, small = loaded(folder), loaded(folder, quantize=how)
    expected, found = scores(plain), scores(small)
    apart = float((found - expected).norm() / expected.norm())
    assert 0 < apart < most
    numbers = sum(each.numel() for each in plain.module.model.layers.parameters() if each.dim() == 2)
    share = small.weight_bytes / (plain.weight_bytes / 4)
    assert plain.weight_bytes == 4 * numbers
    assert share == pytest.approx(BYTES[how], rel=0.05)
    assert not small.module.model.layers[0].mlp.up_proj.weight.numel()  # nothing is held twice


def changes(rank: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    made = {}
    for name in PROJECTIONS:
        rows = 128 if name in ("mlp.gate_proj", "mlp.up_proj") else 64
        columns = 128 if name == "mlp.down_proj" else 64
        if name in ("self_attn.k_proj", "self_attn.v_proj"):
            rows = 32
        made[f"layers.1.{name}.lora_A"] = torch.randn(rank, columns, generator=generator)
        made[f"layers.1.{name}.lora_B"] = torch.randn(rows, rank, generator=generator) * 0.1
    return made


def test_trained_changes_are_added_before_weights_are_made_small(tmp_path: Path) -> None:
    folder = save_big_tiny(tmp_path, "llama-3")
    options = LoadOptions(quantize="int8")
    plain = LanguageModel.load(folder, lora=changes(), device="cpu", dtype="fp32")
    small = LanguageModel.load(folder, lora=changes(), device="cpu", dtype="fp32", options=options)
    expected, found = scores(plain), scores(small)
    assert float((found - expected).norm() / expected.norm()) < 0.06
    assert float((scores(loaded(folder)) - expected).norm() / expected.norm()) > 0.1  # the changes do something
    with pytest.raises(BundleError, match="give them to LanguageModel"):
        small.apply_lora(changes(), 1.0)
    deeper = {key.replace("layers.1.", "layers.7."): value for key, value in changes().items()}
    with pytest.raises(BundleError, match=r"the LoRA changes layers\.7\."):
        LanguageModel.load(folder, lora=deeper, device="cpu", dtype="fp32", options=options)


def test_shards_are_read_one_after_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    at_once: list[int] = []
    real: Any = safetensors.safe_open

    class Watched:
        def __init__(self, path: Path, framework: str) -> None:
            self.path = path
            self.real: Any = real(path, framework=framework)

        def __enter__(self) -> Any:
            opened.append(self.path)
            at_once.append(1 + (at_once[-1] if at_once else 0))
            return self.real.__enter__()

        def __exit__(self, *problem: Any) -> None:
            at_once.append(at_once[-1] - 1)
            self.real.__exit__(*problem)

    monkeypatch.setattr(loading, "safe_open", Watched)
    loaded(folder)
    assert [path.name for path in opened] == sorted(path.name for path in folder.glob("*.safetensors"))
    assert max(at_once) == 1


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    return save_big_tiny(tmp_path, "llama-2")


def rewritten(path: Path, **extra: Tensor) -> None:
    tensors = {key: value for key, value in load_file(path).items() if extra.get(key, value) is not None}
    save_file(tensors | {key: value for key, value in extra.items() if value is not None}, path)


def test_what_is_wrong_with_a_shard_is_named(broken: Path) -> None:
    second = broken / "model-00002-of-00003.safetensors"
    rewritten(second, **{"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)})
    loaded(broken)  # old checkpoints store what is computed
    rewritten(second, **{"model.layers.0.more": torch.ones(8)})
    with pytest.raises(
        BundleError, match=r"00002-of-00003\.safetensors in .* has an unknown weight model\.layers\.0\.more"
    ):
        loaded(broken)
    second.write_bytes(b"nothing of the kind")
    with pytest.raises(BundleError, match=r"00002-of-00003\.safetensors in .* is damaged"):
        loaded(broken)
    second.unlink()
    with pytest.raises(
        BundleError, match=r"lacks model-00002-of-00003\.safetensors, which model\.safetensors\.index\.json"
    ):
        loaded(broken)
    (broken / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00001-of-00003.safetensors"}}')
    with pytest.raises(BundleError, match=r"the shards in .* lacks model\.|lacks lm_head"):
        loaded(broken)
    (broken / "model.safetensors.index.json").write_text("{")
    with pytest.raises(BundleError, match=r"neither model\.safetensors nor a usable"):
        loaded(broken)


def test_a_weight_of_another_shape_is_named(broken: Path) -> None:
    told = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(told | {"intermediate_size": 96}))
    with pytest.raises(BundleError, match=r"gate_proj\.weight is \[128, 64\], and config\.json asks for \[96, 64\]"):
        loaded(broken)


def test_a_map_of_devices(folder: Path) -> None:
    everywhere = {"": "cpu"}
    torch.testing.assert_close(scores(loaded(folder, device_map=everywhere)), scores(loaded(folder)))
    for wrong, said in (
        ({"model.layers.0": "cpu"}, "does not say where model.embed_tokens goes"),
        ({"": "disk"}, "on disk, where it cannot be computed with"),
        ({"": "toaster"}, "'toaster' is no device"),
        ({"": 63}, r"on cuda:63, and this machine has \d+ CUDA devices"),
        ("clever", "unknown model.device_map 'clever'"),
    ):
        with pytest.raises(BundleError, match=said):
            loaded(folder, device_map=wrong)


def test_the_longest_name_says_where() -> None:
    cpu, one, two = torch.device("cpu"), torch.device("cuda:0"), torch.device("cuda:1")
    places = Places(cpu, {"": cpu, "model.layers.1": one, "model.layers.10": two, "lm_head": two})
    assert places.of("model.layers.1.mlp.up_proj.weight") == one
    assert places.of("model.layers.10") == two
    assert places.of("model.layers.2") == cpu
    assert set(places.devices) == {cpu, one, two}


def test_layers_that_lie_apart_are_brought_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a second device, what is checked is that every layer is put and asked for by its own name."""
    asked: list[str] = []
    real = Places.of

    def noted(self: Places, name: str) -> torch.device:
        asked.append(name)
        return real(self, name)

    monkeypatch.setattr(Places, "of", noted)
    loaded(folder, device_map={"": "cpu"}, quantize="int8")
    assert {"model.layers.0", "model.layers.1", "model.layers.2", "lm_head.weight"} <= set(asked)


@pytest.mark.parametrize("how", ["auto", "balanced", "sequential"])
def test_a_map_is_made_by_accelerate(folder: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("accelerate") is None:
        with pytest.raises(BundleError, match=r"needs the package accelerate; install it \(pip install"):
            loaded(folder, device_map=how)
        return
    torch.testing.assert_close(scores(loaded(folder, device_map=how)), scores(loaded(folder)))
    with pytest.raises(BundleError, match="on disk"):
        loaded(folder, device_map="auto", max_memory={"cpu": 100_000})
    with pytest.raises(BundleError, match="write it as"):
        loaded(folder, device_map="auto", max_memory={"cpu": "much"})


@pytest.mark.parametrize("rows", [1, 5, 33])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_with_small_weights(rows: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(96, 128) * 0.1, torch.randn(96)
    x = torch.randn(2, rows, 128)
    expected = torch.nn.functional.linear(x, weight, bias)
    for made, most in ((Int8Rows(weight), 0.02), (Int4Groups(weight), 0.12)):
        found = made.project(x.to(dtype), bias.to(dtype))
        assert (found.dtype, found.shape, made.shape) == (dtype, (2, rows, 96), (96, 128))
        assert float((found.float() - expected).norm() / expected.norm()) < most


def test_shapes_that_no_kernel_takes() -> None:
    torch.manual_seed(0)
    for shape in ((3, 10), (48, 80), (24, 64)):
        weight, x = torch.randn(shape), torch.randn(1, shape[1])
        make = quantiser("int4", torch.device("cpu"))
        assert make is not None
        expected = x @ weight.t()
        assert float((make(weight).project(x, None) - expected).norm() / expected.norm()) < 0.2
    assert quantiser("none", torch.device("cpu")) is None
    with pytest.raises(BundleError, match="unknown way to quantise 'int2'"):
        quantiser("int2", torch.device("cpu"))


@pytest.mark.parametrize("how", ["int8", "int4"])
def test_what_a_gpu_uses(how: str) -> None:
    """bitsandbytes runs on the CPU as well, slowly: the same calls as on a GPU."""
    if importlib.util.find_spec("bitsandbytes") is None:
        with pytest.raises(BundleError, match=r"need the package bitsandbytes; install it \(pip install"):
            quantiser(how, torch.device("cuda"))
        return
    make = quantiser(how, torch.device("cuda"))
    assert make is not None
    torch.manual_seed(0)
    weight = (torch.randn(96, 128) * 0.1).to(torch.bfloat16)
    x = torch.randn(5, 128).to(torch.bfloat16)
    made = make(weight)
    expected = x.float() @ weight.float().t()
    assert (
        float((made.project(x, None).float() - expected).norm() / expected.norm()) < {"int8": 0.03, "int4": 0.15}[how]
    )
    assert (made.shape, made.device.type) == ((96, 128), "cpu")
    assert made.nbytes / weight.numel() == pytest.approx(BYTES[how], rel=0.05)


@pytest.mark.slow
def test_compiled_steps_say_the_same(folder: Path) -> None:
    torch.testing.assert_close(scores(loaded(folder, compiled=True)), scores(loaded(folder)), rtol=1e-4, atol=1e-4)
    small = {"quantize": "int8"}
    torch.testing.assert_close(scores(loaded(folder, compiled=True, **small)), scores(loaded(folder, **small)))
