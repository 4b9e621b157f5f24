"""Decoding a live stream's pictures on a GPU or video chip, where FFmpeg and the machine have one; in software else.

    auto    the first of cuda and vaapi whose device opens; nothing is said where none does
    cpu     software
    cuda    NVIDIA's decoder (NVDEC); vaapi: Intel's and AMD's. Software, with one line in the log, where it cannot be

Decoded pictures come back into the machine's memory, small ones after scaling are what the tower gets. A codec that the
device does not know is decoded in software by PyAV itself. Source: PyAV 18, `av.codec.hwaccel`; a packaged PyAV has
cuda, and vaapi only where its FFmpeg was built with it.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Final, Literal

import av
from av.codec import Codec
from av.codec.hwaccel import HWAccel, hwdevices_available

logger = logging.getLogger(__name__)

Decoder = Literal["auto", "cpu", "cuda", "vaapi"]
#: What `auto` tries, in this order.
DEVICES: Final = ("cuda", "vaapi")


@cache
def unusable(kind: str) -> str:
    """Why a kind of device cannot decode here; empty if it can. Opens the device once."""
    if kind not in hwdevices_available():
        return "this FFmpeg was built without it"
    try:
        HWAccel(kind, allow_software_fallback=False).create(Codec("h264", "r"))
    except (av.FFmpegError, OSError, NotImplementedError, RuntimeError, ValueError) as problem:
        return f"its device does not open ({type(problem).__name__})"
    return ""


class Hardware:
    """What one source decodes with. `accel()` is for each new container; None means software."""

    def __init__(self, decoder: Decoder, shown: str) -> None:
        self._decoder, self._shown, self._told = decoder, shown, False

    def accel(self) -> HWAccel | None:
        """The device to hand to `av.open`, or None; says once if the one that was asked for cannot be used."""
        if self._decoder == "cpu":
            return None
        if self._decoder == "auto":
            kind = next((kind for kind in DEVICES if not unusable(kind)), None)
        elif reason := unusable(self._decoder):
            kind = None
            if not self._told:
                self._told = True
                logger.warning("%s is decoded in software: %s cannot be used, %s", self._shown, self._decoder, reason)
        else:
            kind = self._decoder
        return None if kind is None else HWAccel(kind, allow_software_fallback=True)
