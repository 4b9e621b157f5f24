"""Regions of a frame: every patch in one of them, small things found, towers that have none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from llama_vid.tokenizer.head import ImageHeads
from llama_vid.tokenizer.regions import blocks, chosen_region, region_embeddings
from llama_vid.tokenizer.scoring import REGION_DEVIATION, REGION_MEAN, Query, SceneScorer


def tower(head: object) -> Any:
    return SimpleNamespace(clip=SimpleNamespace(visual=SimpleNamespace(head=head)))


def heads(patches: int = 36) -> ImageHeads:
    torch.manual_seed(0)
    found = ImageHeads(2, patches, 32, 16).eval()
    for name, value in found.named_parameters():
        if name.endswith("position"):
            torch.nn.init.normal_(value)
    return found


def test_blocks_cover_the_map_once_row_by_row() -> None:
    found = blocks(81)
    assert found is not None
    assert sorted(found.flatten().tolist()) == list(range(81))
    assert found[0].tolist() == [0, 1, 2, 9, 10, 11, 18, 19, 20]
    assert found[5].tolist() == [33, 34, 35, 42, 43, 44, 51, 52, 53], "the middle row's last"


@pytest.mark.parametrize("patches", [49, 50, 9, 256])
def test_maps_that_do_not_divide_have_no_regions(patches: int) -> None:
    assert blocks(patches) is None
    assert region_embeddings(tower(heads(patches)), torch.randn(1, patches, 32)) is None


def test_a_tower_without_pooling_heads_has_no_regions() -> None:
    assert region_embeddings(tower(torch.nn.Identity()), torch.randn(1, 36, 32)) is None
    assert chosen_region(tower(torch.nn.Identity()), torch.randn(1, 36, 32), torch.arange(4)) is None


def test_a_region_is_what_the_head_makes_of_its_patches() -> None:
    own, x, places = heads(), torch.randn(3, 36, 32), blocks(36)
    assert places is not None
    found = region_embeddings(tower(own), x)
    assert found is not None
    assert found.shape == (3, 9, 32)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(3, 9))
    with torch.inference_mode():
        alone = torch.cat([member(x[1:2, places[4]], places[4][None]) for member in own.members], -1)
    torch.testing.assert_close(found[1, 4], F.normalize(alone[0], dim=0), atol=1e-5, rtol=1e-4)


def test_what_changes_in_one_corner_changes_one_region() -> None:
    x = torch.randn(1, 36, 32)
    other = x.clone()
    other[:, [0, 1, 6, 7]] += 3
    before, after = (region_embeddings(tower(heads()), features) for features in (x, other))
    assert before is not None
    assert after is not None
    alike = (before * after).sum(-1)[0]
    assert float(alike[0]) < 0.99
    torch.testing.assert_close(alike[1:], torch.ones(8))


def test_the_best_region_counts_against_what_a_best_region_scores() -> None:
    wanted = F.normalize(torch.randn(1, 8), dim=-1)
    query = Query("x", ("x",), wanted, torch.tensor([0.1]), torch.tensor([0.2]))
    across = F.normalize(torch.randn(8) - wanted[0] * (torch.randn(8) @ wanted[0]), dim=0)
    across = F.normalize(across - wanted[0] * (across @ wanted[0]), dim=0)
    nothing, small = across.expand(9, 8), torch.cat([across.expand(8, 8), wanted])
    z = SceneScorer.score_regions(query, torch.stack([nothing, small]))
    expected = [((cosine - 0.1) / 0.2 - REGION_MEAN) / REGION_DEVIATION for cosine in (0.0, 1.0)]
    torch.testing.assert_close(z, torch.tensor(expected), atol=1e-4, rtol=1e-4)
