"""Reliability diagrams and how a calibration is fitted and judged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from evaluation.calibrate import calibrated, left_out, probabilities
from evaluation.reliability import Reliability, ReliabilityResult, plot


def test_honest_probabilities_have_no_error_and_boastful_ones_have() -> None:
    truth = [True] * 8 + [False] * 2
    honest, boastful = Reliability.of("honest", [0.8] * 10, truth), Reliability.of("boastful", [1.0] * 10, truth)
    assert honest.error == pytest.approx(0.0)
    assert boastful.error == pytest.approx(0.2)
    assert honest.brier < boastful.brier == pytest.approx(0.2)


def test_bins_hold_everything_once() -> None:
    p = [0.0, 0.09, 0.1, 0.55, 0.999, 1.0]
    found = Reliability.of("x", p, [False, False, True, True, True, False], bins=10)
    assert [(each.low, each.n) for each in found.bins] == [(0.0, 2), (0.1, 1), (0.5, 1), (0.9, 2)]
    assert sum(each.n for each in found.bins) == found.n == len(p)
    assert found.bins[-1].share == 0.5


@pytest.mark.parametrize(("p", "truth"), [([], []), ([0.5], [True, False])])
def test_nothing_and_unequal_lists_are_refused(p: list[float], truth: list[bool]) -> None:
    with pytest.raises(ValueError, match="probabilities and"):
        Reliability.of("x", p, truth)


def test_the_diagrams_are_drawn(tmp_path: Path) -> None:
    result = ReliabilityResult(tuple(Reliability.of(name, [0.2, 0.7], [False, True]) for name in ("one", "two")))
    plot(result, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.width > 1.5 * picture.height
    assert set(result.to_json()["diagrams"]) == {"one", "two"}
    assert result.to_json()["n"] == 4


def answers(regions: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """60 questions about 20 clips whose answer the fourth feature tells better than the others."""
    torch.manual_seed(0)
    y = (torch.rand(60) < 0.5).float()
    x = torch.randn(60, 4) + y[:, None] * torch.tensor([0.3, 0.3, 0.3, 2.5])
    if not regions:
        x[:, 3] = float("nan")
    return x, y, torch.arange(60) // 3


def test_regions_that_tell_are_used_and_a_clip_left_out_judges_them() -> None:
    x, y, clips = answers(regions=True)
    calibration = calibrated(x, y)
    assert calibration.looks_closer
    assert calibration.closer_regions > 0
    right = {
        closer: float(((left_out(x, y, clips, closer=closer) > 0.5) == (y > 0.5)).float().mean())
        for closer in (False, True)
    }
    assert right[True] > right[False]
    assert right[True] > 0.8


def test_a_tower_without_regions_is_calibrated_without_them() -> None:
    x, y, _ = answers(regions=False)
    calibration = calibrated(x, y)
    assert not calibration.looks_closer
    assert bool(probabilities(calibration, x, closer=False).isfinite().all())
