"""Slides are read where the extra is installed; their title is the largest line at the top."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from llama_vid.errors import BundleError
from llama_vid.tokenizer.slides import SlideLine, SlideReader, slide_title

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
INSTALLED = importlib.util.find_spec("rapidocr") is not None


def slide(title: str, *lines: str) -> np.ndarray:
    """A white slide of 960×540."""
    picture = Image.new("RGB", (960, 540), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((60, 40), title, font=ImageFont.truetype(FONT, 52), fill="black")
    for n, line in enumerate(lines):
        draw.text((90, 170 + 70 * n), line, font=ImageFont.truetype(FONT, 28), fill=(40, 40, 60))
    return np.asarray(picture)


@pytest.mark.skipif(not INSTALLED, reason='RapidOCR is not installed: pip install "llama-vid-live[ocr]"')
def test_a_slide_is_read_from_the_top_down() -> None:
    reader = SlideReader.load()
    lines = reader.read(slide("The Block Books", "Wood blocks engraved in relief", "Movable metal letters"))
    assert [line.text for line in lines] == [
        "The Block Books",
        "Wood blocks engraved in relief",
        "Movable metal letters",
    ]
    assert slide_title(lines) == "The Block Books"
    assert lines[0].top == pytest.approx(45 / 540, abs=0.03)
    assert reader.read(np.zeros((270, 480, 3), np.uint8)) == ()


@pytest.mark.skipif(INSTALLED, reason="RapidOCR is installed")
def test_without_the_extra_it_says_how_to_get_it() -> None:
    with pytest.raises(BundleError, match="ocr"):
        SlideReader.load()


def test_the_title_is_the_largest_line_at_the_top() -> None:
    small, large = SlideLine("University of X", 0.02, 0.1, 0.03), SlideLine("Printing", 0.1, 0.1, 0.09)
    foot = SlideLine("BIG FOOTER", 0.9, 0.1, 0.2)
    assert slide_title([small, large, foot]) == "Printing"
    assert slide_title([foot]) is None
    assert slide_title([]) is None
