from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from llama_vid.errors import BundleError, LlamaVidError
from llama_vid.llm.language import LanguageModel, chosen_dtype
from llama_vid.llm.lora import PROJECTIONS
from tests.llm.conftest import WIDTH, save_tiny


def test_the_forward_is_that_of_transformers(tiny: LanguageModel) -> None:
    embeds = torch.randn(2, 33, WIDTH)
    ours = tiny.forward(embeds)
    with torch.no_grad():
        theirs = tiny.module(inputs_embeds=embeds)
        torch.testing.assert_close(tiny.logits(ours), theirs.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tied", [True, False])
def test_loading_fast_gives_what_transformers_loads(tmp_path: Path, tied: bool) -> None:
    from transformers import AutoModelForCausalLM

    save_tiny(tmp_path, seed=5, tied=tied)
    ours = LanguageModel.load(tmp_path, device="cpu", dtype="fp32")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = ours.tokenize("What happened?")
    with torch.no_grad():
        expected = theirs(input_ids=torch.tensor([ids])).logits[0, -1]
    torch.testing.assert_close(ours.logits(ours.forward(ours.embed(ids))[-1]), expected, rtol=1e-4, atol=1e-4)
    assert (ours.width, ours.context, ours.eos) == (WIDTH, 2048, (257,))


def test_another_model_of_the_family_loads(tmp_path: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    save_tiny(tmp_path)
    torch.manual_seed(1)
    config = Qwen2Config(
        vocab_size=258, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, eos_token_id=257, bos_token_id=256, pad_token_id=257,
    )  # fmt: skip
    theirs = Qwen2ForCausalLM(config)
    theirs.save_pretrained(tmp_path)
    ours = LanguageModel.load(tmp_path, device="cpu", dtype="fp32")
    embeds = torch.randn(9, 32)
    with torch.no_grad():
        expected = theirs.model(inputs_embeds=embeds[None]).last_hidden_state[0]
    torch.testing.assert_close(ours.forward(embeds), expected, rtol=1e-4, atol=1e-4)


def test_the_parameters_stay_the_modules_own(tiny: LanguageModel) -> None:
    attention = tiny.module.model.layers[0].self_attn
    joined = attention.q_proj.weight.untyped_storage().data_ptr()
    assert attention.k_proj.weight.untyped_storage().data_ptr() == joined
    assert attention.q_proj.weight.shape == (WIDTH, WIDTH)


def test_gradients_flow_without_a_cache(tiny: LanguageModel) -> None:
    embeds = torch.randn(1, 5, WIDTH, requires_grad=True)
    (grad,) = torch.autograd.grad(tiny.logits(tiny.forward(embeds)[:, -1]).sum(), [embeds])
    assert grad.abs().sum() > 0


def test_text_goes_to_tokens_and_back(tiny: LanguageModel) -> None:
    text = " A dog, 2 cats — naïve 🐕.\n"
    assert tiny.detokenize(tiny.tokenize(text)) == text


def test_text_never_becomes_a_control_token(tiny: LanguageModel) -> None:
    ids = tiny.tokenize("a<|im_end|>b")
    assert not any(tiny.is_control(token) for token in ids)
    assert tiny.is_control(257)
    assert tiny.is_control(256)
    assert tiny.detokenize([256, *tiny.tokenize("x"), 257]) == "x"


def test_too_many_tokens_are_refused(tiny: LanguageModel) -> None:
    with pytest.raises(LlamaVidError, match="2049 tokens exceed the language model's context of 2048"):
        tiny.forward(torch.zeros(2049, WIDTH))


def lora_tensors(rank: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = dict.fromkeys(PROJECTIONS, (WIDTH, WIDTH)) | {
        "self_attn.k_proj": (16, WIDTH),
        "self_attn.v_proj": (16, WIDTH),
        "mlp.gate_proj": (96, WIDTH),
        "mlp.up_proj": (96, WIDTH),
        "mlp.down_proj": (WIDTH, 96),
    }
    tensors = {}
    for layer in range(3):
        for name, (rows, columns) in shapes.items():
            tensors[f"layers.{layer}.{name}.lora_A"] = torch.randn(rank, columns, generator=generator)
            tensors[f"layers.{layer}.{name}.lora_B"] = torch.randn(rows, rank, generator=generator)
    return tensors


def test_lora_is_added_to_every_weight(tiny_folder: Path) -> None:
    plain = LanguageModel.load(tiny_folder, device="cpu", dtype="fp32")
    tensors = lora_tensors()
    changed = LanguageModel.load(tiny_folder, lora=tensors, lora_scale=0.5, device="cpu", dtype="fp32")
    for layer in range(3):
        for name in PROJECTIONS:
            before = plain.module.model.layers[layer].get_submodule(name).weight
            after = changed.module.model.layers[layer].get_submodule(name).weight
            a, b = tensors[f"layers.{layer}.{name}.lora_A"], tensors[f"layers.{layer}.{name}.lora_B"]
            torch.testing.assert_close(after, before + 0.5 * (b @ a))
    embeds = torch.randn(4, WIDTH)
    with torch.no_grad():  # the joined weights that the forward reads have changed too
        expected = changed.module.model(inputs_embeds=embeds[None]).last_hidden_state[0]
    torch.testing.assert_close(changed.forward(embeds), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        ("layers.0.self_attn.q_proj.weight", (2, 2), "unknown LoRA weight"),
        ("layers.0.mlp.q_proj.lora_A", (2, 2), "unknown LoRA weight"),
        ("layers.9.mlp.up_proj.lora_A", (2, WIDTH), "lacks its half lora_B"),
        ("layers.0.mlp.up_proj.lora_A", (2, WIDTH + 1), "do not fit its weight"),
    ],
)
def test_lora_that_does_not_fit_is_refused_and_changes_nothing(
    tiny_folder: Path, key: str, shape: tuple[int, int], message: str
) -> None:
    model = LanguageModel.load(tiny_folder, device="cpu", dtype="fp32")
    before = model.module.model.layers[0].mlp.up_proj.weight.clone()
    tensors = lora_tensors()
    tensors[key] = torch.zeros(shape)
    with pytest.raises(BundleError, match=message):
        model.apply_lora(tensors, 1.0)
    assert torch.equal(model.module.model.layers[0].mlp.up_proj.weight, before)


def test_lora_for_a_deeper_model_is_refused(tiny_folder: Path) -> None:
    model = LanguageModel.load(tiny_folder, device="cpu", dtype="fp32")
    tensors = {"layers.7.mlp.up_proj.lora_A": torch.zeros(2, WIDTH), "layers.7.mlp.up_proj.lora_B": torch.zeros(96, 2)}
    with pytest.raises(BundleError, match="which this language model does not have"):
        model.apply_lora(tensors, 1.0)


def test_what_is_missing_or_damaged_is_named(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no usable config\.json"):
        LanguageModel.load(tmp_path / "nowhere")

    broken = shutil.copytree(tiny_folder, tmp_path / "weights")
    (broken / "model.safetensors").write_bytes((tiny_folder / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(BundleError, match=r"model\.safetensors .* is damaged"):
        LanguageModel.load(broken)

    wordless = shutil.copytree(tiny_folder, tmp_path / "words")
    (wordless / "tokenizer.json").unlink()
    with pytest.raises(BundleError, match=r"no usable tokenizer\.json"):
        LanguageModel.load(wordless)

    other = shutil.copytree(tiny_folder, tmp_path / "kind")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(BundleError, match="is of type 'gpt2'"):
        LanguageModel.load(other)

    shallow = shutil.copytree(tiny_folder, tmp_path / "layers")
    (shallow / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))
    with pytest.raises(BundleError, match=r"lacks model\.layers\.3"):
        LanguageModel.load(shallow)


def test_dtypes_go_by_name() -> None:
    cpu = torch.device("cpu")
    assert chosen_dtype("fp32", cpu) is torch.float32
    assert chosen_dtype("auto", torch.device("cuda")) is torch.bfloat16
    assert chosen_dtype("auto", cpu) in (torch.bfloat16, torch.float32)
    with pytest.raises(BundleError, match="unknown dtype 'int3'; use auto, bf16, fp32, fp16"):
        chosen_dtype("int3", cpu)
