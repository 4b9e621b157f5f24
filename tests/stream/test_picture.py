"""Pictures come out upright, with square pixels and bounded size."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from llama_vid.stream.file import FileSource
from llama_vid.stream.picture import to_rgb, upright
from tests.peers.video import make_video, paint, painted_seconds

ONE = 1 << 16
LETTER = np.arange(6, dtype=np.uint8).reshape(2, 3, 1).repeat(3, axis=2)


@pytest.mark.parametrize(
    ("matrix", "rows"),
    [
        (None, [[0, 1, 2], [3, 4, 5]]),
        ((ONE, 0, 0, ONE), [[0, 1, 2], [3, 4, 5]]),
        ((-ONE, 0, 0, ONE), [[2, 1, 0], [5, 4, 3]]),  # mirrored
        ((ONE, 0, 0, -ONE), [[3, 4, 5], [0, 1, 2]]),  # upside down and mirrored
        ((-ONE, 0, 0, -ONE), [[5, 4, 3], [2, 1, 0]]),  # half a turn
        ((0, ONE, -ONE, 0), [[3, 0], [4, 1], [5, 2]]),  # a quarter turn clockwise
        ((0, -ONE, ONE, 0), [[2, 5], [1, 4], [0, 3]]),  # a quarter turn back
        ((0, ONE, ONE, 0), [[0, 3], [1, 4], [2, 5]]),  # transposed
    ],
)
def test_display_matrices(matrix: tuple[int, int, int, int] | None, rows: list[list[int]]) -> None:
    assert upright(LETTER, matrix)[..., 0].tolist() == rows


@pytest.mark.parametrize(
    ("width", "height", "aspect", "shape"),
    [
        (320, 180, 1.0, (180, 320)),
        (2560, 1440, 1.0, (720, 1280)),
        (720, 576, 16 / 11, (576, 1047)),
        (720, 480, 8 / 9, (540, 720)),
        (4000, 2, 1.0, (1, 1280)),
        (101, 77, 1.0, (77, 101)),
    ],
)
def test_sizes(width: int, height: int, aspect: float, shape: tuple[int, int]) -> None:
    picture = av.VideoFrame.from_ndarray(np.full((height, width, 3), 77, dtype=np.uint8), format="rgb24")
    image = to_rgb(picture, pixel_aspect=aspect)
    assert image.shape == (*shape, 3)
    assert int(image.min()) == int(image.max()) == 77
    assert not image.flags.writeable


def test_colours_survive() -> None:
    colours = np.zeros((40, 120, 3), dtype=np.uint8)
    colours[:, :40, 0] = colours[:, 40:80, 1] = colours[:, 80:, 2] = 255
    picture = av.VideoFrame.from_ndarray(colours, format="rgb24").reformat(format="yuv420p")
    image = to_rgb(picture)
    assert [int(np.argmax(image[20, x])) for x in (20, 60, 100)] == [0, 1, 2]


def test_mirrored_film(tmp_path: Path) -> None:
    path = tmp_path / "mirrored.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=5, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 192, 108, "yuv420p"
        stream.set_display_rotation(0, hflip=True)
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(paint(4321)[:, ::-1]), format="rgb24")
        picture.pts, picture.time_base = 0, Fraction(1, 5)
        out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    (frame,) = FileSource(path)
    assert painted_seconds(frame.image) == 4.321


def test_a_turned_film_is_upright_and_wide(tmp_path: Path) -> None:
    (frame,) = FileSource(make_video(tmp_path / "phone.mp4", seconds=0.2, turn=90))
    assert frame.image.shape == (108, 192, 3)
