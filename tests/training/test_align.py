"""A whole small training run: it learns, writes checkpoints, and goes on where it stopped."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from llama_vid.errors import ConfigError
from llama_vid.tokenizer.compressor import Compressor, CompressorConfig
from tests.training.conftest import END, WIDTH, encode
from training.align import Trainer, cosine
from training.decoder import TrainableDecoder
from training.feature_sets import FeatureSets
from training.naming import word_bags
from training.options import AlignOptions
from training.sampling import Photos, Sampler, Shot

CONFIG = CompressorConfig(patches=4, channels=16, guide=8, width=24, queries=4, layers=1, heads=2, out=WIDTH)
OPTIONS = AlignOptions(
    seconds=1.0, warm_seconds=0.3, rows=2, length=200, rank=2, warm_batch=8, report_steps=2, compiled=False,
    checkpoint_seconds=0.2, clips_first=0.1, clips_last=0.1,
)  # fmt: skip


def words(text: str) -> list[int]:
    """One token a word, so that a row holds a few items."""
    return [zlib.crc32(word.encode()) % 256 for word in re.findall(r"\w+|\S", text)]


def features() -> FeatureSets:
    """Photos of the same caption have like features."""
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(4, 4, 16))
    captioned = np.stack([[kinds[i % 4] + rng.normal(size=(4, 16)) * 0.1 for i in range(16)] for _ in range(4)])
    return FeatureSets([captioned.astype(np.float16), rng.normal(size=(1, 4, 4, 16)).astype(np.float16)])


def trainer(llama: Any, photos: Photos, out: Path, reports: list[Mapping[str, float]], **changes: Any) -> Trainer:
    torch.manual_seed(0)
    return Trainer(
        Compressor(CONFIG), TrainableDecoder(llama, 2), features(), photos, Sampler(photos, words, END, 0),
        F.normalize(torch.randn(5, 8), dim=-1), torch.arange(258), replace(OPTIONS, **changes), out, reports.append,
    )  # fmt: skip


def test_a_run_learns_and_resumes(llama: Any, photos: Photos, tmp_path: Path) -> None:
    out, reports = tmp_path / "runs" / "align.pt", list[Mapping[str, float]]()
    run = trainer(llama, photos, out, reports)
    run.resume()  # nothing there yet
    before = {key: value.clone() for key, value in run.compressor.state_dict().items()}
    run.warm_up()
    while not reports:  # on a busy machine the time that is given holds few steps
        run.options = replace(run.options, warm_seconds=run.warm + 1.0)
        run.warm_up()
    run.train()
    assert run.elapsed >= 1.0
    while run.step_count < 6:
        run.options = replace(run.options, seconds=run.elapsed + 1.0)
        run.train()
    assert any("warm" in report for report in reports)
    losses = [report["loss"] for report in reports if "step" in report]
    assert losses == [entry["loss"] for entry in run.log]
    assert min(losses[1:]) < losses[0]  # the run is short: on a busy machine a few steps, and steps scatter
    moved = {key for key, value in run.compressor.state_dict().items() if not torch.equal(value, before[key])}
    assert {"still", "context.out.weight", "motion.out.weight"} <= moved
    assert not list(out.parent.glob("*.tmp"))

    again = trainer(llama, photos, out, reports, seconds=run.elapsed + 0.3)
    again.resume()
    assert (again.step_count, again.elapsed, again.warm, again.log) == (run.step_count, run.elapsed, run.warm, run.log)
    for key, value in again.compressor.state_dict().items():
        assert torch.equal(value, run.compressor.state_dict()[key])
    again.train()
    assert again.step_count > run.step_count
    state = torch.load(out, weights_only=True)
    assert (state["steps"], state["rank"]) == (again.step_count, 2)
    assert CompressorConfig(**state["config"]) == CONFIG


def test_resumed_runs_draw_anew(llama: Any, photos: Photos, tmp_path: Path) -> None:
    run = trainer(llama, photos, tmp_path / "align.pt", [], seconds=0.3, warm_seconds=0.0)
    first, *_ = run.batch()
    run.train()
    again = trainer(llama, photos, tmp_path / "align.pt", [])
    again.resume()
    assert again.batch()[0] != first


def test_held_frames_share_their_context_and_still_ones_have_the_still_token(
    llama: Any, photos: Photos, tmp_path: Path
) -> None:
    run = trainer(llama, photos, tmp_path / "align.pt", [])
    shots = [Shot(0, 0, 0, None, 1.0), Shot(0, 0, 0, 0, 0.01), Shot(0, 2, 2, 1, 0.9)]
    with torch.no_grad():
        tokens = run.tokens(shots).view(3, 2, WIDTH)
    assert torch.equal(tokens[1, 0], tokens[0, 0])
    assert not torch.equal(tokens[2, 0], tokens[0, 0])
    assert isinstance(run.compressor, Compressor)
    torch.testing.assert_close(tokens[1, 1], run.compressor.still.detach(), atol=0.01, rtol=0.01)
    assert not torch.allclose(tokens[2, 1], run.compressor.still, atol=0.01)


def test_the_mix_moves_from_captions_to_clips(llama: Any, photos: Photos, tmp_path: Path) -> None:
    run = trainer(llama, photos, tmp_path / "align.pt", [], rows=8, clips_first=0.0, clips_last=1.0)
    early, *_ = run.batch()
    run.elapsed = 1.0
    late, *_ = run.batch()
    assert all(shot.previous is None for shot in early)
    assert any(shot.previous is not None for shot in late)


def test_rows_that_hold_no_item_are_refused(llama: Any, photos: Photos, tmp_path: Path) -> None:
    captioned = Photos(photos.captions[:16], photos.labels[:16], photos.views[:16])
    run = trainer(llama, captioned, tmp_path / "align.pt", [], length=16)
    with pytest.raises(ConfigError, match="length 16 holds no item"):
        run.batch()


def test_word_bags_hold_the_captions_vocabulary() -> None:
    index = torch.full((258,), -1)
    index[torch.tensor(list(b"abc "))] = torch.arange(4)
    assert word_bags({7: ["cab .", "xyz"]}, encode, index) == {7: [0, 1, 2, 3]}


@pytest.mark.parametrize(("progress", "share"), [(0.0, 1.0), (0.5, 0.55), (1.0, 0.1)])
def test_cosine(progress: float, share: float) -> None:
    assert cosine(progress, 0.1) == pytest.approx(share)
