"""Tiny random parts of the same kind as the real ones: open_clip towers, Llama folders with a tokenizer, photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
CAPTIONS = (
    "A brown dog runs through the snow .",
    "Two men in red shirts are playing soccer .",
    "A woman wearing a blue dress sits on a bench .",
    "A boy jumps into the water .",
)


def tiny_tower(folder: Path, real: str) -> tuple[str, Path]:
    """A random tower with the picture and patch size of the open_clip model `real`, known to open_clip by a name of
    its own: the name and the weights file."""
    vision: dict[str, Any] = dict(open_clip.get_model_config(real)["vision_cfg"])
    vision |= {"layers": 2, "width": 64, "head_width": 32}
    name = f"tiny-{real}"
    (folder / f"{name}.json").write_text(json.dumps({"embed_dim": 24, "vision_cfg": vision, "text_cfg": TEXT}))
    open_clip.add_model_config(folder / f"{name}.json")
    torch.manual_seed(1)
    model: Any = open_clip.create_model(name, load_weights=False).eval()
    weights = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, weights)
    return name, weights


def tiny_llama(folder: Path, **changes: Any) -> Path:
    """A random Llama as `save_pretrained` writes it, with a byte-level tokenizer of 300 words."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    made, wrapped = cast(Any, LlamaForCausalLM), cast(Any, PreTrainedTokenizerFast)

    told = Tokenizer(models.BPE())
    told.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    told.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    told.train_from_iterator([*CAPTIONS, "Question: Is there a dog? Answer: Yes. No. Caption:"] * 4, trainer)
    tokenizer = wrapped(tokenizer_object=told, bos_token="<s>", eos_token="</s>")
    torch.manual_seed(2)
    config = LlamaConfig(
        **{
            "vocab_size": len(tokenizer), "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 2048,
            "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 1, **changes,
        }
    )  # fmt: skip
    made(config).to(torch.bfloat16).save_pretrained(folder, max_shard_size="60KB")
    tokenizer.save_pretrained(folder)
    return folder


def tiny_photos(folder: Path) -> Path:
    """Twelve photos with captions and three without, in the layout of the data folder."""
    rng = np.random.default_rng(0)
    lines = ["image\tsplit\tcaption_no\tcaption"]
    for place, count in (("flickr8k/photos", 12), ("coco/unlabelled", 3)):
        (folder / place).mkdir(parents=True)
        for i in range(count):
            picture = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(picture).resize((64, 64)).save(folder / place / f"{i:02}.jpg")
    for i in range(12):
        split = "train" if i < 8 else "dev"
        lines += [f"{i:02}.jpg\t{split}\t{n}\t{CAPTIONS[(i + n) % 4]}" for n in range(5)]
    (folder / "flickr8k" / "captions.tsv").write_text("\n".join(lines) + "\n")
    return folder
