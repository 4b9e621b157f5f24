"""Which concepts a photo shows: from its captions, the tower's ImageNet classifier, and the image-text head.

Captions leave most of what they could name unsaid, so "not named" alone is no "no": a concept counts as absent only
where the classifier is sure of none of its classes and the image-text score is low against photos in which it is named
(not so low for what captions hardly ever leave out).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.concepts import CONCEPTS, named_in

PRESENT, ABSENT, UNKNOWN = 1, 0, -1
#: What five captions hardly leave unsaid: of these, photos that look a little like it are the hard "no"s.
SALIENT = frozenset(
    re.findall(
        r"\w+",
        "dog cat bird horse bear animal person child baby crowd car truck bus train bicycle motorcycle boat guitar "
        "instrument umbrella skateboard snowboard surfboard snow ocean fire swim climb sport dance music sing cook hug "
        "fight",
    )
)
LOW, LOW_SALIENT = 0.15, 0.5  # score quantiles of the photos that show a concept, below which it may be absent
CLASS_SURE, CLASS_NONE = 0.5, 0.05  # summed probability of a concept's ImageNet classes
PROMPTS = {
    "thing": ("There is {x} in the photo .", "A photo of {x} .", "{x}"),
    "act": ("Someone is {x} .", "People {x} .", "A person is {x} ."),
    "place": ("A photo taken {x} .", "Someone is {x} .", "{x}"),
}


def concept_labels(
    captions: Sequence[Sequence[str]],
    classes: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    reference: tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]] | None = None,
    sure: float = 0.8,
) -> npt.NDArray[np.int8]:
    """Labels (N, concepts) of N photos: PRESENT, ABSENT or UNKNOWN.

    `captions` may be empty lists (photos without captions), `classes` (N, 1000) are ImageNet probabilities, `scores`
    (N, concepts) image-text scores. `reference` are labels and scores of captioned photos, which set the score
    thresholds of photos without captions: one above the quantile `sure` of the photos that show a concept shows it too.
    """
    named = np.zeros((len(classes), len(CONCEPTS)), bool)
    for row, sentences in enumerate(captions):
        for sentence in sentences:
            named[row, list(named_in(sentence))] = True
    labels = np.full(named.shape, UNKNOWN, np.int8)
    for column, concept in enumerate(CONCEPTS):
        mass = classes[:, list(concept.classes)].sum(1) if concept.classes else np.zeros(len(classes), np.float32)
        known, known_scores = (
            (named[:, column], scores[:, column])
            if reference is None
            else (reference[0][:, column] == PRESENT, reference[1][:, column])
        )
        positives = known_scores[known] if known.sum() >= 10 else known_scores
        high = np.quantile(positives, sure) if known.sum() >= 10 else np.inf
        low = np.quantile(positives, LOW_SALIENT if reference is None and concept.name in SALIENT else LOW)
        present = named[:, column] | (mass > CLASS_SURE)
        if reference is not None:
            present |= scores[:, column] > high
        absent = ~present & (mass < CLASS_NONE) & (scores[:, column] < low)
        labels[present, column] = PRESENT
        labels[absent, column] = ABSENT
    return labels
