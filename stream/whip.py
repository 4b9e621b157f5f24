"""WebRTC publishers as a camera: the media side of WHIP (RFC 9725) without trickle ICE."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiortc import RTCPeerConnection
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, VideoFrame

from llama_vid.errors import EndOfStream, ProtocolError, SourceError
from llama_vid.stream.audio import AudioQueue
from llama_vid.stream.audio_live import LIVE_SLACK
from llama_vid.stream.audio_track import Continuity, Resampler
from llama_vid.stream.clock import LiveClock
from llama_vid.stream.frame import Frame
from llama_vid.stream.gate import Gate, Mailbox
from llama_vid.stream.ice import IceServer
from llama_vid.stream.peers import LONGEST_OFFER, answer_offer, check_offer, close_peer, new_peer
from llama_vid.stream.picture import to_rgb
from llama_vid.stream.presence import LOOK, Presence, ask_for_no_consent
from llama_vid.stream.source import SourceStats
from llama_vid.stream.status import Status, Told
from llama_vid.stream.view import View
from llama_vid.stream.view_decoding import fit

logger = logging.getLogger(__name__)

__all__ = ["LONGEST_OFFER", "WhipAnswer", "WhipIngest"]


@dataclass(frozen=True, slots=True)
class WhipAnswer:
    """The SDP answer with all ICE candidates, and the id under which the publisher's session is ended."""

    sdp: str
    resource_id: str


@dataclass(slots=True, eq=False)
class _Publisher:
    resource_id: str
    peer: RTCPeerConnection
    presence: Presence
    generation: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    filmed: bool = False
    heard: bool = False


