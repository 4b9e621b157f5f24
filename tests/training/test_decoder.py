"""The decoder that is trained computes what transformers computes, before and after its deltas are merged."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llama_vid.llm.decoder import Decoder as LlamaDecoder
from llama_vid.llm.lora import merge_lora
from tests.training.conftest import WIDTH
from training.decoder import TrainableDecoder


def causal(n: int) -> Tensor:
    return torch.full((n, n), -1e9).triu(1)[None, None, None]


def test_without_deltas_it_is_the_language_model(llama: Any) -> None:
    x = torch.randn(2, 20, WIDTH)
    with torch.no_grad():
        expected = llama.model(inputs_embeds=x).last_hidden_state
        found = TrainableDecoder(llama, 4)(x, torch.arange(20).repeat(2, 1), causal(20))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_trained_deltas_equal_merged_ones(llama: Any) -> None:
    decoder = TrainableDecoder(llama, 4)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(std=0.1)
        x = torch.randn(1, 12, WIDTH)
        found = decoder(x, torch.arange(12)[None], causal(12))
        tensors = decoder.lora_tensors()
        assert len(tensors) == 2 * 7 * 2
        merge_lora(llama, tensors, 1.0)
        expected = llama.model(inputs_embeds=x).last_hidden_state
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_only_the_deltas_learn(llama: Any) -> None:
    decoder = TrainableDecoder(llama, 4)
    assert {name.split(".")[-1] for name, _ in decoder.named_parameters()} <= {"a", *map(str, range(3))}
    assert not any(parameter.requires_grad for parameter in llama.parameters())
    assert sum(p.numel() for p in decoder.parameters()) == sum(t.numel() for t in decoder.lora_tensors().values())


def test_biases_untied_heads_and_joined_weights_are_kept() -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(3)
    config = Qwen2Config(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False, initializer_range=0.3,
    )  # fmt: skip
    made: Any = Qwen2ForCausalLM
    qwen = made(config).eval()
    for layer in qwen.model.layers:
        torch.nn.init.normal_(layer.self_attn.q_proj.bias)
    x = torch.randn(1, 12, WIDTH)
    with torch.no_grad():
        expected = qwen.model(inputs_embeds=x).last_hidden_state
        scores = qwen.lm_head(expected)
    LlamaDecoder(qwen)  # joins the weights in place, as LanguageModel does
    decoder = TrainableDecoder(qwen, 2)
    first = decoder.get_submodule("layers.0.qkv").get_buffer("weight")
    assert first.data_ptr() == qwen.model.layers[0].self_attn.q_proj.weight.data_ptr(), "neighbours are not copied"
    with torch.no_grad():
        found = decoder(x, torch.arange(12)[None], causal(12))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found @ decoder.get_buffer("output").T, scores, atol=1e-3, rtol=1e-3)
