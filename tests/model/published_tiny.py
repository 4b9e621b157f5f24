"""A tiny checkpoint in the layout of the published LLaMA-VID ones, random weights under the published key names.

The names are written here by hand, from the public code, not taken from the program that is tested.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

WIDTH, PATCH, SIDE, BLOCKS, HIDDEN = 176, 14, 4, 2, 96  # the image tower: two heads of 88, 4 × 4 patches
BERT, BERT_LAYERS, BERT_HIDDEN, QUERIES = 128, 3, 80, 32  # the Q-Former: two heads of 64, two of three layers cross
D, LLAMA_LAYERS, MLP, LLAMA_HEADS = 64, 2, 96, 2
EYES: Final = "model.vision_tower.vision_tower."
READER: Final = "model.vlm_att_encoder.bert."
LETTERS: Final = "etaoinshrdlucmfwypvbgkjqxzETAOINSHRDLUCMFWYPVBGKJQXZ0123456789.,:?'!-"
MERGED: Final = ("th", "in", "er", "▁a", "the", "▁the", "▁U", "SE", "▁i", "ing", "▁is", "▁Y", "es", "▁Yes", "▁N", "▁No")

CONFIG: Final[Mapping[str, Any]] = {
    "_name_or_path": "vicuna",
    "architectures": ["LlavaLlamaAttForCausalLM"],
    "bert_type": "qformer_pretrain",
    "bos_token_id": 1,
    "compress_type": "mean",
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": D,
    "image_aspect_ratio": "pad",
    "image_processor": "./llamavid/processor/clip-patch14-224",
    "intermediate_size": MLP,
    "max_position_embeddings": 4096,
    "mm_hidden_size": WIDTH,
    "mm_projector_type": "mlp2x_gelu",
    "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False,
    "mm_vision_select_feature": "patch",
    "mm_vision_select_layer": -2,
    "mm_vision_tower": "./model_zoo/LAVIS/eva_vit_g.pth",
    "model_type": "llava",
    "num_attention_heads": LLAMA_HEADS,
    "num_hidden_layers": LLAMA_LAYERS,
    "num_key_value_heads": LLAMA_HEADS,
    "num_query": QUERIES,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 3 + 256 + 1 + len(LETTERS) + len(MERGED),
}


def tiny_weights(seed: int = 0) -> dict[str, Tensor]:
    """Random weights by published key, with the keys that carry nothing (`inv_freq`, `position_ids`)."""
    generator = torch.Generator().manual_seed(seed)
    out: dict[str, Tensor] = {}

    def put(key: str, *shape: int, scale: float = 0.08) -> None:
        out[key] = torch.randn(shape, generator=generator) * scale

    def linear(key: str, rows: int, columns: int) -> None:
        put(f"{key}.weight", rows, columns)
        put(f"{key}.bias", rows)

    def norm(key: str, width: int) -> None:
        out[f"{key}.weight"] = 1 + torch.randn(width, generator=generator) * 0.1
        put(f"{key}.bias", width)

    put(f"{EYES}cls_token", 1, 1, WIDTH)
    put(f"{EYES}pos_embed", 1, SIDE * SIDE + 1, WIDTH)
    put(f"{EYES}patch_embed.proj.weight", WIDTH, 3, PATCH, PATCH)
    put(f"{EYES}patch_embed.proj.bias", WIDTH)
    for n in range(BLOCKS):
        block = f"{EYES}blocks.{n}."
        norm(f"{block}norm1", WIDTH)
        put(f"{block}attn.q_bias", WIDTH)
        put(f"{block}attn.v_bias", WIDTH)
        put(f"{block}attn.qkv.weight", 3 * WIDTH, WIDTH)
        linear(f"{block}attn.proj", WIDTH, WIDTH)
        norm(f"{block}norm2", WIDTH)
        linear(f"{block}mlp.fc1", HIDDEN, WIDTH)
        linear(f"{block}mlp.fc2", WIDTH, HIDDEN)

    put(f"{READER}embeddings.word_embeddings.weight", 30523, BERT)
    put(f"{READER}embeddings.position_embeddings.weight", 512, BERT)
    norm(f"{READER}embeddings.LayerNorm", BERT)
    out[f"{READER}embeddings.position_ids"] = torch.arange(512)[None]
    for n in range(BERT_LAYERS):
        layer = f"{READER}encoder.layer.{n}."
        for attention, width in (("attention", BERT), *((("crossattention", WIDTH),) if n % 2 == 0 else ())):
            linear(f"{layer}{attention}.self.query", BERT, BERT)
            linear(f"{layer}{attention}.self.key", BERT, width)
            linear(f"{layer}{attention}.self.value", BERT, width)
            linear(f"{layer}{attention}.output.dense", BERT, BERT)
            norm(f"{layer}{attention}.output.LayerNorm", BERT)
        for which in ("", "_query"):
            linear(f"{layer}intermediate{which}.dense", BERT_HIDDEN, BERT)
            linear(f"{layer}output{which}.dense", BERT, BERT_HIDDEN)
            norm(f"{layer}output{which}.LayerNorm", BERT)
    put("model.vlm_att_query", 1, QUERIES, BERT, scale=1.0)
    norm("model.vlm_att_ln", WIDTH)
    linear("model.vlm_att_projector", WIDTH, BERT)
    linear("model.vlm_att_key_projector", WIDTH, WIDTH)
    linear("model.vlm_att_val_projector", D, WIDTH)
    linear("model.mm_projector.0", D, WIDTH)
    linear("model.mm_projector.2", D, D)

    vocabulary = int(CONFIG["vocab_size"])
    put("model.embed_tokens.weight", vocabulary, D, scale=1.0)
    put("lm_head.weight", vocabulary, D, scale=0.2)
    out["lm_head.weight"][: 3 + 256] = 0  # it writes letters, not single bytes, and does not end at once
    out["model.norm.weight"] = 1 + torch.randn(D, generator=generator) * 0.1
    for n in range(LLAMA_LAYERS):
        layer = f"model.layers.{n}."
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            put(f"{layer}self_attn.{part}.weight", D, D, scale=0.3)  # enough to make answers depend on all they read
        put(f"{layer}self_attn.rotary_emb.inv_freq", D // LLAMA_HEADS // 2)
        put(f"{layer}mlp.gate_proj.weight", MLP, D)
        put(f"{layer}mlp.up_proj.weight", MLP, D)
        put(f"{layer}mlp.down_proj.weight", D, MLP)
        for part in ("input_layernorm", "post_attention_layernorm"):
            out[f"{layer}{part}.weight"] = 1 + torch.randn(D, generator=generator) * 0.1
    return out


def write_tokenizer(folder: Path) -> None:
    """A SentencePiece byte-pair encoding as Vicuna's, of a few pieces: `tokenizer.model`."""
    from transformers.utils import sentencepiece_model_pb2_new as messages

    model: Any = messages.ModelProto()  # type: ignore[attr-defined]
    model.trainer_spec.model_type = model.trainer_spec.BPE
    pieces = [("<unk>", 2), ("<s>", 3), ("</s>", 3), *((f"<0x{byte:02X}>", 6) for byte in range(256))]
    pieces += [(piece, 1) for piece in ("▁", *LETTERS, *MERGED)]
    for number, (piece, kind) in enumerate(pieces):
        model.pieces.add(piece=piece, score=-float(number), type=kind)
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())


def write_checkpoint(folder: Path, weights: Mapping[str, Tensor], *, shards: int = 2, **changes: Any) -> Path:
    """The folder as its authors publish one: `.bin` shards, their index, config.json with `changes`, the tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    keys, places = list(weights), {}
    for number in range(shards):
        name = f"pytorch_model-{number + 1:05}-of-{shards:05}.bin"
        part = keys[number::shards]
        torch.save({key: weights[key].clone() for key in part}, folder / name)
        places |= dict.fromkeys(part, name)
    index = {"metadata": {"total_size": sum(value.nbytes for value in weights.values())}, "weight_map": places}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    write_tokenizer(folder)
    return folder
