"""Privacy masks hide what they should, at every size, and a masked source gives nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from llama_vid.stream.frame import Frame
from llama_vid.stream.masking import MARGIN, MaskedSource, Masks
from llama_vid.stream.opening import open_source

LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
TRIANGLE = ((0.5, 0.1), (0.9, 0.9), (0.1, 0.9))


def white(height: int, width: int) -> Frame:
    image = np.full((height, width, 3), 255, np.uint8)
    image.flags.writeable = False
    return Frame(1.5, image, gap=True)


@pytest.mark.parametrize(("height", "width"), [(96, 160), (720, 1280), (1280, 720), (7, 5), (1, 1)])
def test_a_box_is_black_and_a_little_more(height: int, width: int) -> None:
    hidden = Masks([LEFT]).hide(white(height, width))
    assert (hidden.seconds, hidden.gap) == (1.5, True)
    assert not hidden.image[:, : width // 2].any()
    beyond = width // 2 + 2 * MARGIN + 1
    assert beyond >= width or hidden.image[:, beyond:].min() == 255
    assert not hidden.image.flags.writeable


def test_every_pixel_that_a_polygon_touches_is_hidden() -> None:
    image = Masks([TRIANGLE]).hide(white(200, 300)).image
    for y in range(200):
        for x in range(300):
            fx, fy = (x + 0.5) / 300, (y + 0.5) / 200
            inside = 0.1 <= fy <= 0.9 and abs(fx - 0.5) <= 0.4 * (fy - 0.1) / 0.8
            assert not (inside and image[y, x].any()), (x, y)
    assert image[:15].min() == 255  # above its tip
    assert image[30, :100].min() == 255


def test_two_masks_and_the_frame_before_stays_as_it_was() -> None:
    frame = white(100, 100)
    image = Masks([LEFT, TRIANGLE]).hide(frame).image
    assert frame.image.min() == 255
    assert image[60, 20].max() == 0
    assert image[60, 55].max() == 0
    assert image[5, 95].min() == 255


async def test_a_masked_source_gives_only_masked_frames(counting_video: Path) -> None:
    source = MaskedSource(open_source(counting_video, live=False), [LEFT])
    states: list[str] = []
    source.on_state(lambda state, _: states.append(state))
    async with asyncio.timeout(20), source:
        first, second = await source.recv(), await source.recv()
    for frame in (first, second):
        width = frame.image.shape[1]
        assert frame.image[:, : width // 2].max() == 0
        assert frame.image[:, width // 2 + 8 :].max() > 100
    assert second.seconds == first.seconds + 1
    assert source.stats.frames == 2
    assert states[0] == "live"
    assert source.state == "ended"