class WhipIngest(Told):
    """One camera that a browser or any WHIP client publishes to. At most one publisher: a new one replaces the old.

    Every received picture is drained (aiortc's queues have no bound), one a second is kept, the newest wins. A
    publisher that is silent for `silence` seconds or whose connection fails is let go, and the camera waits for the
    next one.
    """

    def __init__(
        self,
        name: str = "webrtc",
        *,
        fps: float = 1.0,
        silence: float = 8.0,
        patience: float = 15.0,
        audio: AudioQueue | None = None,
        ice: Sequence[IceServer] = (),
    ) -> None:
        """`name` is for messages and logs; `patience` is how many seconds a publisher has until its first picture.

        `audio` takes the publisher's sound, and lets one in that has nothing else (a microphone); without it sound is
        thrown away undecoded as far as aiortc allows.
        """
        self._name, self._audio, self._ice = name, audio, tuple(ice)
        self._view: View | None = None
        # RTP counts sound and pictures from different beginnings: each is anchored to the wall by its shortest delay.
        self._sound_clock = LiveClock()
        self._silence, self._patience = silence, patience
        self._gate = Gate(fps)
        self._status = Status(f"camera {name}")
        self._mailbox = Mailbox()
        self._publisher: _Publisher | None = None
        self._watch: asyncio.Task[None] | None = None
        self._connections = 0
        self._turn = asyncio.Lock()

    @property
    def stats(self) -> SourceStats:
        return SourceStats(self._mailbox.frames, self._mailbox.dropped, max(0, self._connections - 1))

    @property
    def resource_id(self) -> str | None:
        """The session of the publisher that is connected now, if any."""
        return self._publisher.resource_id if self._publisher else None

    async def __aenter__(self) -> Self:
        self._mailbox = Mailbox()
        self._watch = asyncio.create_task(self._watch_publisher(), name=f"whip watchdog {self._name}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        watch, self._watch = self._watch, None
        async with self._turn:  # a publisher that is being let go is closed to the end
            if watch is not None:
                watch.cancel()
                await asyncio.wait({watch})
            await self._drop(self._publisher, "the camera was closed")
        self._mailbox.close(EndOfStream(f"The camera {self._name} was closed."))
        if self._audio is not None:
            self._audio.close()
        self._status.set("ended", "closed")

    async def recv(self) -> Frame:
        """The newest frame that was not taken yet. Raises EndOfStream after the camera was closed."""
        if self._watch is None and self._status.state != "ended":
            raise SourceError(f"The camera {self._name} is not open: use it as `async with`.")
        return await self._mailbox.take()

    async def offer(self, sdp: str) -> WhipAnswer:
        """Take a publisher in. Raises ProtocolError for an offer that is no good; the old publisher then stays."""
        if self._watch is None:
            raise ProtocolError(f"The camera {self._name} takes no publisher now: it is not open.", code="unavailable")
        check_offer(sdp, protocol="WHIP", kinds=("video", "audio") if self._audio is not None else ("video",))
        async with self._turn:
            peer = new_peer(self._ice)
            presence = Presence(peer, silence=self._silence, patience=self._patience)
            publisher = _Publisher(secrets.token_urlsafe(16), peer, presence)
            peer.on("track", lambda track: self._take_track(publisher, track))
            try:
                async with asyncio.timeout(self._patience):
                    answer = await answer_offer(peer, sdp)
                ask_for_no_consent(peer)
            except BaseException:
                await self._end(publisher)
                raise
            await self._drop(self._publisher, "another publisher took over")
            publisher.generation = self._gate.begin()
            self._publisher = publisher
        return WhipAnswer(answer, publisher.resource_id)

    def hear(self, audio: AudioQueue) -> None:
        """Leave the sound of the next publishers in `audio`; before the source is opened."""
        self._audio = audio

    def show(self, view: View) -> None:
        """Show the pictures of publishers in `view`, too."""
        self._view = view

    async def close(self, resource_id: str) -> None:
        """End the publisher's session. Raises ProtocolError (`not_found`) when there is no such session."""
        async with self._turn:
            publisher = self._publisher
            if publisher is None or not secrets.compare_digest(publisher.resource_id, resource_id):
                raise ProtocolError(f"The camera {self._name} has no such WHIP session.", code="not_found")
            await self._drop(publisher, publisher.presence.ended or "the publisher said goodbye")

    def _take_track(self, publisher: _Publisher, track: MediaStreamTrack) -> None:
        film = track.kind == "video" and not publisher.filmed
        publisher.filmed |= film
        listened = track.kind == "audio" and self._audio is not None and not publisher.heard
        publisher.heard |= listened
        if film:
            work = self._film(publisher, track)
        elif listened and self._audio is not None:
            work = self._listen(publisher, track, self._audio)
        else:
            work = _drain(track)
        publisher.tasks.add(asyncio.create_task(work, name=f"whip {track.kind} {self._name}"))

    async def _film(self, publisher: _Publisher, track: MediaStreamTrack) -> None:
        while True:
            try:
                picture = await track.recv()
            except MediaStreamError:
                return
            if not isinstance(picture, VideoFrame) or publisher is not self._publisher:
                continue
            publisher.presence.hear()
            if self._view is not None and self._view.due:
                self._view.show(await asyncio.to_thread(fit, picture, self._view.longest_side))
            admitted = self._gate.admit(publisher.generation, picture.time)
            if admitted is None:
                continue
            image = await asyncio.to_thread(to_rgb, picture)
            if not self._gate.current(publisher.generation):
                continue
            if self._status.state != "live":
                self._connections += 1
                self._status.set("live", "a publisher is connected")
            self._mailbox.put(Frame(admitted[0], image, admitted[1]))

    async def _listen(self, publisher: _Publisher, track: MediaStreamTrack, audio: AudioQueue) -> None:
        resampler = Resampler()
        row = Continuity(slack=LIVE_SLACK, gap=audio.newest is not None)
        begun = False
        while True:
            try:
                sound = await track.recv()
            except MediaStreamError:
                return
            if not isinstance(sound, AudioFrame) or publisher is not self._publisher:
                continue
            if not begun:
                begun = True
                self._sound_clock.begin()
            if not publisher.filmed:
                publisher.presence.hear()
                if self._status.state != "live":
                    self._connections += 1
                    self._status.set("live", "a microphone is connected")
            seconds = None if sound.pts is None else self._sound_clock.place(sound.time).seconds
            # 20 ms of sound take 0.1 ms: a thread would cost more than it saves.
            for block in row.push(seconds, resampler.take(sound)):
                audio.put(block)

    async def _watch_publisher(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            publisher = self._publisher
            if publisher is None:
                continue
            reason = publisher.presence.missing(live=self._status.state == "live")
            if reason:
                async with self._turn:
                    await self._drop(publisher, reason)

    async def _drop(self, publisher: _Publisher | None, reason: str) -> None:
        if publisher is None or publisher is not self._publisher:
            return
        self._publisher = None
        self._gate.begin()
        self._status.set("reconnecting", f"{reason}; waiting for a publisher")
        await self._end(publisher)

    @staticmethod
    async def _end(publisher: _Publisher) -> None:
        for task in publisher.tasks:
            task.cancel()
        await close_peer(publisher.peer)
        if publisher.tasks:
            await asyncio.wait(publisher.tasks)


async def _drain(track: MediaStreamTrack) -> None:
    while True:
        try:
            await track.recv()
        except MediaStreamError:
            return
