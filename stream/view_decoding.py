"""Packets of any codec to the small pictures that are encoded for viewers."""

from __future__ import annotations

from collections.abc import Sequence

import av
from av import CodecContext, Packet, VideoFrame
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from llama_vid.stream.view import Coding
from llama_vid.stream.view_queues import Part


def coding_of(stream: VideoStream) -> Coding:
    """How a stream's packets are coded, as far as its container says."""
    context = stream.codec_context
    return Coding(
        context.name,
        bytes(context.extradata or b""),
        context.width,
        context.height,
        context.pix_fmt,
        reordered=context.has_b_frames,
    )


class Decoder:
    """Decodes one connection's packets, and gives the newest picture of those that came together. Used in threads,
    one at a time.
    """

    def __init__(self, coding: Coding, longest_side: int) -> None:
        self._coding, self._longest_side = coding, longest_side
        self._context: VideoCodecContext | None = None

    def decode(self, parts: Sequence[Part], *, wanted: bool) -> list[VideoFrame]:
        """Every part must be decoded; the one picture that this gives is only made when it is `wanted`."""
        newest: VideoFrame | None = None
        for part in parts:
            packet = Packet(part.data)
            packet.is_keyframe = part.key
            try:
                found = self._opened().decode(packet)
            except (av.FFmpegError, ValueError):
                continue  # a lost packet spoils pictures until the next key frame
            newest = found[-1] if found else newest
        return [fit(newest, self._longest_side)] if newest is not None and wanted else []

    def _opened(self) -> VideoCodecContext:
        if self._context is None:
            coding = self._coding
            context = CodecContext.create(coding.codec, "r")
            assert isinstance(context, VideoCodecContext)
            # What comes of H.264 is Annex B by now, with its parameter sets inside.
            if coding.extradata and coding.codec != "h264":
                context.extradata = coding.extradata
            if coding.width and coding.height:
                context.width, context.height = coding.width, coding.height
            if coding.pixels is not None:
                context.pix_fmt = coding.pixels
            context.thread_count = 1
            self._context = context
        return self._context


def fit(picture: VideoFrame, longest_side: int) -> VideoFrame:
    """The picture in yuv420p with even sides, none longer than `longest_side`; its own copy of the pixels."""
    scale = min(1.0, longest_side / max(picture.width, picture.height))
    width, height = (max(2, round(side * scale / 2) * 2) for side in (picture.width, picture.height))
    if (picture.width, picture.height, picture.format.name) == (width, height, "yuv420p"):
        return VideoFrame.from_ndarray(picture.to_ndarray(), format="yuv420p")
    return picture.reformat(width=width, height=height, format="yuv420p", interpolation="AREA", threads=1)
