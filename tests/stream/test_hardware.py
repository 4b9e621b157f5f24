"""Decoding on a device: what cannot be had is told once, and pictures come all the same."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import av
import pytest
from av.codec.hwaccel import HWAccel, hwdevices_available

from llama_vid.stream import hardware
from llama_vid.stream.demux import open_container, video_stream
from llama_vid.stream.hardware import Decoder, Hardware, unusable
from llama_vid.stream.live import LiveSource
from llama_vid.stream.urls import parse_url
from tests.conftest import painted, write_video
from tests.peers.rtsp import RtspCamera
from tests.peers.video import painted_seconds


@pytest.fixture(autouse=True)
def looked_at_anew() -> None:
    unusable.cache_clear()


def test_software_is_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "unusable", lambda _kind: "")
    assert Hardware("cpu", "a camera").accel() is None


def test_a_device_that_is_not_there_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    kind: Decoder = "vaapi" if "vaapi" not in hwdevices_available() else "cuda"
    if not unusable(kind):
        pytest.skip(f"this machine decodes with {kind}")
    chosen = Hardware(kind, "rtsp://camera/front")
    with caplog.at_level(logging.WARNING):
        assert chosen.accel() is None
        assert chosen.accel() is None
    (said,) = [record.message for record in caplog.records if "decoded in software" in record.message]
    assert said.startswith(f"rtsp://camera/front is decoded in software: {kind} cannot be used, ")


def test_automatic_choice_says_nothing(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with caplog.at_level(logging.DEBUG):
        monkeypatch.setattr(hardware, "unusable", lambda _kind: "none here")
        assert Hardware("auto", "a camera").accel() is None
        monkeypatch.setattr(hardware, "unusable", lambda kind: "" if kind == "vaapi" else "none here")
        assert isinstance(Hardware("auto", "a camera").accel(), HWAccel)
    assert not caplog.records


def test_a_device_is_opened_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "hwdevices_available", lambda: ["cuda", "vaapi"])

    class Refusing:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def create(self, _codec: Any) -> None:
            raise av.error.PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(hardware, "HWAccel", Refusing)
    assert unusable("cuda") == "its device does not open (PermissionError)"
    monkeypatch.setattr(hardware, "hwdevices_available", list)
    unusable.cache_clear()
    assert unusable("cuda") == "this FFmpeg was built without it"


def test_a_codec_that_the_device_does_not_know_is_decoded_in_software(tmp_path: Path) -> None:
    """PyAV's own way back, which `Hardware` leans on: a device type that this FFmpeg has no decoder for."""
    film = write_video(tmp_path / "film.mp4", [painted(number) for number in range(3)])
    accel = HWAccel("vaapi", allow_software_fallback=True)
    with open_container(parse_url(str(film)), hwaccel=accel) as container:
        stream = video_stream(container, parse_url(str(film)))
        if stream.codec_context.is_hwaccel:
            pytest.skip("this machine decodes with vaapi")
        pictures = list(container.decode(stream))
    assert {picture.format.name for picture in pictures} == {"yuv420p"}
    assert len(pictures) >= 3


@pytest.mark.peer
@pytest.mark.parametrize("decoder", ["auto", "cuda", "vaapi"])
async def test_pictures_flow_whatever_was_asked_for(
    camera: RtspCamera, decoder: Decoder, caplog: pytest.LogCaptureFixture
) -> None:
    async with LiveSource(camera.url, decoder=decoder) as source:
        frame = await source.recv()
    assert painted_seconds(frame.image) >= 0
    told = [record for record in caplog.records if "decoded in software" in record.message]
    assert len(told) == (decoder != "auto" and bool(unusable(decoder)))
