"""Videos and cameras for the tests of `stream/`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import rtsp
from tests.peers.video import make_video


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for videos that several tests read."""
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="session")
def ten_seconds(films: Path) -> Path:
    """A 10-second H.264 file, 25 pictures a second, a key frame every 2 seconds; each picture shows its time."""
    return make_video(films / "ten.mp4")


@pytest.fixture(scope="session")
def camera_film(films: Path) -> Path:
    """The film that RTSP cameras loop: a minute, so that no test sees it begin again."""
    return make_video(films / "camera.mp4", seconds=60, fps=10, group=10)


@pytest.fixture
def camera(camera_film: Path) -> Iterator[rtsp.RtspCamera]:
    """A running RTSP camera without a password."""
    why = rtsp.missing()
    if why:
        pytest.skip(why)
    with rtsp.RtspCamera(camera_film) as running:
        yield running


@pytest.fixture
def locked_camera() -> Iterator[rtsp.RtspCamera]:
    """A running RTSP camera that wants a user name and a password."""
    why = rtsp.missing()
    if why:
        pytest.skip(why)
    with rtsp.RtspCamera(user="bob", password="open-sesame") as running:
        yield running
