"""Any open_clip model as an image tower: by its open_clip name, with weights from a local file.

Vision transformers (ViT-B-32, ViT-L-14, CoCa) give their patch tokens themselves; for open_clip's ResNets and for timm
trunks (ConvNeXt, SigLIP) they are taken from the last feature map. Weights made by OpenAI use another activation: take
the name that ends in `-quickgelu` for them. Source: Ilharco et al., OpenCLIP,
https://github.com/mlfoundations/open_clip.
"""

from __future__ import annotations

import difflib
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from torch import Tensor, nn

from llama_vid.errors import BundleError
from llama_vid.tokenizer.tower import ImageTower

#: What open_clip and torch raise for files that are damaged, of another model, or no weights at all.
DAMAGED: Final = (
    SafetensorError, OSError, EOFError, pickle.UnpicklingError, RuntimeError, ValueError, KeyError, TypeError,
    AttributeError, StopIteration,
)  # fmt: skip


class FeatureMapVisual(nn.Module):
    """An open_clip vision model without patch tokens of its own: pixels (B, 3, S, S) to (pooled (B, E), patches
    (B, P, C)) in one forward."""

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        visual: Any = self.visual
        trunk: Any = getattr(visual, "trunk", None)
        if trunk is None:  # open_clip's ModifiedResNet
            grid = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(x)))))
            return visual.attnpool(grid), grid.flatten(2).transpose(1, 2)
        features = trunk.forward_features(x)
        # A trunk that open_clip stripped of its pooling hands the map to the head as it is.
        pooled = visual.head(trunk.forward_head(features))
        if features.dim() == 3:  # a transformer's tokens, class and register tokens first
            return pooled, features[:, int(getattr(trunk, "num_prefix_tokens", 0)) :]
        if getattr(trunk, "output_fmt", "NCHW") == "NHWC":
            return pooled, features.flatten(1, 2)
        return pooled, features.flatten(2).transpose(1, 2)


def open_clip_tower(name: str, weights: Path) -> ImageTower:
    """The tower of an open_clip model; `weights` is a safetensors file, or one of `torch.save` (loaded with
    `weights_only=True`).

    Raises BundleError for an unknown name, and for a file that is missing, damaged, or of another model.
    """
    import open_clip

    name = name.replace("/", "-")
    known: list[str] = open_clip.list_models()
    if name not in known:
        close = difflib.get_close_matches(name, known, 3, 0.5)
        meant = f"did you mean {' or '.join(close)}?" if close else "open_clip.list_models() names them all"
        raise BundleError(f"open_clip knows no model {name!r}; {meant}")
    if not weights.is_file():
        raise BundleError(f"the weights file {weights} does not exist; give a local safetensors or PyTorch file")
    try:
        tokenizer: Any = open_clip.get_tokenizer(name)
    except (OSError, ImportError) as problem:  # text towers from a hub need its tokenizer
        raise BundleError(
            f"the text side of {name} cannot be built here ({_line(problem)}); fetch it into the local Hugging Face "
            "cache first, or take a model with open_clip's own text tower, such as ViT-B-32"
        ) from None
    try:
        # Loads checkpoints of open_clip's relatives, too, and never unpickles anything but tensors.
        clip: Any = open_clip.create_model(name, str(weights), pretrained_text=False, weights_only=True)
    except DAMAGED as problem:
        if "loading state_dict" in str(problem) or "size mismatch" in str(problem):
            raise BundleError(
                f"{weights} is not a checkpoint of {name} ({_line(problem)}); give the weights of that model"
            ) from None
        raise BundleError(
            f"{weights} cannot be read as weights of {name} ({_line(problem)}); fetch it again, as a safetensors file "
            "if it is a TorchScript archive or holds more than tensors"
        ) from None
    return _tower(name, clip, tokenizer)


def random_tower(name: str) -> ImageTower:
    """The same tower with random weights and no texts: as fast as the real one, for planning before it is there.

    Raises BundleError for an unknown name.
    """
    import open_clip

    try:
        clip: Any = open_clip.create_model(name.replace("/", "-"), load_weights=False, pretrained_text=False)
    except DAMAGED as problem:
        raise BundleError(f"open_clip cannot make a model {name!r} ({_line(problem)})") from None
    return _tower(name, clip, None)


def _tower(name: str, clip: Any, tokenizer: Any) -> ImageTower:
    import open_clip

    config: Mapping[str, Any] = open_clip.get_model_preprocess_cfg(clip)
    size = _square(name, config["size"])
    clip.eval()
    if not hasattr(clip.visual, "output_tokens"):
        clip.visual = FeatureMapVisual(clip.visual)
    return ImageTower(clip, tokenizer, size=size, mean=config["mean"], std=config["std"])


def _square(name: str, size: int | Sequence[int]) -> int:
    edges = {int(size)} if isinstance(size, int) else {int(edge) for edge in size}
    if len(edges) != 1:
        raise BundleError(f"{name} reads pictures of {size} pixels, not squares; take a model for square pictures")
    return edges.pop()


def _line(problem: BaseException) -> str:
    """A problem in one line of at most 200 characters."""
    return " ".join(str(problem).split())[:200] or type(problem).__name__
