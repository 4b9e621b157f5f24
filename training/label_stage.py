"""Which concepts each photo shows, found for stages 1 and 2 from captions, ImageNet classes and image-text scores."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from training.concepts import CONCEPTS
from training.head_stages import labels_file
from training.joint import JointSpace
from training.labels import ABSENT, PRESENT, concept_labels
from training.named import check_data
from training.prepare import TRAIN, UNLABELLED, Photographs, require
from training.recipe import Labels


def label_concepts(recipe: Labels, photos: Photographs) -> dict[str, object]:
    """Concept labels (N, concepts) of the training and the unlabelled photos, as `labels/SET.npy`."""
    check_data(recipe.cache, photos.train, named=photos.named)
    space = JointSpace.of(recipe)
    texts = space.concepts()
    reference: tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]] | None = None
    captions: dict[str, list[list[str]]] = {
        TRAIN: [photo.texts for photo in photos.train],
        UNLABELLED: [[] for _ in photos.unlabelled],
    }
    known = {}
    for name, told in captions.items():
        classes = np.load(require(recipe.cache / f"{name}-imagenet.npy"))
        scores: npt.NDArray[np.float32] = (space.photos(name) @ texts.T).numpy()
        labels = concept_labels(told, classes, scores, reference, recipe.sure)
        reference = reference or (labels, scores)
        out = labels_file(recipe.out, name)
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = out.with_suffix(".tmp.npy")
        np.save(fresh, labels)
        os.replace(fresh, out)
        known[name] = {"present": int((labels == PRESENT).sum()), "absent": int((labels == ABSENT).sum())}
    return {"concepts": len(CONCEPTS), **known}
