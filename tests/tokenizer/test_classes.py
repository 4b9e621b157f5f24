"""The tower's own classifier: right on a photo, no class for what it knows nothing of, none for other towers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from llama_vid.tokenizer.classes import TOLD, PhotoClasses
from tests.bundles import film, mini


@pytest.mark.model
def test_texts_mean_classes_and_a_street_shows_its_own() -> None:
    from llama_vid.stream.file import FileSource

    bundle = mini()
    classes = bundle.tower.classes
    assert classes is not None
    assert bundle.tower.classes is classes, "loaded once"
    query = bundle.scorer.query("a musical instrument")
    names = classes.names(classes.meant(query.embeddings))
    assert {"violin", "drum", "acoustic guitar"} <= set(names)
    assert "golden retriever" not in names
    street = [frame.image for frame in FileSource(film())]
    chances = classes.chances(bundle.tower.encode(street).patches)
    assert chances.shape == (len(street), 1000)
    torch.testing.assert_close(chances.sum(1), torch.ones(len(street)))
    best = {
        text: float(chances[:, classes.meant(bundle.scorer.query(text).embeddings)].sum(1).max())
        for text in ("a car driving on a road", "a dog")
    }
    assert best["a car driving on a road"] > 3 * best["a dog"], best


@pytest.mark.model
def test_what_is_seen_is_told_by_name_the_likeliest_first_with_its_kind() -> None:
    classes = mini().tower.classes
    assert classes is not None
    beagle, wok = 162, 909  # in ImageNet's order
    weight = classes._weight
    patches = torch.stack([30 * weight[beagle] / weight[beagle].norm(), 30 * weight[wok] / weight[wok].norm()])
    told = classes.told(patches[:, None])
    assert list(told)[:2] in (["beagle, dog", "wok"], ["wok", "beagle, dog"])
    assert list(told.values()) == sorted(told.values(), reverse=True)
    assert min(told.values()) >= TOLD
    assert sum(told.values()) <= 1.0 + 1e-5


def test_other_towers_have_none() -> None:
    tower = SimpleNamespace(clip=SimpleNamespace(visual=SimpleNamespace(head=torch.nn.Identity())), channels=1280)
    assert PhotoClasses.of(tower) is None  # type: ignore[arg-type]
