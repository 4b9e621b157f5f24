"""Changes of picture: slides are told from noise and from a speaker who moves."""

from __future__ import annotations

import numpy as np

from llama_vid.stream.cuts import picture_changes
from llama_vid.stream.frame import Frame


def slide(seed: int, second: int, noise: np.random.Generator) -> Frame:
    """A white slide with lines of text, a speaker who sways in the corner, and a camera's noise."""
    rng = np.random.default_rng(seed)
    image = np.full((180, 320, 3), 235, dtype=np.int16)
    for row in range(20, 150, 18):
        image[row : row + 9, 20 : 20 + int(rng.integers(60, 220))] = 30
    sway = second % 4 * 3
    image[120:180, 270 + sway : 300 + sway] = 120
    image += noise.normal(0, 4, image.shape).astype(np.int16)
    return Frame(float(second), image.clip(0, 255).astype(np.uint8))


def test_every_new_slide_and_nothing_else() -> None:
    noise = np.random.default_rng(1)
    shown = [slide(second // 25, second, noise) for second in range(100)]
    assert picture_changes(shown) == [25.0, 50.0, 75.0]


def test_a_film_that_always_moves_has_no_slides() -> None:
    rng = np.random.default_rng(2)
    frames = [Frame(float(n), rng.integers(0, 255, (90, 160, 3), dtype=np.uint8)) for n in range(20)]
    assert picture_changes(frames) == []
    assert picture_changes([]) == []
