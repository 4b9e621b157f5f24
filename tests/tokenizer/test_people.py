"""The people probe: which texts name people, and what speaks for one in frames and parts of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from llama_vid.errors import BundleError
from llama_vid.tokenizer.people import KEYS, PeopleProbe, names_people


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a person", "anybody"),
        ("A person at the front door.", "anybody"),
        ("people", "anybody"),
        ("someone in the garden", "anybody"),
        ("an unknown person", "anybody"),
        ("a man", "somebody"),
        ("two children in the pool", "somebody"),
        ("someone cooking food in a kitchen", "doing"),
        ("people playing a sport", "doing"),
        ("a man on a bicycle", "somebody"),
        ("a dog", ""),
        ("a package left at the door", ""),
        ("a manual", ""),
        ("snow on the ground", ""),
    ],
)
def test_which_texts_name_people(text: str, named: str) -> None:
    assert names_people(text) == named


def tensors(channels: int = 6) -> dict[str, Tensor]:
    """A probe for which the first channel speaks for a person, and nothing else does."""
    made = {key: torch.zeros(()) for key in KEYS}
    made["linear"] = torch.tensor([1.0] + [0.0] * (channels - 1))
    made["inner"], made["inner_bias"], made["outer"] = torch.zeros(2, channels), torch.zeros(2), torch.zeros(2)
    made["scale"], made["shift"] = torch.tensor(2.0), torch.tensor(-3.0)
    return made


def test_one_patch_is_enough_and_only_the_zone_counts() -> None:
    probe = PeopleProbe(tensors())
    patches = torch.zeros(2, 81, 6)
    patches[1, 40, 0] = 6.0
    nobody, somebody = probe.odds(patches).tolist()
    assert nobody < 0 < somebody
    assert probe.odds(patches, torch.tensor([39, 40]))[1] > somebody, "fewer patches beside it say less against it"
    assert probe.odds(patches, torch.tensor([0, 1, 2]))[1] == pytest.approx(nobody)
    assert probe.odds(patches.half()).tolist() == pytest.approx([nobody, somebody], abs=1e-2)


def test_a_probe_that_does_not_fit_is_refused() -> None:
    with pytest.raises(BundleError, match="6 channels, the tower has 8; train it again"):
        PeopleProbe.of(tensors(), "people.safetensors", 8)
    short = tensors()
    del short["outer"]
    with pytest.raises(BundleError, match="lacks outer; install the bundle again"):
        PeopleProbe.of(short, "people.safetensors", 6)
    assert PeopleProbe.of(None, "people.safetensors", 6) is None
