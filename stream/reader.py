"""The thread that reads one connection of a live source. It may hang in FFmpeg for ever; its owner then abandons it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import av
from av import VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream

from llama_vid.errors import SourceError
from llama_vid.stream.demux import explain, open_container, video_stream
from llama_vid.stream.frame import Frame
from llama_vid.stream.gate import Gate
from llama_vid.stream.picture import to_rgb
from llama_vid.stream.urls import SourceUrl


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a live source may take: to open, between two packets (stall) or two pictures, and to take a call."""

    open: float = 10.0
    stall: float = 5.0
    picture: float = 20.0
    dial: float = 3.0


class KeyFrames:
    """Notices when key frames alone come often enough, so that nothing else needs decoding (a tenth of the work)."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._latest: float | None = None
        self._close = 0
        self._only = False

    def needs(self, is_key: bool, raw: float | None) -> bool:
        """Whether the packet with stamp `raw` must be decoded."""
        if raw is None:
            self._only = False if is_key else self._only
            return is_key or not self._only
        if is_key:
            dense = self._latest is not None and 0 < raw - self._latest <= 1.05 * self._period
            self._close = self._close + 1 if dense else 0
            self._latest = raw
            # Changed only at key frames: decoding cannot be taken up again in between.
            self._only = self._close >= 3
        return is_key or not self._only


class Reader(threading.Thread):
    """Opens `url` once and reads until it ends, fails, is stopped, or for ever.

    `deliver` gets every sampled frame and `finish` one redacted reason at the end, both in this thread.
    """

    def __init__(
        self,
        url: SourceUrl,
        gate: Gate,
        generation: int,
        *,
        fps: float,
        limits: Limits,
        deliver: Callable[[Frame], None],
        finish: Callable[[str], None],
    ) -> None:
        # A daemon: a read that hangs must not keep the program from ending.
        super().__init__(name=f"reader {url.kind} {generation}", daemon=True)
        self._url, self._gate, self._generation = url, gate, generation
        self._limits, self._deliver, self._finish = limits, deliver, finish
        self._keys = KeyFrames(1 / fps)
        self._stopped = threading.Event()
        self.started_at = time.monotonic()
        self.packet_at: float | None = None
        self.picture_at: float | None = None

    def stop(self) -> None:
        """Ask the thread to end at the next packet; it does not when it hangs."""
        self._stopped.set()

    def overdue(self, now: float) -> str:
        """What this connection has failed to do in time, in words; empty while it is well."""
        limits = self._limits
        if self.packet_at is None:
            late, what = now - self.started_at > limits.open, f"nothing came within {limits.open:g} s of connecting"
        elif now - self.packet_at > limits.stall:
            late, what = True, f"nothing came for {limits.stall:g} s"
        else:
            since = self.picture_at or self.started_at
            late, what = now - since > limits.picture, f"no picture could be decoded for {limits.picture:g} s"
        return f"{self._url.shown} is silent: {what}." if late else ""

    def run(self) -> None:
        reason = f"{self._url.shown} ended the stream."
        try:
            self._dial()
            # FFmpeg's own time limits are twice the watchdog's: they clean up behind it, where they work at all.
            opening, reading = 2 * self._limits.open, 2 * self._limits.stall
            with open_container(self._url, open_timeout=opening, read_timeout=reading) as container:
                self._read(container, video_stream(container, self._url))
        except SourceError as error:
            reason = str(error)
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = explain(error, self._url)
        self._finish(reason)

    def _dial(self) -> None:
        """Call the camera once before FFmpeg does: FFmpeg waits longer and does not say what went wrong."""
        if self._url.kind != "rtsp":
            return
        shown, host = self._url.shown, self._url.host
        try:
            socket.create_connection((host, self._url.port), timeout=self._limits.dial).close()
        except socket.gaierror:
            raise SourceError(
                f"{shown} is unreachable: no host of the name {host} is known; check the address."
            ) from None
        except OSError as error:
            raise SourceError(explain(error, self._url)) from None

    def _read(self, container: InputContainer, stream: VideoStream) -> None:
        context = stream.codec_context
        context.thread_count = 1  # more threads only add delay: live decoding waits for the network
        unit = float(stream.time_base or 0) or 1 / 90_000
        aspect = float(stream.sample_aspect_ratio or 1)
        for packet in container.demux(stream):
            if self._stopped.is_set() or not self._gate.current(self._generation):
                return
            if packet.size == 0:
                continue
            self.packet_at = time.monotonic()
            stamp = packet.pts if packet.pts is not None else packet.dts
            if not self._keys.needs(packet.is_keyframe, None if stamp is None else stamp * unit):
                continue
            try:
                pictures = context.decode(packet)
            except (av.FFmpegError, ValueError):
                continue  # a lost packet spoils pictures until the next key frame; the stream goes on
            for picture in pictures:
                self._take(picture, unit, aspect)

    def _take(self, picture: VideoFrame, unit: float, aspect: float) -> None:
        self.picture_at = time.monotonic()
        admitted = self._gate.admit(self._generation, None if picture.pts is None else picture.pts * unit)
        if admitted is not None:
            seconds, gap = admitted
            self._deliver(Frame(seconds, to_rgb(picture, pixel_aspect=aspect), gap))
        if self._url.kind == "http":
            # HLS and plain files come in bursts: play them at their own pace, as a camera would.
            while (early := self._gate.early_by(self._generation)) > 0.2 and not self._stopped.wait(min(early, 0.5)):
                self.packet_at = self.picture_at = time.monotonic()
