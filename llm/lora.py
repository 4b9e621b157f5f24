"""Low-rank weight changes merged into a Llama module: W += scale · B A.

Source: Hu et al. 2021, LoRA, https://arxiv.org/abs/2106.09685. Keys are `layers.{i}.self_attn.q_proj.lora_A` (r, in)
and `….lora_B` (out, r), for q/k/v/o_proj and mlp.gate/up/down_proj of each layer; any of them may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from llama_vid.errors import BundleError

#: Where LoRA can sit in a layer.
PROJECTIONS: Final = (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
)  # fmt: skip
_KEY: Final = re.compile(r"(layers\.\d+\.(?:self_attn|mlp)\.\w+)\.lora_([AB])")


def merge_lora(module: Any, tensors: Mapping[str, Tensor], scale: float) -> None:
    """Add the changes to the weights of a `LlamaForCausalLM` in place; `scale` is alpha / rank.

    Nothing is changed unless all of them fit. Raises BundleError for an unknown key, a missing half or a shape that
    does not fit.
    """
    changes = [_checked(module, name, tensors) for name in sorted({_name(key) for key in tensors})]
    with torch.no_grad():
        for weight, a, b in changes:
            # In float32, rounded once: bf16 would lose small changes against large weights twice over.
            weight.copy_((weight.float() + scale * (b.float() @ a.float()).to(weight.device)).to(weight.dtype))


def _name(key: str) -> str:
    match = _KEY.fullmatch(key)
    if match is None or match[1].split(".", 2)[2] not in PROJECTIONS:
        raise BundleError(
            f"unknown LoRA weight {key!r}; expected layers.<number>.<projection>.lora_A or .lora_B with "
            f"a projection out of {', '.join(PROJECTIONS)}"
        )
    return match[1]


def _checked(module: Any, name: str, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    a, b = tensors.get(f"{name}.lora_A"), tensors.get(f"{name}.lora_B")
    if a is None or b is None:
        raise BundleError(f"the LoRA change of {name} lacks its half lora_{'A' if a is None else 'B'}; export it again")
    try:
        weight: Tensor = module.model.get_submodule(name).weight
    except AttributeError:
        raise BundleError(
            f"the LoRA changes {name}, which this language model does not have; "
            "use the language model that it was trained with"
        ) from None
    if a.dim() != 2 or b.dim() != 2 or (b.shape[0], a.shape[1]) != tuple(weight.shape) or a.shape[0] != b.shape[1]:
        raise BundleError(
            f"the LoRA change of {name} has shapes A {tuple(a.shape)} and B {tuple(b.shape)}, which do "
            f"not fit its weight {tuple(weight.shape)}; use the language model that it was trained with"
        )
    return weight, a, b
