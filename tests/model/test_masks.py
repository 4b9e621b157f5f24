"""Privacy masks on the real bundle: what lies under one makes no difference to anything."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from llama_vid.memory.journal import Journal
from llama_vid.stream.frame import Frame
from tests.model.test_session import BEGIN, Reel

if TYPE_CHECKING:
    from llama_vid.memory.entry import MemoryEntry
    from llama_vid.model import LLaMAVID

pytestmark = [pytest.mark.model]

LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
SECONDS = 8


def frames(seed: int) -> list[Frame]:
    """A still right half, and a left half that is new with every frame."""
    dice = np.random.default_rng(seed)
    rows = np.linspace(40, 200, 240, dtype=np.uint8)
    made = []
    for second in range(SECONDS):
        image = np.repeat(np.repeat(rows[:, None, None], 320, 1), 3, 2)
        image[:, :156] = dice.integers(0, 256, (240, 156, 3), dtype=np.uint8)
        made.append(Frame(BEGIN + second, image))
    return made


async def test_what_lies_under_a_mask_is_nowhere(model: LLaMAVID, journal: Journal) -> None:
    found: dict[str, tuple[MemoryEntry, ...]] = {}
    for name, seed in (("one", 1), ("other", 2)):
        reel = Reel(frames(seed), ends=False)
        async with asyncio.timeout(60), model.watch(reel, name=name, masks=[LEFT]) as session:
            await session.wait_watched(SECONDS - 0.5)
            found[name] = session._watching.entries
            live, kept = await session.snapshot(), await session.snapshot(BEGIN)
        assert journal.flush()
        for jpeg in (live, kept, journal.camera(name).jpeg(BEGIN)):
            assert jpeg is not None
            image = np.asarray(Image.open(io.BytesIO(jpeg)))
            assert image[:, :150].max() <= 8  # black, but for JPEG's ringing
            assert image[:, 170:].mean() > 80
    one, other = found["one"], found["other"]
    # Nothing moves outside of the mask, so nothing moves; and both cameras have seen the very same.
    assert [(entry.start, entry.frames) for entry in one] == [(entry.start, entry.frames) for entry in other]
    assert sum(entry.frames for entry in one) == SECONDS
    assert len(one) <= 2
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a.embedding, b.embedding, atol=1e-6, rtol=0)
        torch.testing.assert_close(a.pair.context, b.pair.context, atol=1e-6, rtol=0)
