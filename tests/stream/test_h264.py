"""H.264 of real encoders and containers, rewritten for WebRTC, is still what a decoder wants."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from llama_vid.stream.h264 import Rewriter, begins_anew, kind, units
from tests.peers.video import make_video, painted_seconds


def packets_of(path: Path) -> tuple[bytes, list[tuple[bytes, float, bool]]]:
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        assert stream.time_base is not None
        extradata = bytes(stream.codec_context.extradata or b"")
        found = [
            (bytes(packet), float(packet.pts * stream.time_base), packet.is_keyframe)
            for packet in film.demux(stream)
            if packet.size and packet.pts is not None
        ]
    return extradata, found


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".flv"])
def test_any_container_becomes_annex_b_that_begins_with_its_parameter_sets(tmp_path: Path, suffix: str) -> None:
    path = make_video(tmp_path / f"film{suffix}", seconds=1, b_frames=0, group=10)
    extradata, packets = packets_of(path)
    rewriter = Rewriter(extradata)
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    shown = []
    for data, seconds, key in packets:
        annex_b = rewriter.rewrite(data, seconds, key=key)
        assert annex_b.startswith((b"\0\0\0\1", b"\0\0\1"))
        if key:
            kinds = [kind(unit) for unit in units(annex_b)]
            assert kinds.index(7) < kinds.index(8) < kinds.index(5)
            assert kinds.count(7) == 1
        assert begins_anew(annex_b) == key
        shown += decoder.decode(av.Packet(annex_b))
    shown += decoder.decode(None)
    assert rewriter.passable
    assert len(shown) == 25
    assert painted_seconds(shown[20].to_ndarray(format="rgb24")) == pytest.approx(0.8)


def test_pictures_out_of_order_are_not_passed(tmp_path: Path) -> None:
    extradata, packets = packets_of(make_video(tmp_path / "film.mp4", seconds=1, b_frames=2))
    rewriter = Rewriter(extradata)
    assert rewriter.passable  # until it is seen
    for data, seconds, key in packets:
        rewriter.rewrite(data, seconds, key=key)
    assert not rewriter.passable


def test_profiles_that_browsers_do_not_know_are_not_passed(tmp_path: Path) -> None:
    extradata, _ = packets_of(make_video(tmp_path / "film.mp4", seconds=1, size=(191, 107), b_frames=0))
    assert not Rewriter(extradata).passable  # 4:4:4, since the sides are odd
    assert not Rewriter(b"").passable  # nothing is known yet


@pytest.mark.parametrize(
    "box", [b"\1", b"\1\x64\0\x1f\xff\xe1", b"\1\x64\0\x1f\xff\xe1\xff\xff\x67", b"\0\0\1", b"\0" * 9]
)
def test_broken_boxes_and_packets_are_no_crash(box: bytes) -> None:
    rewriter = Rewriter(box)
    for data in (b"", b"\0", b"\0\0\0\1", b"\xff" * 20, b"\0\0\1\x65\0\0\1"):
        rewriter.rewrite(data, 0.0, key=True)
        begins_anew(data)
