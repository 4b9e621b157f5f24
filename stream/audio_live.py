"""The sound of one connection of a live source: decoded in the reader's thread, stamped like the pictures."""

from __future__ import annotations

from typing import Final

import av
from av.container import InputContainer
from av.packet import Packet

from llama_vid.stream.audio import AudioQueue
from llama_vid.stream.audio_track import Continuity, Resampler, audio_stream
from llama_vid.stream.gate import Gate

#: Live stamps are placed again whenever a shorter delay shows (see `LiveClock`); below this many seconds samples are
#: counted on, as a word more or less is worse than a caption that is a quarter of a second off.
LIVE_SLACK: Final = 0.25


class LiveSound:
    """Takes the packets of a connection's sound and leaves blocks in `queue`. `stream` is None where there is none."""

    def __init__(
        self, container: InputContainer, queue: AudioQueue, gate: Gate, generation: int, *, alone: bool, shown: str
    ) -> None:
        """`alone`: no pictures are read, so that sound itself moves the clock. `shown`: the source's redacted name."""
        self.stream = audio_stream(container)
        self._queue, self._gate, self._generation, self._alone = queue, gate, generation, alone
        self._resampler = Resampler()
        # After a reconnect something is missing; before the first connection nothing is.
        self._row = Continuity(slack=LIVE_SLACK, gap=queue.newest is not None)
        self._unit = 1.0
        if self.stream is None:
            queue.tell(f"{shown} has no audio track: there is nothing to caption.")
        else:
            self.stream.codec_context.thread_count = 1
            self._unit = float(self.stream.time_base or 0) or 1 / 90_000

    def takes(self, packet: Packet) -> bool:  # type: ignore[type-arg]
        """Whether a packet is of this sound."""
        return self.stream is not None and packet.stream_index == self.stream.index

    def take(self, packet: Packet) -> bool:  # type: ignore[type-arg]
        """Decode a packet; whether any sound came out. A broken one is passed over, and filled with silence."""
        assert self.stream is not None
        try:
            frames = self.stream.codec_context.decode(packet)
        except (av.FFmpegError, ValueError):
            return False
        for frame in frames:
            raw = None if frame.pts is None else frame.pts * self._unit
            seconds = self._gate.hear(self._generation, raw, alone=self._alone)
            for block in self._row.push(seconds, self._resampler.take(frame)):
                if self._gate.current(self._generation):
                    self._queue.put(block)
        return bool(frames)
