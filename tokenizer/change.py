"""How much a frame changed: from small luma pictures, so that sensor noise and slow light changes count as nothing.

Deep features are the wrong place to ask: Gaussian noise of 3 grey levels moves EfficientNet's last features by a cosine
distance of 0.1–0.45, as much as a walking person does. Averaging 5×5 pixels divides that noise by five, a person stays.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

GRID: Final = 52  # cells along an edge: 5 pixels of a 260-pixel frame each
FLOOR, CEILING = 4.0, 14.0  # grey levels: below FLOOR no cell counts as changed, above CEILING every one does
FULL: Final = 0.25  # share of changed cells at which the energy is 1


def luma_grid(pixels: Tensor) -> Tensor:
    """Mean luma (B, GRID, GRID) float32 in 0…255 of RGB pixels (B, 3, S, S) uint8 (ITU-R BT.601 weights)."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=pixels.device).view(1, 3, 1, 1)
    luma = (pixels.float() * weights).sum(1, keepdim=True)
    return torch.nn.functional.adaptive_avg_pool2d(luma, GRID).squeeze(1)


def change_energy(now: Tensor, before: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Energy in 0…1 (B,) of the change between luma grids (B, GRID, GRID); 0 for equal scenes under another light.

    `ignored` (GRID, GRID) bool are cells whose change counts as nothing (see `stillness.py`).
    """
    return energy_of(changed_cells(now, before), ignored)


def changed_cells(now: Tensor, before: Tensor) -> Tensor:
    """Which cells changed (B, GRID, GRID) bool between luma grids (B, GRID, GRID).

    A gain and an offset common to all cells are taken out first; a cell has changed where the rest exceeds four robust
    standard deviations of the noise that most cells show.
    """
    a, b = before.flatten(1), now.flatten(1)
    spread_a, spread_b = a.std(1, keepdim=True), b.std(1, keepdim=True)
    gain = (spread_b / spread_a.clamp(min=1.0)).clamp(0.8, 1.25)
    rest = b - gain * a
    rest = (rest - rest.median(1, keepdim=True).values).abs()
    plain = (b - a).abs()
    rest = torch.minimum(rest, plain)  # a light that did not change needs no correction
    noise = 1.4826 * rest.median(1, keepdim=True).values
    return (rest > (4 * noise).clamp(FLOOR, CEILING)).view_as(now)


def energy_of(changed: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Energy in 0…1 (B,) of changed cells (B, GRID, GRID) bool, without the `ignored` (GRID, GRID) ones."""
    if ignored is not None:
        changed = changed & ~ignored
    return (changed.flatten(1).float().mean(1) / FULL).clamp(0, 1).sqrt()
