"""What the tower's own classifier sees: the chances of ImageNet's 1,000 classes in patches, and which a text means.

The image-text head knows what photos' captions speak of; the trunk was trained to tell 1,000 things apart, and its last
layer comes with its weights. Both err differently: asked together they find more than either. A class belongs to a text
if their embeddings in the text tower lie close: "a musical instrument" means violins, drums and guitars.
Source: Tan and Le 2019, EfficientNet (https://arxiv.org/abs/1905.11946); class names as in timm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from llama_vid.errors import BundleError
from llama_vid.tokenizer.head import ImageHeads

if TYPE_CHECKING:
    from llama_vid.tokenizer.tower import ImageTower

#: The cosine from which a class belongs to a text; of 0.4, 0.5, 0.6 and 0.7 the best on even-numbered clips.
ALIKE: Final = 0.5
CHANNELS: Final = 1280  # of the trunk whose classifier it is
#: Chances below which a class is not told: a uniform guess is 0.001.
TOLD: Final = 0.01
#: The kinds whose classes lie side by side in ImageNet's order, by its numbers.
KINDS: Final = {
    "dog": ((151, 269),),
    "cat": ((281, 286),),
    "bird": ((7, 25), (80, 101), (127, 147)),
    "fish": ((0, 7), (389, 398)),
    "snake": ((52, 69),),
    "lizard": ((38, 49),),
    "turtle": ((33, 38),),
    "bear": ((294, 298),),
    "insect": ((300, 320),),
    "butterfly": ((321, 327),),
    "rabbit": ((330, 333),),
    "monkey": ((370, 383),),
}
#: Names that the text tower reads at once, sorted by length, so that hardly any padding is read.
AT_ONCE: Final = 100


class PhotoClasses:
    """The classifier of one tower: `weight` (1000, C), `bias` (1000,), and a name for each class."""

    def __init__(self, tower: ImageTower, weight: Tensor, bias: Tensor, names: list[str]) -> None:
        self._tower, self._weight, self._bias, self._names = tower, weight, bias, names
        self._texts: Tensor | None = None

    @classmethod
    def of(cls, tower: ImageTower) -> PhotoClasses | None:
        """That of a tower whose trunk is the one of `mini`; None for others."""
        from llama_vid.tokenizer.tower import EFFICIENTNET

        heads = getattr(getattr(tower.clip, "visual", None), "head", None)
        if not isinstance(heads, ImageHeads) or tower.channels != CHANNELS:
            return None
        try:
            weights = torch.load(EFFICIENTNET.path(), map_location="cpu", weights_only=True)
        except BundleError:
            return None
        weight, bias = weights.get("_fc.weight"), weights.get("_fc.bias")
        if weight is None or bias is None or weight.shape[1] != tower.channels:
            return None
        from timm.data.imagenet_info import ImageNetInfo

        info = ImageNetInfo()
        names = [info.index_to_description(index).split(",")[0].strip() for index in range(len(weight))]
        return cls(tower, weight.float(), bias.float(), names)

    def chances(self, patches: Tensor) -> Tensor:
        """The probability (B, 1000) of each class in patch features (B, P, C): of all frames' patches or some."""
        pooled = patches.float().mean(1).cpu()
        return torch.softmax(pooled @ self._weight.T + self._bias, -1)

    def told(self, patches: Tensor) -> dict[str, float]:
        """The classes seen in frames' patch features (B, P, C) by their mean chances, the likeliest first.

        A name is followed by the kind that it is of, if it is one of `KINDS`: "beagle, dog".
        """
        mean = self.chances(patches).mean(0)
        best = mean.argsort(descending=True)[: int((mean >= TOLD).sum())].tolist()
        return {self._with_kind(index): float(mean[index]) for index in best}

    def _with_kind(self, index: int) -> str:
        kinds = [kind for kind, ranges in KINDS.items() if any(first <= index < end for first, end in ranges)]
        return ", ".join([self._names[index], *kinds])

    def meant(self, phrases: Tensor) -> Tensor:
        """Which classes (1000,) bool any of a text's phrases, unit-length embeddings (K, E), stands for."""
        if self._texts is None:
            self._texts = self._embedded()
        return (self._texts @ phrases.float().cpu().T).amax(1) > ALIKE

    def names(self, chosen: Tensor) -> list[str]:
        """The names of the classes (1000,) bool that are chosen."""
        return [self._names[index] for index in chosen.nonzero().flatten().tolist()]

    def _embedded(self) -> Tensor:
        """The text embeddings (1000, E) of the names: seconds of work, done when first a text is asked for."""
        texts = [f"a {name}" for name in self._names]
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        out = torch.empty(len(texts), self._tower.width)
        with torch.inference_mode():
            for at in range(0, len(texts), AT_ONCE):
                rows = order[at : at + AT_ONCE]
                out[rows] = self._tower.encode_text([texts[row] for row in rows]).cpu()
        return out
