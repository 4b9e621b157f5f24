"""Rendered films as training memories, and a run of the baseline that has every patch as a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from llama_vid.tokenizer.compressor import BACKGROUND_RATE, Compressor
from llama_vid.tokenizer.full import FullProjector
from tests.training.conftest import END, WIDTH, encode
from tests.training.test_align import CONFIG, OPTIONS, features, words
from training.align import Trainer, thinned
from training.decoder import TrainableDecoder
from training.films import FilmFrame, Films, TrainingFilm
from training.packing import Item
from training.sampling import Photos, Sampler, Shot
from training.synthetic.questions import QA

FILM = TrainingFilm(
    [FilmFrame(4, 0, True, 0.0), FilmFrame(5, 0, False, 0.02), FilmFrame(6, 2, True, 1.0), FilmFrame(7, 2, False, 0.3)],
    [QA("still", "Is anything moving?", "Yes."), QA("cuts", "Is there a cut?", "Yes."), QA("cuts", "A cut?", "Yes.")],
)


def test_a_film_keeps_what_the_compressor_decided(photos: Photos) -> None:
    sampler = Sampler(photos, encode, END, seed=1)
    shots = [Shot(0, 0, 0, None, 1.0)]  # another item's
    item = Films([FILM], offset=20).item(sampler, shots)
    assert [~token for token in item.prefix if token < 0] == [1, 2, 3, 4]
    assert [(shot.photo, shot.anchor, shot.previous) for shot in shots[1:]] == [
        (24, 1, None), (25, 1, 1), (26, 3, None), (27, 3, 3),
    ]  # fmt: skip
    assert [shot.energy for shot in shots[1:]] == [0.0, 0.02, 1.0, 0.3]
    assert len(item.segments) == 2  # one of each kind
    assert Films([FILM], 0).answers() == {"Yes."}


def test_frames_are_compared_with_what_the_compressor_compares_them_with(llama: Any, photos: Photos) -> None:
    trainer = Trainer(
        Compressor(CONFIG), TrainableDecoder(llama, 2), features(), photos, Sampler(photos, words, END, 0),
        torch.zeros(1, 8), torch.arange(258), OPTIONS, Path("unused"),
    )  # fmt: skip
    x = torch.randn(5, 4, 16)
    shots = [Shot(0, 0, 0, None, 1.0), *(Shot(0, 0, i, i - 1, 0.5) for i in (1, 2)), Shot(1, 0, 3, None, 1.0)]
    shots.append(Shot(1, 0, 4, 3, 0.5))
    previous, background = trainer._before(shots, x)
    assert torch.equal(previous, torch.stack([torch.zeros(4, 16), x[0], x[1], torch.zeros(4, 16), x[3]]))
    slow = torch.lerp(x[0], x[1], BACKGROUND_RATE)
    assert torch.allclose(background, torch.stack([torch.zeros(4, 16), x[0], slow, torch.zeros(4, 16), x[3]]))


def test_a_run_of_the_full_baseline_learns(llama: Any, photos: Photos, tmp_path: Path) -> None:
    reports = list[Mapping[str, float]]()
    torch.manual_seed(0)
    projector = FullProjector(4, 16, WIDTH)
    before = projector.down.weight.detach().clone()
    run = Trainer(
        projector, TrainableDecoder(llama, 2), features(), photos, Sampler(photos, words, END, 0),
        F.normalize(torch.randn(5, 8), dim=-1), torch.arange(258), replace(OPTIONS, length=240, most_frames=3),
        tmp_path / "full.pt", reports.append,
    )  # fmt: skip
    shots, rows, guide = run.batch()
    assert guide is None
    assert len(rows.slots) % 4 == 0
    assert rows.frames.max() < 4 * len(shots)
    run.warm_up()
    run.train()
    assert not torch.equal(projector.down.weight, before)
    assert torch.load(tmp_path / "full.pt", weights_only=True)["config"] == {}


def test_thinned_memories_keep_their_ends_and_their_order() -> None:
    prefix = [7, *(~i for i in range(10)), 8]
    item = thinned(Item(prefix, []), 4)
    assert item.prefix == [7, ~0, ~3, ~6, ~9, 8]
    assert thinned(item, 4) is item


def test_shapes_of_the_full_tokens() -> None:
    projector = FullProjector(9, 6, 5)
    assert projector(torch.from_numpy(np.zeros((2, 9, 6), np.float32))).shape == (2, 9, 5)
