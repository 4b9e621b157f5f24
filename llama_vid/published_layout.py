"""The layout of the published LLaMA-VID checkpoints: which key is which weight, and how large it is.

The keys that a checkpoint holds, with the shapes of the 7B one for 224-pixel video (D = 4096; 13B: D = 5120, 40 layers,
MLPs of 13824; 336-pixel variants: 577 positions):

    model.embed_tokens.weight, lm_head.weight                                        [32000, D]
    model.norm.weight                                                                [D]
    model.layers.{0…31}.self_attn.{q,k,v,o}_proj.weight                              [D, D]
    model.layers.{0…31}.mlp.{gate,up}_proj.weight, .down_proj.weight                 [11008, D], [D, 11008]
    model.layers.{0…31}.{input,post_attention}_layernorm.weight                      [D]
    model.mm_projector.{0,2}.{weight,bias}                                           [D, 1408], [D, D]; [D]
    model.vlm_att_query                                                              [1, 32, 768]
    model.vlm_att_ln.{weight,bias}                                                   [1408]
    model.vlm_att_projector.{weight,bias}                                            [1408, 768]
    model.vlm_att_key_projector.{weight,bias}                                        [1408, 1408]
    model.vlm_att_val_projector.{weight,bias}                                        [D, 1408]
    model.vlm_att_encoder.bert.embeddings.word_embeddings.weight                     [30523, 768]
    model.vlm_att_encoder.bert.embeddings.{position_embeddings,LayerNorm}.…          [512, 768], [768]
    model.vlm_att_encoder.bert.encoder.layer.{0…11}.attention.self.{query,key,value}.…          [768, 768]
    model.vlm_att_encoder.bert.encoder.layer.{0,2,…,10}.crossattention.self.{key,value}.…       [768, 1408]
    model.vlm_att_encoder.bert.encoder.layer.{0…11}.{intermediate,output}[_query].…             [3072, 768], [768, 3072]
    model.vision_tower.vision_tower.{cls_token,pos_embed}                            [1, 1, 1408], [1, 257, 1408]
    model.vision_tower.vision_tower.patch_embed.proj.{weight,bias}                   [1408, 3, 14, 14]
    model.vision_tower.vision_tower.blocks.{0…38}.attn.{qkv.weight,q_bias,v_bias}    [4224, 1408], [1408]
    model.vision_tower.vision_tower.blocks.{0…38}.{attn.proj,mlp.fc1,mlp.fc2,norm1,norm2}.…     [6144, 1408], …

Dropped: `…rotary_emb.inv_freq` and `…position_ids`, which are computed. The tower's weights may lie in a file of their
own instead, `eva_vit_g.pth`, as their authors publish it: without the prefix, with a 40th layer, a norm and a head, all
of which LLaMA-VID does not use; its 257 positions are stretched for 336-pixel pictures.
Source: the public code, https://github.com/dvlab-research/LLaMA-VID (Apache-2.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

VISION: Final = "model.vision_tower.vision_tower."
QFORMER: Final = "model.vlm_att_encoder.bert."
#: The layers of EVA-ViT-g that LLaMA-VID uses.
VISION_LAYERS: Final = 39
#: The parts of a checkpoint.
TOWER, TOKENS, LANGUAGE = "tower", "tokens", "language"

_DROPPED: Final = re.compile(r".*(?:\.rotary_emb\.inv_freq|(?:^|\.)position_ids)$")
_DROPPED_OF_TOWER: Final = re.compile(r"(?:norm|fc_norm|head|head_dist)\.(?:weight|bias)|mask_token")
_LAYER: Final = {
    TOWER: re.compile(re.escape(VISION) + r"blocks\.(\d+)\."),
    TOKENS: re.compile(re.escape(QFORMER) + r"encoder\.layer\.(\d+)\."),
    LANGUAGE: re.compile(r"model\.layers\.(\d+)\."),
}
BOTH: Final = ("weight", "bias")


def layers(keys: Mapping[str, object], part: str) -> int:
    """How many layers a part has, by its keys."""
    found = [int(match[1]) for key in keys if (match := _LAYER[part].match(key))]
    return max(found, default=-1) + 1


def dropped(key: str) -> bool:
    """Whether a key is known and not used: what it holds is computed."""
    return _DROPPED.fullmatch(key) is not None


def dropped_of_tower(key: str) -> bool:
    """Whether a key of the tower's own file (without prefix) is known and not used."""
    block = re.match(r"blocks\.(\d+)\.", key)
    return bool(block and int(block[1]) >= VISION_LAYERS) or _DROPPED_OF_TOWER.fullmatch(key) is not None


