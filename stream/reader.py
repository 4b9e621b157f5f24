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

from llama_vid.errors import SourceError
from llama_vid.stream.audio import AudioQueue
from llama_vid.stream.audio_live import LiveSound
from llama_vid.stream.demux import AccessRefused, explain, open_container, video_stream
from llama_vid.stream.frame import Frame
from llama_vid.stream.gate import Gate
from llama_vid.stream.hardware import Hardware
from llama_vid.stream.picture import to_rgb
from llama_vid.stream.urls import SourceUrl
from llama_vid.stream.view import View
from llama_vid.stream.view_decoding import coding_of

#: Pictures that are this many seconds old make the reader skip to the next key frame.
_LATE = 3.0


#: Packets left out while no key frame comes: ten seconds at 30 a second.
_LONGEST_SKIP = 300


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a live source may take: to open, between two packets (stall) or two pictures, and to take a call."""

    open: float = 10.0
    stall: float = 5.0
    picture: float = 20.0
    dial: float = 3.0


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a connection ended, in one redacted line, and whether the password was `refused`."""

    reason: str
    refused: bool = False


class KeyFrames:
    """Decides when key frames alone are decoded: where they come often enough, and while the reader is late.

    The first saves nine tenths of the work on many cameras. The second lets a reader catch up that the machine is too
    slow for; otherwise its pictures would grow older and older in the socket's buffer.
    """

    def __init__(self, period: float) -> None:
        """`period` is the time between two samples in seconds."""
        self._period = period
        self._latest: float | None = None
        self._close = 0
        self._only = False
        self._left_out = 0

    def needs(self, is_key: bool, raw: float | None, *, late: bool = False) -> bool:
        """Whether the packet with the stamp `raw` seconds must be decoded."""
        if is_key:
            dense = raw is not None and self._latest is not None and 0 < raw - self._latest <= 1.05 * self._period
            self._close = self._close + 1 if dense else 0
            self._latest = raw
            # Decoding everything can be taken up again at key frames only.
            self._only = late or self._close >= 3
        elif late and self._left_out < _LONGEST_SKIP:
            self._only = True
        elif self._left_out >= _LONGEST_SKIP:  # a stream that refreshes without key frames: take it as it comes
            self._only = False
        needed = is_key or not self._only
        self._left_out = 0 if is_key else self._left_out + (not needed)
        return needed


class Reader(threading.Thread):
    """Opens `url` once and reads until it ends, fails, is stopped, or for ever.

    `deliver` gets every sampled frame and `finish` how it ended, both in this thread. With `audio` the sound is decoded
    too and left there; without it, it is not even read. `pictures=False` reads the sound alone, as do sources that have
    nothing else; `heard` then says that the first of it has come. `view` is handed all packets of the pictures.
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
        finish: Callable[[Ending], None],
        audio: AudioQueue | None = None,
        pictures: bool = True,
        heard: Callable[[], None] = lambda: None,
        view: View | None = None,
        hardware: Hardware | None = None,
    ) -> None:
        # A daemon: a read that hangs must not keep the program from ending.
        super().__init__(name=f"reader {url.kind} {generation}", daemon=True)
        self._url, self._gate, self._generation = url, gate, generation
        self._limits, self._deliver, self._finish = limits, deliver, finish
        self._audio, self._pictures, self._heard, self._view = audio, pictures, heard, view
        self._keys = KeyFrames(1 / fps)
        self._hardware = hardware
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
        ending = Ending(f"{self._url.shown} ended the stream.")
        try:
            self._dial()
            # FFmpeg's own time limits are twice the watchdog's: they clean up behind it, where they work at all.
            opening, reading = 2 * self._limits.open, 2 * self._limits.stall
            accel = self._hardware.accel() if self._hardware is not None and self._pictures else None
            with open_container(self._url, open_timeout=opening, read_timeout=reading, hwaccel=accel) as container:
                self._read(container)
        except SourceError as error:
            ending = Ending(str(error), isinstance(error, AccessRefused))
        except (av.FFmpegError, OSError, ValueError) as error:
            ending = Ending(explain(error, self._url))
        self._finish(ending)

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

    def _sound(self, container: InputContainer, *, alone: bool) -> LiveSound | None:
        if self._audio is None:
            return None
        sound = LiveSound(container, self._audio, self._gate, self._generation, alone=alone, shown=self._url.shown)
        return sound if sound.stream is not None else None

    def _read(self, container: InputContainer) -> None:
        if self._audio is not None and (not self._pictures or not container.streams.video):
            self._listen(container)
            return
        stream = video_stream(container, self._url)
        sound = self._sound(container, alone=False)
        context = stream.codec_context
        context.thread_count = 1  # more threads only add delay: live decoding waits for the network
        unit = float(stream.time_base or 0) or 1 / 90_000
        aspect = float(stream.sample_aspect_ratio or 1)
        if self._view is not None:
            self._view.begin(coding_of(stream))
        streams = [stream] if sound is None or sound.stream is None else [stream, sound.stream]
        for packet in container.demux(streams):
            if self._stopped.is_set() or not self._gate.current(self._generation):
                return
            if packet.size == 0:
                continue
            self.packet_at = time.monotonic()
            if sound is not None and sound.takes(packet):
                sound.take(packet)
                continue
            stamp = packet.pts if packet.pts is not None else packet.dts
            if self._view is not None:
                self._view.packet(packet, None if stamp is None else stamp * unit)
            late = self._gate.early_by(self._generation) < -_LATE
            if not self._keys.needs(packet.is_keyframe, None if stamp is None else stamp * unit, late=late):
                continue
            try:
                pictures = context.decode(packet)
            except (av.FFmpegError, ValueError):
                continue  # a lost packet spoils pictures until the next key frame; the stream goes on
            for picture in pictures:
                self._take(picture, unit, aspect)

    def _listen(self, container: InputContainer) -> None:
        """Read the sound alone."""
        sound = self._sound(container, alone=True)
        if sound is None or sound.stream is None:
            raise SourceError(f"{self._url.shown} has no audio track: there is nothing to caption.")
        told = False
        for packet in container.demux(sound.stream):
            if self._stopped.is_set() or not self._gate.current(self._generation):
                return
            if packet.size == 0:
                continue
            self.packet_at = time.monotonic()
            if sound.take(packet):
                self.picture_at = time.monotonic()
                if not told:
                    told = True
                    self._heard()
                self._wait_if_early()

    def _take(self, picture: VideoFrame, unit: float, aspect: float) -> None:
        self.picture_at = time.monotonic()
        admitted = self._gate.admit(self._generation, None if picture.pts is None else picture.pts * unit)
        if admitted is not None:
            seconds, gap = admitted
            self._deliver(Frame(seconds, to_rgb(picture, pixel_aspect=aspect), gap))
        self._wait_if_early()

    def _wait_if_early(self) -> None:
        if self._url.kind == "http":
            # HLS and plain files come in bursts: play them at their own pace, as a camera would.
            while (early := self._gate.early_by(self._generation)) > 0.2 and not self._stopped.wait(min(early, 0.5)):
                self.packet_at = self.picture_at = time.monotonic()
