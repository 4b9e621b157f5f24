"""Whether a WebRTC publisher is still there: told by what it sends, not by whether it answers our questions.

ICE has a check of its own (RFC 7675, consent): each side asks the other every 5 s whether it still wants to be sent to,
and aioice closes a connection after six questions without an answer, some 33 s. ffmpeg's WHIP muxer asks and never
answers, so that every ffmpeg publisher would be cut off at half a minute, in the middle of its pictures. We send a
publisher nothing but reports on what it sends, and who sends no more is let go here, far sooner than consent would end
it. So publishers are not asked; viewers (`whep`), to whom pictures are sent, are.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final

from aiortc import RTCPeerConnection

from llama_vid.stream.peers import transports

#: How often to look, in seconds.
LOOK: Final = 0.25
#: How long a publisher may send what gives no picture, in seconds: with a packet lost for good, aiortc's jitter buffer
#: waits for 512 more, half a minute of a still picture.
BLIND: Final = 40.0


def ask_for_no_consent(peer: RTCPeerConnection) -> None:
    """Leave the consent check out of this connection; after its offer was answered, before it is connected."""
    for dtls in transports(peer):
        dtls.transport._connection.query_consent = _nothing  # type: ignore[method-assign]


async def _nothing() -> None:
    return


class Presence:
    """One publisher, looked at every LOOK seconds."""

    def __init__(self, peer: RTCPeerConnection, *, silence: float, patience: float) -> None:
        """`silence`: seconds without a packet after which it is gone; `patience`: until its first picture or sound."""
        self._peer, self._silence, self._patience = peer, silence, patience
        self._looked = time.monotonic()
        self._packet: datetime | None = None
        self._silent = self._blind = 0.0

    def hear(self) -> None:
        """A picture came out of what it sent, or the sound of one that has no pictures."""
        self._silent = self._blind = 0.0

    @property
    def ended(self) -> str:
        """Why its connection is over, empty while it is not."""
        if self._peer.connectionState == "failed":
            return "the publisher's connection is lost"
        return "the publisher ended its connection" if self._peer.connectionState == "closed" else ""

    def missing(self, *, live: bool) -> str:
        """Look. Why it must be let go, empty while it is there; `live` once its first picture came."""
        if self.ended:
            return self.ended
        # Where this program itself was held up, or the machine slept, no time is counted: what came is yet to be read.
        now = time.monotonic()
        passed = min(now - self._looked, 2 * LOOK)
        self._looked = now
        newest = self._newest()
        self._silent = 0.0 if newest is not None and newest != self._packet else self._silent + passed
        self._packet = newest
        self._blind += passed
        if not live:
            return f"nothing of the publisher came within {self._patience:g} s" if self._blind > self._patience else ""
        if self._silent > self._silence:
            return f"the publisher was silent for {self._silence:g} s"
        return f"the publisher sent nothing to be seen for {BLIND:g} s" if self._blind > BLIND else ""

    def _newest(self) -> datetime | None:
        """When the newest packet came: of pictures, where it has any. None where none came for 10 s."""
        transceivers = self._peer.getTransceivers()
        kind = "video" if any(each.kind == "video" for each in transceivers) else "audio"
        sources = [
            source.timestamp
            for each in transceivers
            if each.kind == kind
            for source in each.receiver.getSynchronizationSources()
        ]
        return max(sources, default=None)
