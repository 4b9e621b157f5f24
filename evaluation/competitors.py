"""Other video language models, through transformers' own classes: LLaVA-NeXT-Video, and VideoLLaMA 3.

VideoLLaMA 3 is the only one of the three VideoLLaMAs that transformers has (`VideoLlama3ForConditionalGeneration`);
Video-LLaMA (2023) and VideoLLaMA 2 (2024) run only by code of their own repositories. Each model gets the frames that
its paper or card says, its own processor and chat template, and its own tokens.

Sources: Zhang et al. 2024, LLaVA-NeXT: A Strong Zero-shot Video Understanding Model
(https://llava-vl.github.io/blog/2024-04-30-llava-next-video/); Zhang et al. 2025, VideoLLaMA 3
(https://arxiv.org/abs/2501.13106); Liu et al. 2023, Improved Baselines with Visual Instruction Tuning
(https://arxiv.org/abs/2310.03744), for the words that ask a LLaVA for a short answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from evaluation.sampling import Sampled, by_rate, evenly
from llama_vid.errors import BundleError
from llama_vid.llm.language import chosen_dtype


@dataclass(frozen=True, slots=True)
class Kind:
    """A competitor: transformers' classes for it, its frames, and the words it wants behind a question.

    `sample(path, count)` takes the model's frames; `count` None is what paper or card say (in words: `frames`).
    `elsewhere` are model types of checkpoints that transformers' class does not read, with what to say of them.
    """

    name: str
    model_type: str
    model_class: str
    processor_class: str
    sample: Callable[[Path, int | None], Sampled]
    frames: str
    words: str = ""
    elsewhere: tuple[tuple[str, str], ...] = ()


#: Frames of a clip that LLaVA-NeXT-Video was trained with, by its model card.
LLAVA_FRAMES: Final = 32
#: VideoLLaMA 3's own: frames a second, and the fewest and most of a clip (its processor's `min_frames`, `max_frames`).
VIDEO_LLAMA_FPS, VIDEO_LLAMA_LEAST, VIDEO_LLAMA_MOST = 1.0, 4, 180

_CONVERTED: Final = "it is the layout of its own repository; give a checkpoint in transformers' format (video_llama_3)"
KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(
            "llava-next-video",
            "llava_next_video",
            "LlavaNextVideoForConditionalGeneration",
            "LlavaNextVideoProcessor",
            lambda path, count: evenly(path, count or LLAVA_FRAMES),
            f"{LLAVA_FRAMES} frames, evenly spread",
            "\nAnswer the question using a single word or phrase.",
            (("llava", "it is LLaVA for pictures"), ("llava_next", "it is LLaVA-NeXT for pictures")),
        ),
        Kind(
            "video-llama",
            "video_llama_3",
            "VideoLlama3ForConditionalGeneration",
            "VideoLlama3Processor",
            lambda path, count: (
                evenly(path, count)
                if count
                else by_rate(path, VIDEO_LLAMA_FPS, least=VIDEO_LLAMA_LEAST, most=VIDEO_LLAMA_MOST)
            ),
            f"1 frame a second, {VIDEO_LLAMA_LEAST} to {VIDEO_LLAMA_MOST} of them",
            "",
            (("videollama3_qwen2", _CONVERTED), ("videollama2_qwen2", "it is VideoLLaMA 2"), ("video_llama", "")),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A competitor's model in evaluation mode and its processor; `place` is where they came from, `state` changes with
    the files there.
    """

    kind: Kind
    place: str
    state: str
    model: Any
    processor: Any
    device: torch.device
    dtype: torch.dtype


def load(kind: Kind, place: str, *, device: str = "auto", dtype: str = "auto") -> Loaded:
    """The competitor of a local folder or a hub id (fetched by transformers); safetensors only, and no code of its own.

    Raises BundleError that says what is there instead, or what is missing.
    """
    import transformers
    from transformers import PreTrainedConfig

    if Path(place).is_absolute() and not Path(place).is_dir():
        raise BundleError(f"there is no folder {place}; give one, or a hub id: --weights {kind.name}=…")
    try:
        found = str(PreTrainedConfig.get_config_dict(place)[0].get("model_type", "no type"))
    except (OSError, ValueError) as problem:
        raise BundleError(f"{place}: {_first(problem)} (--weights {kind.name}=FOLDER_OR_HUB_ID)") from None
    if found != kind.model_type:
        why = next((f": {why}" for other, why in kind.elsewhere if other == found and why), "")
        raise BundleError(f"{place} holds a {found} model, not {kind.model_type}{why}")
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    chosen = chosen_dtype(dtype, where)
    try:
        processor: Any = getattr(transformers, kind.processor_class).from_pretrained(place)
        model: Any = getattr(transformers, kind.model_class).from_pretrained(place, dtype=chosen, use_safetensors=True)
    except (OSError, ValueError, ImportError) as problem:
        raise BundleError(f"{place} cannot be loaded as {kind.model_class}: {_first(problem)}") from None
    except RuntimeError as problem:  # torch: sizes that do not fit, or no memory
        raise BundleError(f"{place} cannot be loaded as {kind.model_class}: {_first(problem)}") from None
    try:
        model = model.to(where).eval()
    except RuntimeError as problem:
        size = sum(each.numel() * each.element_size() for each in model.parameters()) / 2**30
        raise BundleError(f"{place} ({size:.1f} GiB) does not go to {where}: {_first(problem)}") from None
    return Loaded(kind, place, state_of(place, model), model, processor, where, chosen)


def state_of(place: str, model: Any) -> str:
    """What tells states of a checkpoint apart: the hub's commit, or a hash of a folder's names, sizes and times."""
    commit = getattr(model.config, "_commit_hash", None)
    if commit:
        return str(commit)[:12]
    digest = hashlib.sha256()
    for file in sorted(Path(place).glob("*")):
        if file.is_file():
            about = file.stat()
            digest.update(f"{file.name} {about.st_size} {about.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def _first(problem: Exception) -> str:
    """The first line of an error."""
    return next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
