"""The compressor: stepping equals a batch, still scenes hold their context, cuts and gaps begin anew."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from llama_vid.errors import BundleError
from llama_vid.tokenizer.change import GRID
from llama_vid.tokenizer.compressor import HOLD_COSINE, STILL, Compressor, CompressorConfig, State, share_of
from llama_vid.tokenizer.pair import TokenPair
from llama_vid.tokenizer.tower import Encoded

CONFIG = CompressorConfig(patches=16, channels=64, guide=8, width=48, queries=4, layers=2, heads=4, out=32)


@pytest.fixture(scope="module")
def compressor() -> Compressor:
    torch.manual_seed(0)
    made = Compressor(CONFIG).eval().requires_grad_(False)
    for pool in (*made.context.pools, *made.motion.pools):  # a trained guide has weights
        torch.nn.init.normal_(pool.guide.weight, std=0.1)
    return made


def scene(seed: int, frames: int, *, noise: float = 0.05, grain: float = 0.5) -> Encoded:
    """Frames of one scene that stands still: features and luma with sensor noise."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randn(1, 16, 64, generator=generator).repeat(frames, 1, 1)
    luma = torch.rand(1, GRID, GRID, generator=generator).mul(150).add(50).repeat(frames, 1, 1)
    patches = patches + noise * torch.randn(frames, 16, 64, generator=generator)
    luma = luma + grain * torch.randn(frames, GRID, GRID, generator=generator)
    return Encoded(patches, F.normalize(torch.randn(frames, 4, generator=generator), dim=-1), luma)


def joined(*parts: Encoded) -> Encoded:
    return Encoded(*(torch.cat([getattr(p, name) for p in parts]) for name in ("patches", "embedding", "luma")))


def moving(seed: int, frames: int) -> Encoded:
    """A scene in which a bright block walks and the features under it change."""
    still = scene(seed, frames)
    patches, luma = still.patches.clone(), still.luma.clone()
    for t in range(frames):
        patches[t, t % 16] += 3
        luma[t, 10:30, 4 * t : 4 * t + 8] = 250
    return replace(still, patches=patches, luma=luma)


def stepped(compressor: Compressor, state: State, film: Encoded, gaps: list[bool]) -> tuple[State, list[TokenPair]]:
    pairs = []
    for t, gap in enumerate(gaps):
        frame = Encoded(film.patches[t : t + 1], film.embedding[t : t + 1], film.luma[t : t + 1])
        state, pair = compressor.step(state, frame, gap=gap)
        pairs.append(pair)
    return state, pairs


@pytest.mark.parametrize("guided", [False, True])
def test_stepwise_equals_batch(compressor: Compressor, guided: bool) -> None:
    film = joined(scene(1, 5), moving(2, 6), scene(3, 3), moving(1, 4), scene(4, 2))
    gaps = [t in (4, 13) for t in range(len(film.patches))]
    guide = F.normalize(torch.arange(8.0), dim=0) if guided else None
    state_a, steps = stepped(compressor, compressor.begin(guide), film, gaps)
    state_b, batch = compressor.run(compressor.begin(guide), film, gaps=gaps)
    for one, other in zip(steps, batch, strict=True):
        torch.testing.assert_close(one.context, other.context, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one.motion, other.motion, atol=1e-5, rtol=1e-4)
        assert (one.energy, one.held, one.cut) == (other.energy, other.held, other.cut)
    for name in ("previous", "background", "luma", "anchor", "anchor_luma"):
        torch.testing.assert_close(getattr(state_a, name), getattr(state_b, name), atol=1e-5, rtol=1e-4)
    # Two batches with the state between them are one batch.
    middle, head = compressor.run(compressor.begin(guide), cut_out(film, 0, 7), gaps=gaps[:7])
    _, tail = compressor.run(middle, cut_out(film, 7, 20), gaps=gaps[7:])
    for one, other in zip([*head, *tail], batch, strict=True):
        torch.testing.assert_close(one.motion, other.motion, atol=1e-5, rtol=1e-4)
        assert (one.held, one.cut) == (other.held, other.cut)


def cut_out(film: Encoded, start: int, stop: int) -> Encoded:
    return Encoded(film.patches[start:stop], film.embedding[start:stop], film.luma[start:stop])


def test_the_future_changes_nothing(compressor: Compressor) -> None:
    film = joined(moving(1, 6), scene(2, 3))
    _, whole = compressor.run(compressor.begin(), film)
    _, first = compressor.run(compressor.begin(), cut_out(film, 0, 5))
    for one, other in zip(first, whole, strict=False):
        torch.testing.assert_close(one.context, other.context, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one.motion, other.motion, atol=1e-5, rtol=1e-4)


