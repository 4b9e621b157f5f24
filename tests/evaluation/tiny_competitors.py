"""LLaVA-NeXT-Video and VideoLLaMA 3 of transformers' own classes with small random weights, saved as a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

#: The template of llava-hf/LLaVA-NeXT-Video-7B-hf in short: USER, the video, the words, ASSISTANT.
LLAVA_TEMPLATE = (
    "{% for m in messages %}{{ m['role'].upper() }}: "
    "{% for c in m['content'] if c['type'] == 'video' %}<video>\n{% endfor %}"
    "{% for c in m['content'] if c['type'] == 'text' %}{{ c['text'] }} {% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
VIDEO_LLAMA_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% for c in m['content'] %}{% if c['type'] == 'video' %}<|video_pad|>\n{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
#: A picture's side in the tiny LLaVA: 4 x 4 patches of 14 pixels, pooled to 2 x 2 tokens.
SIDE, LLAVA_TOKENS = 56, 4


def tokenizer(*special: str) -> Any:
    """A byte-level tokenizer of some 300 tokens, trained on a few words here."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "</s>", "<pad>", *special],
        show_progress=False,
    )
    found.train_from_iterator(["Yes No yes no", "USER: Is there a dog in the video? ASSISTANT:"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=found, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def text_shape(words: Any) -> dict[str, Any]:
    """A language model of two layers."""
    return {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": len(words),
        "max_position_embeddings": 4096,
        "initializer_range": 0.2,  # random, but not so that everything looks alike
    }


def save_llava(folder: Path) -> Path:
    """A tiny LLaVA-NeXT-Video: CLIP, a projector and a Llama."""
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaNextImageProcessor,
        LlavaNextVideoConfig,
        LlavaNextVideoForConditionalGeneration,
        LlavaNextVideoProcessor,
        LlavaNextVideoVideoProcessor,
    )

    words = tokenizer("<video>", "<image>")
    torch.manual_seed(0)
    eye = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        patch_size=14,
        image_size=SIDE,
        projection_dim=16,
    )
    config = LlavaNextVideoConfig(
        vision_config=eye.to_dict(),
        text_config=LlamaConfig(**text_shape(words)).to_dict(),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
    )
    square = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    processor = LlavaNextVideoProcessor(
        video_processor=LlavaNextVideoVideoProcessor(**square),
        image_processor=LlavaNextImageProcessor(**square),
        tokenizer=words,
        chat_template=LLAVA_TEMPLATE,
        patch_size=14,
        vision_feature_select_strategy="default",
    )
    LlavaNextVideoForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_video_llama(folder: Path) -> Path:
    """A tiny VideoLLaMA 3: its own vision model, a projector and a Qwen2."""
    from transformers import (
        Qwen2Config,
        VideoLlama3Config,
        VideoLlama3ForConditionalGeneration,
        VideoLlama3ImageProcessor,
        VideoLlama3Processor,
        VideoLlama3VideoProcessor,
    )

    words = tokenizer("<|image_pad|>", "<|video_pad|>", "<|im_start|>", "<|im_end|>")
    torch.manual_seed(0)
    eye = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_size": 14,
    }
    config = VideoLlama3Config(
        vision_config=eye,
        text_config=Qwen2Config(**text_shape(words)).to_dict(),
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
    )
    area = {"shortest_edge": 28 * 28 * 4, "longest_edge": 28 * 28 * 64}
    processor = VideoLlama3Processor(
        image_processor=VideoLlama3ImageProcessor(),
        tokenizer=words,
        video_processor=VideoLlama3VideoProcessor(size=area),
        chat_template=VIDEO_LLAMA_TEMPLATE,
    )
    VideoLlama3ForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


SAVE = {"llava-next-video": save_llava, "video-llama": save_video_llama}
