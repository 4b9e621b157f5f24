"""A bundle's language model as an ordinary transformers folder, with what our training changed merged in.

This is what a server that runs the language model has to serve (`vllm serve FOLDER`): the weights of the registry
package alone know nothing of our tokens.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

from safetensors.torch import save_file
from torch import Tensor

from llama_vid.bundle import load_bundle
from llama_vid.errors import BundleError
from llama_vid.llm.converted import converted
from llama_vid.tokenizer.parts import Part

#: What of a model's folder others need beside config and weights, where it is there.
BESIDE: Final = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json")
#: As configurations name the types.
NAMES: Final = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def export_language(name: str, folder: Path, *, dtype: str = "bf16") -> int:
    """Write config.json, model.safetensors and the tokenizer into a folder that is new or empty. -> bytes of weights.

    `dtype` is bf16, fp16 or fp32. Raises BundleError if the bundle is not whole, or the folder cannot be written.
    """
    if dtype not in NAMES:
        raise BundleError(f"unknown dtype {dtype!r}; use {', '.join(NAMES)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(f"{folder} is there and not empty; name a folder that is to be made")
    bundle = load_bundle(name, device="cpu", dtype=dtype)
    source = converted(bundle.source) if isinstance(bundle.source, Part) else bundle.source
    module = bundle.language.module
    tied = bool(module.config.tie_word_embeddings)
    weights: dict[str, Tensor] = {
        # Our decoder keeps some of them side by side: each gets memory of its own again.
        key: value.detach().clone().contiguous()
        for key, value in module.state_dict().items()
        if not (tied and key == "lm_head.weight")
    }
    try:
        config = json.loads((source / "config.json").read_text("utf-8"))
        config.pop("torch_dtype", None)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config | {"dtype": NAMES[dtype]}, indent=2) + "\n", "utf-8")
        for beside in BESIDE:
            if (source / beside).is_file():
                shutil.copyfile(source / beside, folder / beside)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    except OSError as problem:
        raise BundleError(
            f"{folder} cannot be written ({problem.strerror or problem}); make room there or name another folder"
        ) from None
    return sum(value.numel() * value.element_size() for value in weights.values())