def test_a_static_clip_holds_its_context_and_shows_no_motion(compressor: Compressor) -> None:
    _, pairs = compressor.run(compressor.begin(), scene(5, 12, noise=0.3, grain=1.0))
    for before, now in pairwise(pairs):
        assert float(F.cosine_similarity(before.context, now.context, dim=0)) >= HOLD_COSINE
        assert now.held
        assert torch.equal(now.context, pairs[0].context), "held bit for bit"
        assert now.energy < STILL / 2
        torch.testing.assert_close(now.motion, compressor.still.detach(), atol=1e-6, rtol=0)
    assert not pairs[0].held
    assert not any(pair.cut for pair in pairs)


def test_a_cut_moves_both_tokens(compressor: Compressor) -> None:
    _, pairs = compressor.run(compressor.begin(), joined(scene(6, 4), scene(7, 4)))
    assert [pair.cut for pair in pairs] == [False] * 4 + [True] + [False] * 3
    before, at, after = pairs[3], pairs[4], pairs[5]
    assert float(F.cosine_similarity(before.context, at.context, dim=0)) < HOLD_COSINE
    assert float(F.cosine_similarity(before.motion, at.motion, dim=0)) < HOLD_COSINE
    assert not at.held
    assert at.energy > 0.75
    assert after.held
    assert torch.equal(after.context, at.context)


def test_movement_shows_in_the_motion_token_only_as_long_as_it_lasts(compressor: Compressor) -> None:
    film = moving(8, 4)
    stays = Encoded(*(getattr(film, n)[-1:].repeat(3, *[1] * (getattr(film, n).dim() - 1)) for n in film.__slots__))
    _, pairs = compressor.run(compressor.begin(), joined(film, stays))
    still = compressor.still.detach()
    assert all(pair.energy > STILL for pair in pairs[1:4])
    assert all(float((pair.motion - still).norm()) > 0.05 for pair in pairs[1:4])
    for pair in pairs[5:]:
        assert pair.energy == 0
        torch.testing.assert_close(pair.motion, still, atol=1e-6, rtol=0)


def test_a_gap_begins_anew(compressor: Compressor) -> None:
    film = scene(9, 6)
    _, pairs = compressor.run(compressor.begin(), film, gaps=[False, False, False, True, False, False])
    assert [pair.held for pair in pairs] == [False, True, True, False, True, True]
    _, alone = compressor.run(compressor.begin(), cut_out(film, 3, 6))
    torch.testing.assert_close(pairs[3].context, alone[0].context)
    torch.testing.assert_close(pairs[3].motion, alone[0].motion)
    assert pairs[3].energy == 0.0


def test_a_dark_first_frame_is_replaced(compressor: Compressor) -> None:
    dark = scene(10, 1)
    dark = replace(dark, luma=torch.full((1, GRID, GRID), 3.0))
    _, pairs = compressor.run(compressor.begin(), joined(dark, scene(11, 3)))
    _, alone = compressor.run(compressor.begin(), scene(11, 3))
    assert not pairs[1].held
    torch.testing.assert_close(pairs[1].context, alone[0].context)
    torch.testing.assert_close(pairs[1].motion, alone[0].motion)
    assert pairs[2].held


def test_a_slowly_drifting_scene_is_refreshed(compressor: Compressor) -> None:
    start, end = scene(12, 1, noise=0, grain=0), scene(13, 1, noise=0, grain=0)
    steps = torch.linspace(0, 1, 60)
    film = Encoded(
        torch.cat([torch.lerp(start.patches, end.patches, float(s)) for s in steps]),
        start.embedding.repeat(60, 1),
        torch.cat([torch.lerp(start.luma, end.luma, float(s)) for s in steps]),
    )
    _, pairs = compressor.run(compressor.begin(), film)
    anchors = [t for t, pair in enumerate(pairs) if not pair.held]
    assert len(anchors) >= 2, "an anchor does not outlive its scene"
    assert not any(pair.cut for pair in pairs)
    _, alone = compressor.run(compressor.begin(), end)
    final = float(F.cosine_similarity(pairs[-1].context, alone[0].context, dim=0))
    assert final > float(F.cosine_similarity(pairs[0].context, alone[0].context, dim=0))


def test_the_guide_changes_what_is_read(compressor: Compressor) -> None:
    film = scene(14, 1)
    guide = F.normalize(torch.ones(8), dim=0)
    _, (plain,) = compressor.run(compressor.begin(), film)
    _, (guided,) = compressor.run(compressor.begin(guide), film)
    assert not torch.allclose(plain.context, guided.context, atol=1e-3)


def test_features_of_another_tower_are_refused(compressor: Compressor) -> None:
    other = Encoded(torch.zeros(1, 49, 768), torch.zeros(1, 4), torch.zeros(1, GRID, GRID))
    with pytest.raises(BundleError, match=r"trained for 16×64 features, the tower gives 49×768.*llama-vid train"):
        compressor.run(compressor.begin(), other)


def test_share_rises_from_nothing_to_all() -> None:
    shares: Tensor = share_of(torch.tensor([0.0, STILL / 2, STILL, 2 * STILL, 1.0]))
    assert shares[:2].tolist() == [0.0, 0.0]
    assert 0 < float(shares[2]) < 1
    assert shares[3:].tolist() == pytest.approx([1.0, 1.0])