def vision_keys(count: int) -> Iterator[tuple[str, str]]:
    """Key and name in `EvaTower` of every weight of a tower with `count` layers.

    Of the attention's bias the key is that of the queries' part: the checkpoint has those of queries and values, and
    that of the keys is zero (`qkv.bias = cat(q_bias, 0, v_bias)`).
    """
    yield f"{VISION}cls_token", "model.embeddings.class_embedding"
    yield f"{VISION}pos_embed", "model.embeddings.position_embedding"
    for kind in BOTH:
        yield f"{VISION}patch_embed.proj.{kind}", f"model.embeddings.patch_embedding.{kind}"
    names = {
        "norm1": "layer_norm1", "attn.proj": "self_attn.projection", "norm2": "layer_norm2",
        "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2",
    }  # fmt: skip
    for n in range(count):
        block, layer = f"{VISION}blocks.{n}.", f"model.encoder.layers.{n}."
        yield f"{block}attn.qkv.weight", f"{layer}self_attn.qkv.weight"
        yield f"{block}attn.q_bias", f"{layer}self_attn.qkv.bias"
        for theirs, ours in names.items():
            for kind in BOTH:
                yield f"{block}{theirs}.{kind}", f"{layer}{ours}.{kind}"


def value_bias(key: str) -> str | None:
    """The key of the values' part of an attention's bias, for the key of the queries' part; None for any other."""
    return f"{key.removesuffix('q_bias')}v_bias" if key.endswith(".attn.q_bias") else None


def token_keys(count: int) -> Iterator[tuple[str, str]]:
    """Key and name in `FrameTokens` of every weight that makes tokens, with a Q-Former of `count` layers."""
    yield "model.vlm_att_query", "reader.query"
    named = {
        "vlm_att_ln": "reader.norm", "vlm_att_projector": "query", "vlm_att_key_projector": "key",
        "vlm_att_val_projector": "value", "mm_projector.0": "content.0", "mm_projector.2": "content.2",
    }  # fmt: skip
    for theirs, ours in named.items():
        for kind in BOTH:
            yield f"model.{theirs}.{kind}", f"{ours}.{kind}"
    for name in ("word_embeddings", "position_embeddings"):
        yield f"{QFORMER}embeddings.{name}.weight", f"reader.model.embeddings.{name}.weight"
    for kind in BOTH:
        yield f"{QFORMER}embeddings.LayerNorm.{kind}", f"reader.model.embeddings.layernorm.{kind}"
    for n in range(count):
        theirs, ours = f"{QFORMER}encoder.layer.{n}.", f"reader.model.encoder.layer.{n}."
        for attention in ("attention", "crossattention") if n % 2 == 0 else ("attention",):
            for kind in BOTH:
                for name in ("query", "key", "value"):
                    yield f"{theirs}{attention}.self.{name}.{kind}", f"{ours}{attention}.attention.{name}.{kind}"
                for name in ("dense", "LayerNorm"):
                    yield f"{theirs}{attention}.output.{name}.{kind}", f"{ours}{attention}.output.{name}.{kind}"
        for kind in BOTH:
            for which in ("", "_query"):
                for name in (f"intermediate{which}.dense", f"output{which}.dense", f"output{which}.LayerNorm"):
                    yield f"{theirs}{name}.{kind}", f"{ours}{name}.{kind}"


def language_keys(count: int) -> Iterator[tuple[str, str]]:
    """Key and name in `LlamaForCausalLM`, which are the same, of every weight of `count` layers."""
    names = ["model.embed_tokens", "model.norm", "lm_head"]
    for n in range(count):
        layer = f"model.layers.{n}."
        names += [f"{layer}self_attn.{part}_proj" for part in "qkvo"]
        names += [f"{layer}mlp.{part}_proj" for part in ("gate", "up", "down")]
        names += [f"{layer}input_layernorm", f"{layer}post_attention_layernorm"]
    for name in names:
        yield f"{name}.weight", f"{name}.weight"
