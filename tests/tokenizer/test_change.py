"""Motion energy: noise, light and small flicker are nothing, a moving thing is something, a cut is everything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from llama_vid.tokenizer.change import GRID, change_energy, luma_grid
from llama_vid.tokenizer.compressor import CUT_ENERGY, STILL

SIZE = 260


def scene(seed: int = 0) -> npt.NDArray[np.float64]:
    """A smooth random picture (260, 260, 3) in 40…200."""
    coarse = torch.from_numpy(np.random.default_rng(seed).uniform(40, 200, (1, 3, 9, 9)))
    smooth = torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic").clamp(30, 220)
    picture: npt.NDArray[np.float64] = smooth[0].permute(1, 2, 0).numpy()
    return picture


def grid(picture: npt.NDArray[np.float64]) -> Tensor:
    pixels = torch.from_numpy(picture.clip(0, 255).round().astype(np.uint8)).permute(2, 0, 1)[None]
    return luma_grid(pixels)


def energy(now: npt.NDArray[np.float64], before: npt.NDArray[np.float64]) -> float:
    return float(change_energy(grid(now), grid(before)))


def test_luma_grid_averages_blocks_with_luma_weights() -> None:
    pixels = torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8)
    pixels[0, 1, :5, :5] = 255  # one cell of full green
    pixels[1] = 100
    found = luma_grid(pixels)
    assert found.shape == (2, GRID, GRID)
    assert found.dtype == torch.float32
    assert float(found[0, 0, 0]) == pytest.approx(0.587 * 255, abs=0.01)
    assert float(found[0].sum()) == pytest.approx(0.587 * 255, abs=0.01)
    torch.testing.assert_close(found[1], torch.full((GRID, GRID), 100.0), atol=1e-3, rtol=0)


@pytest.mark.parametrize("deviation", [1, 3, 6])
def test_sensor_noise_is_nothing(deviation: int) -> None:
    rng = np.random.default_rng(1)
    before = scene() + rng.normal(0, deviation, (SIZE, SIZE, 3))
    now = scene() + rng.normal(0, deviation, (SIZE, SIZE, 3))
    assert energy(now, before) < STILL / 2


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 12.0), (1.1, 0.0), (0.9, 5.0)])
def test_another_light_is_nothing(gain: float, offset: float) -> None:
    assert energy(scene() * gain + offset, scene()) < STILL


def test_equal_frames_have_no_energy_at_all() -> None:
    assert energy(scene(), scene()) == 0.0
    black = np.zeros((SIZE, SIZE, 3))
    assert energy(black, black) == 0.0


def test_a_moving_square_is_seen_under_noise_and_a_larger_one_more() -> None:
    rng, found = np.random.default_rng(2), []
    for edge in (30, 60, 120):
        frames = []
        for left in (20, 20 + edge):
            frame = scene() + rng.normal(0, 3, (SIZE, SIZE, 3))
            frame[60 : 60 + edge, left : left + edge] = 250
            frames.append(frame)
        found.append(energy(frames[1], frames[0]))
    assert found[0] > STILL
    assert found == sorted(found)


def test_a_ticking_clock_in_a_corner_stays_small() -> None:
    before, now = scene(), scene()
    before[5:15, 5:35], now[5:15, 5:35] = 255, 255
    now[5:15, 28:34] = 0
    assert energy(now, before) < 2 * STILL


def test_another_scene_changes_everything() -> None:
    assert energy(scene(7), scene(0)) >= CUT_ENERGY
    assert 0 <= energy(np.full((SIZE, SIZE, 3), 255.0), np.zeros((SIZE, SIZE, 3))) <= 1


def test_a_batch_is_what_its_rows_are() -> None:
    pictures = [scene(seed) for seed in range(4)]
    now, before = torch.cat([grid(p) for p in pictures[1:]]), torch.cat([grid(p) for p in pictures[:-1]])
    together = change_energy(now, before)
    alone = [energy(a, b) for a, b in zip(pictures[1:], pictures[:-1], strict=True)]
    assert together.tolist() == pytest.approx(alone)
