"""What the tower's own ImageNet classifier says of the training photos: labels that cost nothing.

The classifier is one linear layer over the mean patch feature and comes with the tower's weights (1,000 classes,
Russakovsky et al. 2015); the program itself does not use it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from llama_vid.errors import BundleError
from llama_vid.tokenizer.tower import EFFICIENTNET
from training.rowcache import filled
from training.texts import TextStates, cache_texts

BATCH: Final = 500
CLASSES: Final = 1000
TEMPLATES: Final = ("A photo of a {} .", "There is a {} .", "{}")


def cache_classes(features: npt.NDArray[np.float16], out: Path) -> npt.NDArray[np.float32]:
    """Class probabilities (N, 1000) of photos by their features (N, P, C). Raises BundleError."""
    path = EFFICIENTNET.verify()
    weights = torch.load(path, map_location="cpu", weights_only=True)
    try:
        weight, bias = weights["_fc.weight"], weights["_fc.bias"]
    except KeyError as problem:
        raise BundleError(
            f"{path.name} holds no classifier ({problem}); install the pinned versions: make setup"
        ) from None

    def rows(start: int, stop: int) -> npt.NDArray[np.float32]:
        pooled = torch.from_numpy(features[start:stop].astype(np.float32)).mean(1)
        chances: npt.NDArray[np.float32] = (pooled @ weight.T + bias).softmax(-1).numpy()
        return chances

    return filled(out, (len(features), CLASSES), np.float32, rows, batch=BATCH)


def class_names() -> list[str]:
    """The first name of each ImageNet class, in the order of the classifier."""
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo()
    return [info.index_to_description(index).split(",")[0] for index in range(CLASSES)]


def cache_class_texts(states: TextStates, out: Path) -> npt.NDArray[np.float32]:
    """Text states (templates, 1000, 384) of the class names in each of TEMPLATES."""
    texts = [template.format(name) for template in TEMPLATES for name in class_names()]
    flat = cache_texts(states, texts, out)
    return flat.reshape(len(TEMPLATES), CLASSES, -1)
