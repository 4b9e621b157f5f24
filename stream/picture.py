"""From a decoded picture to an upright RGB array of bounded size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np
import numpy.typing as npt
from av import VideoFrame
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType

#: The longest side of a picture that leaves `stream/`: four times what image towers take, and 5 MB at most.
LONGEST_SIDE = 1280

Rgb = npt.NDArray[np.uint8]


def to_rgb(picture: VideoFrame, *, longest_side: int = LONGEST_SIDE, pixel_aspect: float = 1.0) -> Rgb:
    """(height, width, 3) uint8, upright, with square pixels, no side longer than `longest_side`; not writable.

    `pixel_aspect` is a pixel's width over its height as the container states it. The scaling happens while converting,
    so a large picture never exists in RGB.
    """
    width, height = float(picture.width), float(picture.height)
    if pixel_aspect > 1:
        width *= pixel_aspect
    elif pixel_aspect < 1:
        height /= pixel_aspect
    scale = min(1.0, longest_side / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    converted = picture.reformat(width=size[0], height=size[1], format="rgb24", interpolation="AREA", threads=1)
    image: Rgb = np.asarray(converted.to_ndarray(), dtype=np.uint8)
    image = np.ascontiguousarray(upright(image, display_matrix(picture)))
    image.flags.writeable = False
    return image


def display_matrix(picture: VideoFrame) -> tuple[int, int, int, int] | None:
    """(a, b, c, d) of the picture's display matrix, or None where it has none.

    FFmpeg's libavutil/display.h: a point (p, q) goes to (a p + c q, b p + d q); nine int32, a b u c d v x y w.
    """
    # PyAV's stubs say TypedDict; what comes is a container that iterates over its items.
    items = cast("Iterable[SideData]", picture.side_data)
    data = next((bytes(item) for item in items if item.type == SideDataType.DISPLAYMATRIX), b"")
    if len(data) < 36:
        return None
    numbers = np.frombuffer(data[:36], dtype="=i4")
    return int(numbers[0]), int(numbers[1]), int(numbers[3]), int(numbers[4])


def upright(image: Rgb, matrix: tuple[int, int, int, int] | None) -> Rgb:
    """`image` turned and mirrored as the display matrix says, to the nearest quarter turn."""
    if matrix is None:
        return image
    a, b, c, d = matrix
    if abs(b) > abs(a):
        image = image.transpose(1, 0, 2)
        right, down = c, b
    else:
        right, down = a, d
    if right < 0:
        image = image[:, ::-1]
    if down < 0:
        image = image[::-1]
    return image
