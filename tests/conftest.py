"""What every test may use: the evaluation data if it is there, and a video that paints its own seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from evaluation.run import data_folder

ROOT = Path(__file__).resolve().parent.parent

VideoMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def data() -> Path:
    """The evaluation data's folder; the test is skipped where there is none."""
    folder = data_folder()
    if folder is None:
        pytest.skip("no evaluation data: set LLAMA_VID_DATA to its folder")
    return folder


def painted(seconds: int, *, width: int = 160, height: int = 96) -> npt.NDArray[np.uint8]:
    """An RGB picture (height, width, 3) that says which second it shows: eight blocks, black or white, are its bits."""
    image = np.full((height, width, 3), (40, 90, 150), dtype=np.uint8)
    block = width // 8
    for bit in range(8):
        if seconds >> bit & 1:
            image[height // 2 :, bit * block : (bit + 1) * block] = 255
        else:
            image[height // 2 :, bit * block : (bit + 1) * block] = 0
    return image


def read_second(image: npt.NDArray[np.uint8]) -> int:
    """The second that `painted` drew into an RGB picture of any size."""
    height, width = image.shape[:2]
    rows = image[int(height * 0.7) : int(height * 0.9)]
    block = width / 8
    bits = [rows[:, int((bit + 0.3) * block) : int((bit + 0.7) * block)].mean() > 127 for bit in range(8)]
    return sum(1 << bit for bit, is_set in enumerate(bits) if is_set)


def write_video(path: Path, images: list[npt.NDArray[np.uint8]], *, each_s: float = 1.0, fps: int = 5) -> Path:
    """An H.264 file that shows every picture for `each_s` seconds at `fps` frames a second."""
    import av

    height, width = images[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in images:
            for _ in range(round(each_s * fps)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def counting_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 10-second video (160×96, 5 frames a second) that paints each frame with its own second."""
    return write_video(tmp_path_factory.mktemp("video") / "counting.mp4", [painted(s) for s in range(10)])
