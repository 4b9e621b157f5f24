"""Kept pictures: bounded in memory, thinned while nothing moves, and in the journal where there is one."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from llama_vid import pictures
from llama_vid.memory.journal import Journal
from llama_vid.pictures import Pictures


def shade(level: int) -> npt.NDArray[np.uint8]:
    return np.full((64, 96, 3), level, np.uint8)


def level(jpeg: bytes | None) -> int:
    assert jpeg is not None
    return round(float(np.asarray(Image.open(io.BytesIO(jpeg))).mean()))


def test_pictures_in_memory_are_bounded_and_old_ones_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "BYTES", 200_000)
    kept = Pictures()
    dice = np.random.default_rng(1)
    for second in range(200):
        kept.see(float(second), dice.integers(0, 255, (64, 96, 3), np.uint8), moving=True)
        assert kept._bytes <= 200_000
    assert kept._seconds == sorted(kept._seconds)
    assert (kept._seconds[0], kept._seconds[-1]) == (0.0, 199.0)
    assert kept.nearest(0.2) == kept._data[0]
    assert kept.nearest(None) == kept._data[-1]


def test_fewer_pictures_are_kept_the_longer_nothing_moves() -> None:
    kept = Pictures()
    for second in range(3600):
        kept.see(float(second), shade(90), moving=second < 5)
    first = [second for second in kept._seconds if second < 100]
    last = [second for second in kept._seconds if second >= 3000]
    assert 10 <= len(first) <= 15
    assert 9 <= len(last) <= 11


def test_with_a_journal_pictures_of_the_past_are_read_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "BYTES_BESIDE_JOURNAL", 3_000)
    with Journal(tmp_path) as journal:
        kept = Pictures(journal.camera("front"))
        for second in range(50):
            kept.see(1_700_000_000.0 + second, shade(100 + second), moving=True)
        assert kept._bytes <= 3_000
        assert journal.flush()
        assert level(kept.nearest(1_700_000_003.2)) == 103
        assert level(kept.nearest(1_700_000_048.9)) == 149
        assert level(kept.nearest(None)) == 149
        kept.show(1_700_000_060.0, shade(10))
        assert level(kept.nearest(None)) == 10
    with Journal(tmp_path) as journal:  # the next run has them from the start
        again = Pictures(journal.camera("front"))
        assert level(again.nearest(1_700_000_003.2)) == 103
        assert level(again.nearest(None)) == 149


def test_nothing_seen_is_no_picture(tmp_path: Path) -> None:
    assert Pictures().nearest(None) is None
    assert Pictures().nearest(5.0) is None
    with Journal(tmp_path) as journal:
        assert Pictures(journal.camera("front")).nearest(5.0) is None
