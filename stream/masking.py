"""Privacy masks: parts of a camera's picture that are blacked out before anything sees them.

A `MaskedSource` stands in front of a camera's source. Whatever takes frames from it (the image tower, the motion gate,
alert rules, kept pictures, the live view) gets them with the masked parts black: what lay under a mask exists nowhere
outside of `stream/`, so that no answer, picture or embedding can hold it. Sound is not masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from llama_vid.stream.frame import Frame
from llama_vid.stream.source import Source, SourceState, SourceStats, StateCallback
from llama_vid.stream.view import View

#: The corners of a polygon, each (x, y) in 0…1 from the top left of the upright picture.
Corners = tuple[tuple[float, float], ...]

#: Pixels that a mask reaches beyond its line: a decoder smears colour over two (4:2:0), and scaling over one more.
MARGIN: Final = 2
#: Sizes of pictures whose masks are kept painted: a camera has one, two when it turns between night and day.
SIZES: Final = 4


class Masks:
    """Polygons painted over pictures of any size."""

    def __init__(self, polygons: Sequence[Corners]) -> None:
        self.polygons = tuple(polygons)
        self._painted: dict[tuple[int, int], npt.NDArray[np.bool_]] = {}

    def painted(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """Which pixels (height, width, 1) are hidden: all that a polygon touches, and MARGIN more around it."""
        known = self._painted.get((height, width))
        if known is None:
            while len(self._painted) >= SIZES:
                del self._painted[next(iter(self._painted))]
            known = self._painted[height, width] = self._paint(height, width)
        return known

    def hide(self, frame: Frame) -> Frame:
        """The frame with what is hidden black; its image is a new one, not to be written to."""
        image = frame.image.copy()
        np.copyto(image, np.uint8(0), where=self.painted(*image.shape[:2]))
        image.flags.writeable = False
        return replace(frame, image=image)

    def _paint(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        canvas = Image.new("1", (width, height))
        draw = ImageDraw.Draw(canvas)
        for corners in self.polygons:
            points = [(x * (width - 1), y * (height - 1)) for x, y in corners]
            draw.polygon(points, fill=1, outline=1)
            draw.line([*points, points[0]], fill=1, width=2 * MARGIN + 1, joint="curve")
        return np.asarray(canvas, dtype=bool)[:, :, None]


class MaskedSource:
    """A source whose frames are masked; everything else is as the source has it."""

    def __init__(self, source: Source, polygons: Sequence[Corners], view: View | None = None) -> None:
        """`view`, which is shown to WHEP viewers, gets the masked frames and nothing else."""
        self._source, self._masks, self._view = source, Masks(polygons), view

    async def __aenter__(self) -> Self:
        await self._source.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._source.__aexit__(kind, error, trace)

    async def recv(self) -> Frame:
        """The source's next frame, masked. Raises as the source does; a frame that cannot be masked is never given."""
        frame = self._masks.hide(await self._source.recv())
        if self._view is not None and self._view.due:
            self._view.show_image(frame.image)
        return frame

    @property
    def state(self) -> SourceState:
        return self._source.state

    @property
    def stats(self) -> SourceStats:
        return self._source.stats

    def on_state(self, callback: StateCallback) -> None:
        self._source.on_state(callback)
