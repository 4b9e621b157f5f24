"""The sample films cut into cameras for pictures of the page: quiet spells between what happens, and 16 to 9."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

SIZE = (640, 360)
RATE = 12  # pictures a second


@dataclass(frozen=True, slots=True)
class Take:
    """The pictures `first` to `last` of a film, played over `seconds`; with `last` like `first`, one that stands."""

    first: int
    last: int
    seconds: float


#: A street: a taxi comes and stands, a cyclist waits, somebody passes, and all is quiet again.
STREET = (
    Take(52, 52, 4),
    Take(52, 76, 4),
    Take(76, 76, 7),
    Take(112, 134, 6),
    Take(30, 50, 4),
    Take(52, 52, 9),
)
#: A meadow: its animal comes out of its hole, stretches, and stands.
MEADOW = (Take(0, 0, 7), Take(0, 132, 9), Take(132, 132, 9))


def write_montage(film: Path, takes: tuple[Take, ...], path: Path) -> Path:
    """A film of these takes, one after another."""
    with av.open(str(film)) as source:
        pictures = [_fitted(frame) for frame in source.decode(video=0)]
    with av.open(str(path), "w") as target:
        out = target.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "20", "g": str(RATE)})
        out.width, out.height, out.pix_fmt = *SIZE, "yuv420p"
        for take in takes:
            for number in np.linspace(take.first, take.last, round(take.seconds * RATE)).round().astype(int):
                picture = pictures[min(int(number), len(pictures) - 1)]
                target.mux(out.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        target.mux(out.encode(None))
    return path


def _fitted(frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """The middle of a picture, 16 to 9, in SIZE."""
    wide = min(frame.width, round(frame.height * SIZE[0] / SIZE[1]))
    left = (frame.width - wide) // 2
    cut = np.ascontiguousarray(frame.to_ndarray(format="rgb24")[:, left : left + wide], dtype=np.uint8)
    return av.VideoFrame.from_ndarray(cut, format="rgb24").reformat(*SIZE).to_ndarray()
